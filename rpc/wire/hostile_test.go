package wire_test

import (
	"context"
	"flag"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/internal/tlsx"
	"consul.internal/rpc/wire"
)

var hostile = flag.Int("hostile", 5_000, "how many connections strangers make in TestHostile")

// pipes is a network in memory, where time is the bubble's.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	next   atomic.Uint32
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Listen(context.Context, string) (net.Listener, error) { return p, nil }
func (p *pipes) Addr() net.Addr                                       { return new(net.TCPAddr) }
func (p *pipes) Close() error                                         { p.once.Do(func() { close(p.closed) }); return nil }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Dial comes from an address of its own each time, or from addr if it is one.
func (p *pipes) Dial(ctx context.Context, addr string) (net.Conn, error) {
	ip := net.ParseIP(addr)
	if ip == nil {
		n := p.next.Add(1)
		ip = net.IPv4(10, byte(n>>16), byte(n>>8), byte(n))
	}
	near, far := net.Pipe()
	select {
	case p.conns <- pipe{far, ip}:
		return near, nil
	case <-p.closed:
	case <-ctx.Done():
	}
	return nil, io.ErrClosedPipe
}

type pipe struct {
	net.Conn
	ip net.IP
}

// Close also stops the timers of the deadline, which a pipe forgets.
func (p pipe) Close() error {
	_ = p.SetDeadline(time.Time{}) // an error means that it is closed
	return p.Conn.Close()
}

func (p pipe) RemoteAddr() net.Addr { return &net.TCPAddr{IP: p.ip, Port: 1} }

// TestSlowStrangers: whatever a connection stops in the middle of, it ends with
// the handshake timeout and not before.
func TestSlowStrangers(t *testing.T) {
	for name, first := range map[string]string{
		"silent":            "",
		"half a hello":      "\xc1\x01\x00",
		"half a TLS hello":  "\x16\x03\x01\x02\x00\x01",
		"raft nobody takes": raftHello("one"),
		"calls, not taken":  "\xc2",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := newPipes()
				p := pki{t, t.TempDir()}
				ca, caFile := p.authority("ca")
				part := p.cert(ca, "one", tlsx.Server, "dc1", -time.Hour, time.Hour)
				part.CAFile = caFile
				m := open(t, wire.DefaultConfig(), wire.Deps{Network: network, TLS: p.door(part), NodeID: "one"})
				c, err := network.Dial(t.Context(), "")
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				if _, err := io.WriteString(c, first); err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, c); err != nil {
					t.Fatal(err)
				}
				if got := time.Since(start); got != 5*time.Second {
					t.Errorf("it ended after %v", got)
				}
				if err := m.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestHangingServer: a server that takes connections and says nothing costs a
// dialer the handshake timeout, or less if its context ends.
func TestHangingServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		t.Cleanup(func() { _ = network.Close() })
		go func() {
			for {
				c, err := network.Accept()
				if err != nil {
					return
				}
				go func() { _, _ = io.Copy(io.Discard, c) }()
			}
		}()
		m := dialer(t, wire.Deps{Network: network, NodeID: "me"})
		for _, patience := range []time.Duration{time.Second, time.Minute} {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			start := time.Now()
			if c, err := m.Raft().Dial(ctx, "", "one"); err == nil {
				_ = c.Close()
				t.Error("a stream to nobody")
			}
			if got, want := time.Since(start), min(patience, 5*time.Second); got != want {
				t.Errorf("it took %v, want %v", got, want)
			}
			cancel()
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			if c, err := m.Raft().Dial(t.Context(), "", "one"); err == nil {
				_ = c.Close()
				t.Error("a stream to nobody")
			}
		}()
		synctest.Wait()
		start := time.Now()
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		<-done
		if got := time.Since(start); got != 0 {
			t.Errorf("Close left a dial waiting %v", got)
		}
	})
}

