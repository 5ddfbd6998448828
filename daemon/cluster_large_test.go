package daemon_test

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/catalog"
	"consul.internal/internal/gossip"
	"consul.internal/internal/memnet"
	"consul.internal/lan"
	"consul.internal/rpc"
	"consul.internal/server/leader"
	"go.uber.org/zap"
)

var (
	largePool = flag.Int("cluster.large", 0, "put so many agents into one pool; 1000 take hours and some GiB")
	largeTime = flag.Duration("cluster.largetime", 10*time.Minute, "how long the large pool loses packets")
)

// largeServers of the large pool serve; the first one leads.
const largeServers = 3

// TestLargePool: in a large pool that loses a tenth of all packets for ten minutes
// no living node turns critical in the catalog; a death does, and is known
// everywhere within 15 s. It says what a member costs.
//
// The agents are their pools and the leader's duties, without the rest of them.
func TestLargePool(t *testing.T) {
	n := *largePool
	if n == 0 {
		t.Skip("give -args -cluster.large=1000")
	}
	began := time.Now() // real time, as the end is
	synctest.Test(t, func(t *testing.T) {
		before := held()
		l := newLarge(t, n)
		l.start()
		tell("all have started")
		took := l.whole()
		perMember := (held() - before) / uint64(n)
		t.Logf("%d members: whole %v after the last start; %d KiB a member, network and knowledge of all others included", n, took, perMember/1024)
		b := l.lead()
		tell("the pool is whole")

		// A quiet network: who dies is known everywhere.
		first := l.kill(n / 2)
		critical, everywhere := l.known(n/2, b, first, 1)
		t.Logf("a death was in the catalog after %v, and known everywhere after %v", critical, everywhere)

		// A bad one: nobody dies who lives.
		l.net.SetDefault(memnet.Rule{Delay: largeDelay, Loss: 0.1})
		minute, failed := 0, 0
		for from := time.Now(); time.Since(from) < *largeTime; time.Sleep(time.Second) {
			if names := b.critical(); len(names) != 1 {
				t.Fatalf("after %v at 10 %% loss: critical: %v", time.Since(from), names)
			}
			if l.pools[0].Stats()["failed"] != "1" {
				failed++
			}
			if m := int(time.Since(from) / time.Minute); m != minute {
				minute = m
				tell(fmt.Sprintf("%d min of %v at 10 %% loss", m, *largeTime))
			}
		}
		t.Logf("10 %% loss for %v: no living node turned critical; the leader's pool held somebody for failed in %d of %d looks", *largeTime, failed, int(*largeTime/time.Second))
		second := l.kill(n / 3)
		critical, everywhere = l.known(n/3, b, second, 2)
		t.Logf("a death at 10 %% loss was in the catalog after %v, and known everywhere after %v", critical, everywhere)
	})
	t.Logf("all that in %v of real time", time.Since(began).Round(time.Second))
}

// tell is a sign of life: the whole takes long.
func tell(what string) { fmt.Printf("large: %s, %d MiB in use\n", what, held()>>20) }

// largeDelay of each packet: a switch and two kernels.
const largeDelay = 200 * time.Microsecond

// large is a pool of many agents in fake time.
type large struct {
	t     *testing.T
	net   *memnet.Net
	pools []*lan.Pool
	// silent drops all packets: who starts hears of the others in one exchange with a
	// server, and a thousand starts need not be told to a thousand members each.
	silent atomic.Bool
	dead   map[int]bool
}

func newLarge(t *testing.T, n int) *large {
	l := &large{t: t, net: memnet.New(1), pools: make([]*lan.Pool, n), dead: map[int]bool{}}
	l.net.SetDefault(memnet.Rule{Delay: largeDelay})
	t.Cleanup(func() {
		var wg sync.WaitGroup // one after the other, each would see those before it die
		for _, p := range l.pools {
			if p != nil {
				wg.Go(func() { _ = p.Close() }) // nothing is left to be lost
			}
		}
		wg.Wait()
		l.net.Close()
		time.Sleep(time.Minute) // what has a deadline ends with it
	})
	return l
}

func (l *large) ip(i int) string { return fmt.Sprintf("10.0.%d.%d", i/250, i%250+1) }

// hushed is a host whose packets can be stopped.
type hushed struct {
	*memnet.Host
	silent *atomic.Bool
}

func (h hushed) ListenPacket(ctx context.Context, addr string) (net.PacketConn, error) {
	c, err := h.Host.ListenPacket(ctx, addr)
	return hushedConn{c, h.silent}, err
}

type hushedConn struct {
	net.PacketConn
	silent *atomic.Bool
}

func (c hushedConn) WriteTo(b []byte, to net.Addr) (int, error) {
	if c.silent.Load() {
		return len(b), nil
	}
	return c.PacketConn.WriteTo(b, to)
}

func (l *large) start() {
	l.silent.Store(true)
	for i := range l.pools {
		cfg := lan.DefaultConfig()
		cfg.Identity = lan.Identity{
			Name: fmt.Sprintf("n%d", i), ID: fmt.Sprintf("00000000-0000-4000-8000-%012d", i), Datacenter: "dc1", Build: "1.21.0",
		}
		if i < largeServers {
			cfg.Identity.Server, cfg.Identity.ServerPort = true, 8300
		}
		cfg.Gossip.Bind = netip.AddrPortFrom(netip.MustParseAddr(l.ip(i)), lan.DefaultPort)
		p, err := lan.New(cfg, lan.Deps{Logger: zap.NewNop(), Network: hushed{l.net.Host(l.ip(i)), &l.silent}})
		if err != nil {
			l.t.Fatal(err)
		}
		if err := p.Open(l.t.Context()); err != nil {
			l.t.Fatal(err)
		}
		l.pools[i] = p
		if i > 0 {
			go func() { // ends with the pool's events, which nobody here needs
				for {
					select {
					case <-p.Events():
					case <-l.t.Context().Done():
						return
					}
				}
			}()
			l.join(i)
		}
	}
	for i := range l.pools {
		l.join(i) // and hear of those who came later
	}
	time.Sleep(2 * time.Minute) // what is waiting to be told is told to nobody
	l.silent.Store(false)
}

