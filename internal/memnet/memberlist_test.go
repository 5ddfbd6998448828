package memnet

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"
)

// gossipLayer is a memberlist.Transport over a host.
type gossipLayer struct {
	host     *Host
	packets  net.PacketConn
	listener net.Listener
	packetCh chan *memberlist.Packet
	streamCh chan net.Conn
	done     chan struct{}
	readers  sync.WaitGroup
}

func newGossipLayer(t *testing.T, host *Host) *gossipLayer {
	t.Helper()
	addr := host.Addr().String() + ":8301"
	pc, err := host.ListenPacket(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	l, err := host.Listen(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	g := &gossipLayer{
		host: host, packets: pc, listener: l, done: make(chan struct{}),
		packetCh: make(chan *memberlist.Packet), streamCh: make(chan net.Conn),
	}
	g.readers.Go(func() {
		for {
			buf := make([]byte, 65536)
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			select {
			case g.packetCh <- &memberlist.Packet{Buf: buf[:n], From: from, Timestamp: time.Now()}:
			case <-g.done:
				return
			}
		}
	})
	g.readers.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			select {
			case g.streamCh <- c:
			case <-g.done:
				c.Close()
				return
			}
		}
	})
	return g
}

func (g *gossipLayer) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return g.host.Addr().AsSlice(), 8301, nil
}

func (g *gossipLayer) WriteTo(b []byte, addr string) (time.Time, error) {
	to, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return time.Time{}, err
	}
	_, err = g.packets.WriteTo(b, to)
	return time.Now(), err
}

func (g *gossipLayer) DialTimeout(addr string, limit time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return g.host.Dial(ctx, addr)
}

func (g *gossipLayer) PacketCh() <-chan *memberlist.Packet { return g.packetCh }
func (g *gossipLayer) StreamCh() <-chan net.Conn           { return g.streamCh }

func (g *gossipLayer) Shutdown() error {
	close(g.done)
	g.packets.Close()
	g.listener.Close()
	g.readers.Wait()
	return nil
}

func TestMemberlist(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const count = 5
		n := New(1)
		n.SetDefault(Rule{Delay: time.Millisecond, Loss: 0.01})
		var members []*memberlist.Memberlist
		// Shutdown does not wait for probes under way, and in a bubble whose
		// first goroutine has ended time stands still.
		defer time.Sleep(time.Minute)
		ip := func(i int) string { return fmt.Sprintf("10.1.0.%d", i+1) }
		for i := range count {
			cfg := memberlist.DefaultLANConfig()
			cfg.Name = fmt.Sprint("node", i)
			cfg.Transport = newGossipLayer(t, n.Host(ip(i)))
			cfg.AdvertiseAddr, cfg.AdvertisePort = ip(i), 8301
			cfg.Logger = log.New(io.Discard, "", 0)
			m, err := memberlist.Create(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := m.Shutdown(); err != nil {
					t.Error(err)
				}
			}()
			members = append(members, m)
			if _, err := m.Join([]string{ip(0) + ":8301"}); err != nil {
				t.Fatal(err)
			}
		}
		// settled waits until all but except see want members.
		settled := func(want, except int) time.Duration {
			begin := time.Now()
			for time.Since(begin) < 5*time.Minute {
				ok := true
				for i, m := range members {
					ok = ok && (i == except || m.NumMembers() == want)
				}
				if ok {
					return time.Since(begin)
				}
				time.Sleep(10 * time.Millisecond)
			}
			t.Fatalf("not all see %d members within 5 min", want)
			return 0
		}
		settled(count, -1)
		n.Isolate(ip(4))
		if d := settled(count-1, 4); d < time.Second || d > time.Minute {
			t.Errorf("the cut was noticed after %v", d)
		}
		n.HealAll()
		if _, err := members[4].Join([]string{ip(0) + ":8301"}); err != nil {
			t.Errorf("join after the cut: %v", err)
		}
		settled(count, -1)
		if n.Total().Packets < 100 {
			t.Errorf("counted %+v", n.Total())
		}
	})
}
