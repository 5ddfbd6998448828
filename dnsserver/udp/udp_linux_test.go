package udp_test

import (
	"cmp"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"consul.internal/dnsserver/udp"
)

// both runs a test with sockets apart from the runtime's poller, and with others.
func both(t *testing.T, f func(t *testing.T, apart bool)) {
	t.Run("apart", func(t *testing.T) { f(t, true) })
	t.Run("in the poller", func(t *testing.T) { f(t, false) })
}

// bound is a Socket, and its port.
func bound(t *testing.T, apart bool, addr string) (*udp.Socket, netip.AddrPort) {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr)))
	if err != nil {
		t.Fatal(err)
	}
	at := c.LocalAddr().(*net.UDPAddr).AddrPort()
	s, err := udp.Take(c, apart)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, at
}

func dial(t *testing.T, to netip.AddrPort) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to)) // takes replies of nobody else
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// Whatever arrives at a time comes as a batch; each reply goes to who has asked, from
// the address that was asked, and some of them by Write.
func TestBatch(t *testing.T) {
	for listen, ask := range map[string][]string{
		"0.0.0.0:0":   {"127.0.0.1", "127.0.0.2", "127.3.2.1"},
		"127.0.0.1:0": {"127.0.0.1"},
		"[::]:0":      {"127.0.0.1", "127.0.0.2", "::1"}, // IPv4 as well
		"[::1]:0":     {"::1"},
	} {
		t.Run(listen, func(t *testing.T) {
			if c, err := net.ListenPacket("udp6", "[::1]:0"); err == nil {
				_ = c.Close() // only tried
			} else if listen[0] == '[' {
				t.Skipf("this machine has no IPv6: %v", err)
			}
			both(t, func(t *testing.T, apart bool) { batches(t, apart, listen, ask) })
		})
	}
}

func batches(t *testing.T, apart bool, listen string, ask []string) {
	s, at := bound(t, apart, listen)
	var askers []*net.UDPConn
	for _, to := range ask {
		c := dial(t, netip.AddrPortFrom(netip.MustParseAddr(to), at.Port()))
		askers = append(askers, c)
		for _, text := range []string{"kept", "none", "full"} {
			if _, err := c.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	b := udp.NewBatch(s)
	for seen := 0; seen < 3*len(askers); seen += b.Len() {
		if _, err := b.Read(); err != nil {
			t.Fatal(err)
		}
		for i := range b.Len() {
			switch string(b.Query(i)) {
			case "kept":
				b.Reply(i, copy(b.Buffer(i), "packed reply"))
			case "full":
				asked := b.Asked(i)
				if err := s.Write([]byte("written"), &asked, b.From(i)); err != nil {
					t.Error(err)
				}
			}
		}
		b.Flush()
	}
	for _, c := range askers {
		got := map[string]bool{}
		for range 2 {
			in := make([]byte, 100)
			n, err := c.Read(in)
			if err != nil {
				t.Fatal(err)
			}
			got[string(in[:n])] = true
		}
		if !got["packed reply"] || !got["written"] {
			t.Errorf("replies %v", got)
		}
	}
}

// More than a batch has room for stays for the next one, and what is too long is cut.
func TestRest(t *testing.T) { both(t, rest) }

func rest(t *testing.T, apart bool) {
	s, at := bound(t, apart, "127.0.0.1:0")
	c := dial(t, at)
	for i := range udp.BatchSize + 3 {
		long := make([]byte, udp.Buffer+100)
		if _, err := c.Write(long[:cmp.Or(i%4/3*len(long), 1)]); err != nil {
			t.Fatal(err)
		}
	}
	b := udp.NewBatch(s)
	for _, want := range []int{udp.BatchSize, 3} {
		waited, err := b.Read()
		if err != nil || waited || b.Len() != want {
			t.Fatalf("%d datagrams, waited %v: %v", b.Len(), waited, err)
		}
		if n, m := len(b.Query(0)), len(b.Query(want-1)); n != 1 || want == udp.BatchSize && m != udp.Buffer {
			t.Errorf("%d and %d bytes", n, m)
		}
	}
	b.Flush() // nothing
}

// A deadline and Close end the reading that waits, and what follows.
func TestEnd(t *testing.T) { both(t, end) }

func end(t *testing.T, apart bool) {
	s, at := bound(t, apart, "127.0.0.1:0")
	errs := make(chan error)
	var wg sync.WaitGroup
	defer wg.Wait()
	b := udp.NewBatch(s)
	read := func() {
		wg.Go(func() {
			_, err := b.Read()
			errs <- err
		})
	}
	read()
	if err := s.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := <-errs; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the deadline: %v", err)
	}
	// One that is moved counts, and so does none; nothing is lost by it.
	if err := s.SetReadDeadline(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	read()
	if err := s.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := dial(t, at).Write([]byte("late")); err != nil {
		t.Fatal(err)
	}
	if err := <-errs; err != nil || string(b.Query(0)) != "late" {
		t.Errorf("before the deadline: %q %v", b.Query(0), err)
	}
	from := b.From(0)
	read()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-errs; !errors.Is(err, net.ErrClosed) {
		t.Errorf("read after Close: %v", err)
	}
	asked := b.Asked(0)
	if err := s.Write([]byte("x"), &asked, from); !errors.Is(err, net.ErrClosed) {
		t.Errorf("written after Close: %v", err)
	}
	if err := s.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed twice: %v", err)
	}
	if err := s.SetReadDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a deadline after Close: %v", err)
	}
}

// Reading and writing batches allocates nothing, nor does waiting.
func TestAllocations(t *testing.T) { both(t, allocations) }

func allocations(t *testing.T, apart bool) {
	s, at := bound(t, apart, "127.0.0.1:0")
	c := dial(t, at)
	b := udp.NewBatch(s)
	query, in := []byte("query"), make([]byte, 10)
	var wg sync.WaitGroup
	defer wg.Wait()
	asks := make(chan bool)
	defer close(asks)
	wg.Go(func() {
		for range asks {
			if _, err := c.Write(query); err != nil {
				t.Error(err)
			}
		}
	})
	if n := testing.AllocsPerRun(100, func() {
		asks <- true
		if _, err := b.Read(); err != nil {
			t.Error(err)
		}
		b.Reply(0, 5)
		b.Flush()
		if _, err := c.Read(in); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
