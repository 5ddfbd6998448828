package memnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"
)

const (
	ipA = "10.1.0.1"
	ipB = "10.1.0.2"
)

// dialed opens a stream from A to B and returns both ends.
func dialed(t *testing.T, n *Net) (a, b net.Conn) {
	t.Helper()
	l, err := n.Host(ipB).Listen(t.Context(), ipB+":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	a, err = n.Host(ipA).Dial(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func write(t *testing.T, c io.Writer, text string) {
	t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatalf("write: %v", err)
	}
}

func read(t *testing.T, c io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got, err, want)
	}
}

// TestConn is the standard suite for a net.Conn, with real time.
func TestConn(t *testing.T) {
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		n := New(1)
		l, err := n.Host(ipB).Listen(context.Background(), ":80")
		if err != nil {
			return nil, nil, nil, err
		}
		a, err := n.Host(ipA).Dial(context.Background(), ipB+":80")
		if err != nil {
			return nil, nil, nil, err
		}
		b, err := l.Accept()
		return a, b, func() { a.Close(); b.Close(); l.Close() }, err
	})
}

func TestAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		a, b := dialed(t, n)
		if _, ok := a.LocalAddr().(*net.TCPAddr); !ok || a.LocalAddr().String() != b.RemoteAddr().String() {
			t.Errorf("A's end %v (%T), seen by B as %v", a.LocalAddr(), a.LocalAddr(), b.RemoteAddr())
		}
		h := n.Host(ipA)
		for _, c := range []struct {
			listen, dial string
			err          error
		}{
			{listen: ":80", dial: ipA + ":80"},
			{listen: "0.0.0.0:81", dial: "127.0.0.1:81"},
			{listen: "127.0.0.1:82", dial: "127.0.0.1:82"},
			{listen: "127.0.0.1:83", dial: ipA + ":83", err: syscall.ECONNREFUSED},
			{listen: "[::]:84", dial: ipA + ":84"},
		} {
			l, err := h.Listen(t.Context(), c.listen)
			if err != nil {
				t.Fatalf("%s: %v", c.listen, err)
			}
			conn, err := h.Dial(t.Context(), c.dial)
			if !errors.Is(err, c.err) {
				t.Errorf("listen %s, dial %s: %v, want %v", c.listen, c.dial, err, c.err)
			}
			if err == nil {
				conn.Close()
			}
			l.Close()
		}
		for addr, want := range map[string]error{ipB + ":1": syscall.EADDRNOTAVAIL, "nonsense": nil, "host:1": nil} {
			if _, err := h.Listen(t.Context(), addr); err == nil || want != nil && !errors.Is(err, want) {
				t.Errorf("Listen(%s) = %v, want %v", addr, err, want)
			}
		}
		if _, err := h.Listen(t.Context(), ":90"); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Listen(t.Context(), ":90"); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("second listener: %v", err)
		}
	})
}

func TestStreamDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		n.SetRule(ipA, ipB, Rule{Delay: 30 * time.Millisecond})
		n.SetRule(ipB, ipA, Rule{Delay: 70 * time.Millisecond})
		begin := time.Now()
		a, b := dialed(t, n)
		if d := time.Since(begin); d != 100*time.Millisecond {
			t.Errorf("dial took %v, want a round trip", d)
		}
		begin = time.Now()
		write(t, a, "hello")
		read(t, b, "hello")
		if d := time.Since(begin); d != 30*time.Millisecond {
			t.Errorf("one way took %v", d)
		}
		begin = time.Now()
		write(t, b, "hello")
		read(t, a, "hello")
		if d := time.Since(begin); d != 70*time.Millisecond {
			t.Errorf("the way back took %v", d)
		}
	})
}