// TestHostile: strangers send noise, broken hellos and halves, and leave many
// connections half open. Memory and goroutines stay bounded, and at the end
// everything is closed and a server is still let in.
func TestHostile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		p := pki{t, t.TempDir()}
		ca, caFile := p.authority("ca")
		part := with(p.cert(ca, "one", tlsx.Server, "dc1", -time.Hour, 1000*time.Hour), caFile)
		part.VerifyIncoming = true
		cfg := wire.DefaultConfig()
		cfg.Conns = 128 // what bounds the goroutines: strangers who leave do not wait for the server
		m := open(t, cfg, wire.Deps{Network: network, TLS: p.door(part), ClusterID: cluster(clusterA), NodeID: "one"})
		echo(t, m.Raft())
		echo(t, m.Calls())

		const strangers = 64
		before, goroutines := memory(), runtime.NumGoroutine()
		var most atomic.Int64
		var wg sync.WaitGroup
		todo := make(chan uint64)
		for range strangers {
			wg.Go(func() {
				for seed := range todo {
					annoy(t, network, rand.New(rand.NewPCG(seed, 0)))
					for n := int64(runtime.NumGoroutine()); ; {
						if old := most.Load(); n <= old || most.CompareAndSwap(old, n) {
							break
						}
					}
				}
			})
		}
		for i := range *hostile {
			todo <- uint64(i)
		}
		close(todo)
		wg.Wait()
		synctest.Wait()

		// For a connection: its own, TLS's watcher of the context, and for a moment
		// each three timers that fire and what is left of one that ended. For a
		// stranger: it and its reader.
		if limit := int64(goroutines + 6*cfg.Conns + 2*strangers); most.Load() > limit {
			t.Errorf("%d goroutines at once, at most %d", most.Load(), limit)
		}
		const room = 64 << 20 // what a Go heap may keep between collections here
		if after := memory(); after > before+room {
			t.Errorf("memory grew from %d to %d bytes", before, after)
		}
		if s := m.Stats(); s.Accepted+s.Limited != uint64(*hostile) || s.Refused != s.Accepted || s.Handed != 0 {
			t.Errorf("counts %+v, want %d in all, none handed out", s, *hostile)
		}
		c, err := dialer(t, wire.Deps{Network: network, TLS: p.door(part), ClusterID: cluster(clusterA), NodeID: "two"}).Raft().Dial(t.Context(), "", "one")
		if err != nil {
			t.Fatal(err)
		}
		if err := speak(c); err != nil {
			t.Error(err)
		}
		_ = c.Close()
	})
}

// memory is what the process holds of the system.
func memory() uint64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.Sys
}

// annoy makes one connection, says something, and leaves at once or waits until
// it is closed.
func annoy(t *testing.T, network *pipes, r *rand.Rand) {
	c, err := network.Dial(t.Context(), "")
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	noise := make([]byte, r.IntN(2048))
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	message := noise
	switch r.IntN(6) {
	case 0: // noise
	case 1: // noise for a hello
		message = append([]byte{0xc1}, noise...)
	case 2: // a hello with a few bytes changed
		message = []byte(raftHello("one"))
		for range 1 + r.IntN(3) {
			message[r.IntN(len(message))] = byte(r.Uint32())
		}
	case 3: // half a hello
		message = []byte(raftHello("one"))
		message = message[:r.IntN(len(message))]
	case 4: // a TLS record of noise
		message = append([]byte{0x16, 3, byte(r.IntN(5)), byte(r.IntN(65)), byte(r.Uint32()), 1, 0, byte(r.Uint32()), byte(r.Uint32())}, noise...)
	case 5: // calls without TLS
		message = append([]byte{0xc2}, noise...)
	}
	stay := r.IntN(2) == 0
	var wg sync.WaitGroup
	wg.Go(func() {
		if stay {
			_, _ = io.Copy(io.Discard, c) // a stranger's errors are the point
		}
	})
	_, _ = c.Write(message) // it may be closed before all is said
	if !stay {
		_ = c.Close()
	}
	wg.Wait()
}