func (l *large) join(i int) {
	l.t.Helper()
	if i == 0 {
		return
	}
	if _, err := l.pools[i].Join(l.t.Context(), []string{l.ip(0)}); err != nil {
		l.t.Fatal(err)
	}
}

// all reports whether a figure is the same for every living member; it looks at no
// more of them than it has to.
func (l *large) all(figure string, want int) bool {
	for i, p := range l.pools {
		if !l.dead[i] && p.Stats()[figure] != strconv.Itoa(want) {
			return false
		}
	}
	return true
}

func (l *large) whole() time.Duration {
	l.t.Helper()
	began := time.Now()
	for !l.all("members", len(l.pools)) || !l.all("failed", 0) {
		if time.Since(began) > 5*time.Minute {
			l.t.Fatal("the pool does not become whole")
		}
		time.Sleep(time.Second)
	}
	return time.Since(began)
}

// lead gives the first member the leader's duties, over a catalog in memory.
func (l *large) lead() *book {
	l.t.Helper()
	b := &book{nodes: map[string]*catalog.Node{}, checks: map[string]*catalog.Check{}}
	p := l.pools[0]
	changed := make(chan struct{}, 1)
	ctx := l.t.Context()
	go func() {
		for {
			select {
			case <-p.Events():
				select {
				case changed <- struct{}{}:
				default:
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	r := &leader.Reconciler{
		Caller: b, Self: "00000000-0000-4000-8000-000000000000", Opened: time.Now(), Forget: 72 * time.Hour, Log: zap.NewNop(),
		Members: func() (out []leader.Member) {
			for _, m := range p.Members() {
				lm := leader.Member{ID: m.ID, Name: m.Name, Address: m.Addr.String(), Status: leader.Left}
				switch m.Status {
				case gossip.StatusAlive:
					lm.Status = leader.Alive
				case gossip.StatusFailed:
					lm.Status = leader.Failed
				}
				out = append(out, lm)
			}
			return out
		},
		Changed: changed, Doubts: p.Doubts(), Silent: p.Silent,
		Reachable: func(ctx context.Context, m leader.Member) bool {
			ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond) // as the daemon does
			defer cancel()
			_, err := p.Ping(ctx, m.Name)
			return err == nil
		},
	}
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx) }()
	l.t.Cleanup(func() { <-done })
	for began := time.Now(); len(b.living()) != len(l.pools); time.Sleep(time.Second) {
		if time.Since(began) > time.Minute {
			l.t.Fatalf("%d of %d nodes in the catalog", len(b.living()), len(l.pools))
		}
	}
	return b
}

func (l *large) kill(i int) time.Time {
	l.net.Host(l.ip(i)).Down()
	l.dead[i] = true
	return time.Now()
}

// known waits until the death of a member is in the catalog and known everywhere.
func (l *large) known(i int, b *book, since time.Time, failed int) (critical, everywhere time.Duration) {
	l.t.Helper()
	for critical == 0 || everywhere == 0 {
		time.Sleep(100 * time.Millisecond)
		if critical == 0 && len(b.critical()) == failed {
			critical = time.Since(since)
		}
		if everywhere == 0 && l.all("failed", failed) {
			everywhere = time.Since(since)
		}
		if time.Since(since) > 15*time.Second {
			l.t.Fatalf("n%d: in the catalog after %v, everywhere after %v (0 = not within 15 s)", i, critical, everywhere)
		}
	}
	return critical, everywhere
}

// book is a catalog of nodes and their checks of life in memory.
type book struct {
	mu     sync.Mutex
	nodes  map[string]*catalog.Node
	checks map[string]*catalog.Check
}

// Call implements rpc.Caller.
func (b *book) Call(_ context.Context, method string, in, out any) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch in := in.(type) {
	case *rpc.NodeRequest:
		switch reply := out.(type) {
		case *rpc.NodeReply:
			reply.Node = b.nodes[in.Node]
		case *rpc.ChecksReply:
			if c := b.checks[in.Node]; c != nil {
				reply.Checks = []*catalog.Check{c}
			}
		}
	case *rpc.StateRequest:
		for _, c := range b.checks {
			out.(*rpc.ChecksReply).Checks = append(out.(*rpc.ChecksReply).Checks, c)
		}
	case *rpc.RegisterRequest:
		b.nodes[in.Node.Name] = in.Node
		for _, c := range in.Checks {
			b.checks[in.Node.Name] = c
		}
	case *rpc.DeregisterRequest:
		delete(b.nodes, in.Node)
		delete(b.checks, in.Node)
	default:
		return fmt.Errorf("%s is not expected", method)
	}
	return nil
}

func (b *book) with(s catalog.Status) (names []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, c := range b.checks {
		if c.Status == s {
			names = append(names, name)
		}
	}
	return names
}

func (b *book) critical() []string { return b.with(catalog.Critical) }
func (b *book) living() []string   { return b.with(catalog.Passing) }

// held is what the process holds in memory, heap and stacks.
func held() uint64 {
	runtime.GC()
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	return ms.HeapAlloc + ms.StackInuse
}