func TestStreamLossIsLateness(t *testing.T) {
	run := func(seed uint64) (took time.Duration, c Counters) {
		synctest.Test(t, func(t *testing.T) {
			n := New(seed)
			n.SetLink(ipA, ipB, Rule{Delay: time.Millisecond, Loss: 0.3})
			a, b := dialed(t, n)
			text := bytes.Repeat([]byte("0123456789"), 20_000)
			begin := time.Now()
			write(t, a, string(text))
			read(t, b, string(text))
			took, c = time.Since(begin), n.Counters(ipA, ipB)
		})
		return took, c
	}
	took, c := run(7)
	if took < minRTO || c.Retransmits < c.Segments/5 {
		t.Errorf("at 30 %% loss the data took %v with %d of %d segments sent again", took, c.Retransmits, c.Segments)
	}
	again, c2 := run(7)
	if again != took || c2 != c {
		t.Errorf("the same seed took %v and %v, counted %+v and %+v", took, again, c, c2)
	}
	if other, _ := run(8); other == took {
		t.Errorf("another seed took the same %v", took)
	}
}

func TestCutStallsStreams(t *testing.T) {
	for name, cut := range map[string]func(*Net){
		"both": func(n *Net) { n.Cut(ipA, ipB) },
		"data": func(n *Net) { n.CutOneWay(ipA, ipB) },
		"acks": func(n *Net) { n.CutOneWay(ipB, ipA) },
		"all":  func(n *Net) { n.Isolate(ipA) },
		"part": func(n *Net) { n.Partition([]string{ipA}, []string{ipB}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := New(1)
				a, b := dialed(t, n)
				cut(n)
				begin := time.Now()
				write(t, a, "hello")
				b.SetReadDeadline(time.Now().Add(5 * time.Second))
				if _, err := b.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatalf("read through the cut: %v", err)
				}
				b.SetReadDeadline(time.Time{})
				n.HealAll()
				read(t, b, "hello")
				// Sent at 0, again at 0.2, 0.6, 1.4, 3.0, 6.2 s: the cut ended at 5.
				if d := time.Since(begin); d != 6200*time.Millisecond {
					t.Errorf("data came after %v", d)
				}
			})
		})
	}
}

func TestDialThroughCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		l, err := n.Host(ipB).Listen(t.Context(), ":80")
		if err != nil {
			t.Fatal(err)
		}
		n.Cut(ipA, ipB)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, err = n.Host(ipA).Dial(ctx, ipB+":80")
		if nerr, ok := errors.AsType[net.Error](err); !ok || !nerr.Timeout() {
			t.Errorf("dial with a limit: %v", err)
		}
		begin := time.Now()
		if _, err = n.Host(ipA).Dial(t.Context(), ipB+":80"); !errors.Is(err, syscall.ETIMEDOUT) || time.Since(begin) != 127*time.Second {
			t.Errorf("dial without: %v after %v", err, time.Since(begin))
		}
		heal := time.AfterFunc(5*time.Second, func() { n.Heal(ipA, ipB) })
		defer heal.Stop()
		begin = time.Now()
		c, err := n.Host(ipA).Dial(t.Context(), ipB+":80")
		if err != nil || time.Since(begin) != 7*time.Second {
			t.Errorf("dial with a heal after 5 s: %v after %v, want the SYN at 7 s to pass", err, time.Since(begin))
		}
		c.Close()
		l.Close()
		if _, err = n.Host(ipA).Dial(t.Context(), ipB+":80"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("nobody listens: %v", err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err = n.Host(ipA).Dial(ctx, "10.9.9.9:80"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a host that is not there: %v", err)
		}
		if c := n.Counters(ipA, ipB); c.Dials != 4 || c.Refused != 1 {
			t.Errorf("counted %+v", c)
		}
	})
}

func TestRefuse(t *testing.T) {
	for name, down := range map[string]struct{ on, off func(*Net) }{
		"host": {func(n *Net) { n.Host(ipB).Down() }, func(n *Net) { n.Host(ipB).Up() }},
		"rule": {func(n *Net) { n.SetRule(ipA, ipB, Rule{Refuse: true}) }, func(n *Net) { n.SetRule(ipA, ipB, Rule{}) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := New(1)
				a, b := dialed(t, n)
				addr := a.RemoteAddr().String()
				write(t, b, "last words")
				down.on(n)
				read(t, a, "last words")
				if _, err := a.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("read of a stream to a host that died: %v", err)
				}
				if _, err := a.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("write: %v", err)
				}
				if _, err := n.Host(ipA).Dial(t.Context(), addr); !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("dial: %v", err)
				}
				down.off(n)
				c, err := n.Host(ipA).Dial(t.Context(), addr)
				if err != nil {
					t.Fatalf("dial to the host that is back: %v", err)
				}
				c.Close()
			})
		})
	}
}

// TestDownBehindCut: who is cut off does not hear that the other died.
func TestDownBehindCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		a, _ := dialed(t, n)
		n.Cut(ipA, ipB)
		n.Host(ipB).Down()
		a.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read through the cut: %v", err)
		}
		a.SetReadDeadline(time.Time{})
		n.HealAll()
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read after the cut: %v", err)
		}
	})
}

func TestNetClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		n.SetDefault(Rule{Delay: time.Hour})
		l, err := n.Host(ipB).Listen(t.Context(), ":80")
		if err != nil {
			t.Fatal(err)
		}
		p, err := n.Host(ipB).ListenPacket(t.Context(), ":80")
		if err != nil {
			t.Fatal(err)
		}
		c, err := n.Host(ipA).Dial(t.Context(), ipB+":80")
		if err != nil {
			t.Fatal(err)
		}
		n.Cut(ipA, ipB)
		errs := make(chan error)
		waits := []func() error{
			func() error { _, err := n.Host(ipA).Dial(t.Context(), ipB+":80"); return err },
			func() error { _, err := c.Read(make([]byte, 1)); return err },
			func() error { _, _, err := p.ReadFrom(make([]byte, 1)); return err },
		}
		if _, err := l.Accept(); err != nil {
			t.Fatal(err)
		}
		waits = append(waits, func() error { _, err := l.Accept(); return err })
		for _, wait := range waits {
			go func() { errs <- wait() }()
		}
		synctest.Wait()
		begin := time.Now()
		n.Close()
		for range waits {
			if err := <-errs; !errors.Is(err, net.ErrClosed) && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("who waited got %v", err)
			}
		}
		if d := time.Since(begin); d != 0 {
			t.Errorf("the end took %v", d)
		}
	})
}

func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		a, b := dialed(t, n)
		a.SetWriteDeadline(time.Now().Add(time.Second))
		k, err := a.Write(make([]byte, 10*window))
		if k != window || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("wrote %d, %v; want %d and a deadline", k, err, window)
		}
		a.SetWriteDeadline(time.Time{})
		done := make(chan error)
		go func() {
			_, err := a.Write(make([]byte, window))
			done <- err
		}()
		synctest.Wait()
		if _, err := io.CopyN(io.Discard, b, 2*window); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Errorf("the waiting write: %v", err)
		}
		// A writer that waits for room hears that the reader has gone.
		go func() {
			_, err := a.Write(make([]byte, 2*window))
			done <- err
		}()
		synctest.Wait()
		b.Close()
		if err := <-done; !errors.Is(err, syscall.EPIPE) {
			t.Errorf("write to a reader that went: %v", err)
		}
	})
}

func TestHalfClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		n.SetDefault(Rule{Delay: 10 * time.Millisecond})
		a, b := dialed(t, n)
		write(t, a, "question")
		if err := a.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(b); err != nil || string(text) != "question" {
			t.Fatalf("B read %q, %v", text, err)
		}
		if _, err := a.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("write after CloseWrite: %v", err)
		}
		write(t, b, "answer")
		b.Close()
		if text, err := io.ReadAll(a); err != nil || string(text) != "answer" {
			t.Errorf("A read %q, %v", text, err)
		}
		if _, err := b.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read of a closed end: %v", err)
		}
	})
}

func packets(t *testing.T, n *Net) (a, b net.PacketConn) {
	t.Helper()
	a, err := n.Host(ipA).ListenPacket(t.Context(), ipA+":53")
	if err != nil {
		t.Fatal(err)
	}
	b, err = n.Host(ipB).ListenPacket(t.Context(), ":53")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

var addrB = &net.UDPAddr{IP: net.ParseIP(ipB), Port: 53}

// received tells which packets of 0..255 came, in their order.
func received(t *testing.T, c net.PacketConn) (got []int) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(time.Minute))
	b := make([]byte, 10)
	for {
		_, from, err := c.ReadFrom(b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		if from.String() != ipA+":53" {
			t.Fatalf("a packet from %v", from)
		}
		got = append(got, int(b[0]))
	}
}

func TestPackets(t *testing.T) {
	run := func(rule Rule) (got []int, c Counters) {
		synctest.Test(t, func(t *testing.T) {
			n := New(3)
			n.SetRule(ipA, ipB, rule)
			a, b := packets(t, n)
			for i := range 256 {
				if _, err := a.WriteTo([]byte{byte(i)}, addrB); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Millisecond)
			}
			got, c = received(t, b), n.Counters(ipA, ipB)
		})
		return got, c
	}
	inOrder := func(got []int) bool {
		for i := range got {
			if i > 0 && got[i] < got[i-1] {
				return false
			}
		}
		return true
	}
	if got, _ := run(Rule{Delay: time.Second}); len(got) != 256 || !inOrder(got) {
		t.Errorf("a clean link brought %d: %v", len(got), got)
	}
	got, c := run(Rule{Loss: 0.3})
	if len(got) < 150 || len(got) > 210 || c.PacketsLost != 256-len(got) {
		t.Errorf("at 30 %% loss %d of 256 came, counted %+v", len(got), c)
	}
	if again, _ := run(Rule{Loss: 0.3}); !reflect.DeepEqual(got, again) {
		t.Errorf("the same seed brought %v and %v", got, again)
	}
	if got, _ := run(Rule{Jitter: 20 * time.Millisecond}); len(got) != 256 || inOrder(got) {
		t.Errorf("jitter over 20 packets' time brought %d, in order %v", len(got), inOrder(got))
	}
	if got, c := run(Rule{Cut: true}); len(got) != 0 || c.PacketsCut != 256 {
		t.Errorf("through a cut came %v, counted %+v", got, c)
	}
}

func TestPacketQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		a, b := packets(t, n)
		for range maxQueued + 5 {
			if _, err := a.WriteTo([]byte{1}, addrB); err != nil {
				t.Fatal(err)
			}
		}
		if got := received(t, b); len(got) != maxQueued || n.Counters(ipA, ipB).PacketsLeft != 5 {
			t.Errorf("%d came, counted %+v", len(got), n.Counters(ipA, ipB))
		}
		if _, err := a.WriteTo(make([]byte, maxPacket+1), addrB); !errors.Is(err, syscall.EMSGSIZE) {
			t.Errorf("a packet too large: %v", err)
		}
		a.Close()
		if _, err := a.WriteTo([]byte{1}, addrB); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write after close: %v", err)
		}
	})
}

func TestConnectedPackets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		_, b := packets(t, n)
		c, err := n.Host(ipA).DialContext(t.Context(), "udp", ipB+":53")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		write(t, c, "ask")
		buf := make([]byte, 10)
		k, from, err := b.ReadFrom(buf)
		if err != nil || string(buf[:k]) != "ask" {
			t.Fatalf("B got %q, %v", buf[:k], err)
		}
		if _, err := b.WriteTo([]byte("tell"), from); err != nil {
			t.Fatal(err)
		}
		if k, err = c.Read(buf); err != nil || string(buf[:k]) != "tell" {
			t.Errorf("A got %q, %v", buf[:k], err)
		}
	})
}

func ExampleNet() {
	n := New(1)
	n.SetDefault(Rule{Delay: time.Millisecond})
	l, _ := n.Host("10.1.0.1").Listen(context.Background(), ":80")
	defer l.Close()
	n.Cut("10.1.0.1", "10.1.0.2")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	_, err := n.Host("10.1.0.2").Dial(ctx, "10.1.0.1:80")
	fmt.Println(err)
	// Output: dial tcp 10.1.0.1:80: context deadline exceeded
}
