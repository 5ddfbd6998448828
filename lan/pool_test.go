package lan

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/internal/fault"
	"consul.internal/internal/gossip"
	"consul.internal/internal/memnet"
	"go.uber.org/goleak"
	"go.uber.org/zap"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lab is a datacenter over a network in memory, with a name service.
type lab struct {
	t     *testing.T
	net   *memnet.Net
	mu    sync.Mutex
	names map[string]string
}

func newLab(t *testing.T) *lab {
	return &lab{t: t, net: memnet.New(1), names: map[string]string{}}
}

func (l *lab) set(name, addr string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.names[name] = addr
}

func (l *lab) lookup(_ context.Context, host string) ([]netip.Addr, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a, err := netip.ParseAddr(l.names[host])
	if err != nil {
		return nil, fmt.Errorf("no such host %s", host)
	}
	return []netip.Addr{a}, nil
}

func uuid(i int) string { return fmt.Sprintf("00000000-1111-2222-3333-%012d", i) }

func (l *lab) config(i int, server bool, join ...string) Config {
	c := DefaultConfig()
	c.Identity = Identity{Name: fmt.Sprintf("n%d", i), ID: uuid(i), Datacenter: "dc1", Build: "1.21.0", Server: server}
	if server {
		c.Identity.ServerPort = 8300
	}
	c.Gossip.Bind = netip.MustParseAddrPort(fmt.Sprintf("10.0.0.%d:8301", i))
	c.RetryJoin = join
	return c
}

func (l *lab) open(c Config) *Pool {
	l.t.Helper()
	p, err := New(c, Deps{
		Logger: zap.NewNop(), Network: l.net.Host(c.Gossip.Bind.Addr().String()), Lookup: l.lookup,
		Expand: func(s string) (string, error) {
			if s == "{{ bad }}" {
				return "", errors.New("bad template")
			}
			return "10.0.0.1 10.0.0.2:8301", nil
		},
	})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = p.Close() }) // also after a failure, or the bubble never ends
	if err := p.Open(l.t.Context()); err != nil {
		l.t.Fatal(err)
	}
	return p
}

func alive(p *Pool) (n int) {
	for _, m := range p.Members() {
		if m.Status == gossip.StatusAlive {
			n++
		}
	}
	return n
}

func (l *lab) await(within time.Duration, what string, cond func() bool) time.Duration {
	l.t.Helper()
	began := time.Now()
	for !cond() {
		if time.Since(began) > within {
			l.t.Fatalf("not within %v: %s", within, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(began)
}

func whole(n int, pools ...*Pool) func() bool {
	return func() bool {
		for _, p := range pools {
			if alive(p) != n {
				return false
			}
		}
		return true
	}
}

func closeAll(t *testing.T, pools ...*Pool) {
	t.Helper()
	for _, p := range pools {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

// permutations of 0..n-1.
func permutations(n int) (out [][]int) {
	var grow func(done []int)
	grow = func(done []int) {
		if len(done) == n {
			out = append(out, append([]int(nil), done...))
			return
		}
	next:
		for i := range n {
			for _, d := range done {
				if d == i {
					continue next
				}
			}
			grow(append(done, i))
		}
	}
	grow(nil)
	return out
}

// TestAnyStartOrder: three servers and two clients that all join the first server
// by name find each other in every order, a second apart.
func TestAnyStartOrder(t *testing.T) {
	orders := permutations(5)
	if len(orders) != 120 {
		t.Fatal(len(orders))
	}
	worst := time.Duration(0)
	for _, order := range orders {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t)
			var pools []*Pool
			for _, i := range order {
				l.set(fmt.Sprintf("host%d", i+1), fmt.Sprintf("10.0.0.%d", i+1))
				pools = append(pools, l.open(l.config(i+1, i < 3, "host1")))
				time.Sleep(time.Second)
			}
			worst = max(worst, l.await(10*time.Second, fmt.Sprintf("one pool in order %v", order), whole(5, pools...)))
			for _, p := range pools {
				if len(p.Servers()) != 3 {
					t.Errorf("order %v: servers %v", order, p.Servers())
				}
			}
			closeAll(t, pools...)
		})
	}
	t.Logf("worst time after the last start: %v", worst)
}

// TestAllMove: everybody restarts at another address; names and files find the
// pool again.
func TestAllMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		dir := t.TempDir()
		var pools []*Pool
		start := func(shift int) {
			pools = nil
			for i := 1; i <= 3; i++ {
				c := l.config(i, true, "host1", "host2", "host3")
				c.Gossip.Bind = netip.MustParseAddrPort(fmt.Sprintf("10.0.%d.%d:8301", shift, i))
				c.Gossip.SnapshotPath = filepath.Join(dir, fmt.Sprint(i))
				l.set(fmt.Sprintf("host%d", i), c.Gossip.Bind.Addr().String())
				pools = append(pools, l.open(c))
			}
		}
		start(0)
		l.await(10*time.Second, "one pool", whole(3, pools...))
		time.Sleep(5 * time.Second)
		closeAll(t, pools...)
		time.Sleep(time.Minute)
		start(7)
		l.await(10*time.Second, "one pool again", whole(3, pools...))
		time.Sleep(time.Minute)
		for _, s := range pools[0].Servers() {
			if !strings.HasPrefix(s.Addr.String(), "10.0.7.") || s.Status != gossip.StatusAlive {
				t.Errorf("%+v", s)
			}
		}
		closeAll(t, pools...)
	})
}

// TestSnapshotAlone: without retry_join an agent that was away finds the pool by
// its file, even if the pool comes later.
func TestSnapshotAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		a := l.open(l.config(1, true))
		c := l.config(2, false, "10.0.0.1")
		c.Gossip.SnapshotPath = filepath.Join(t.TempDir(), "local.snapshot")
		b := l.open(c)
		l.await(5*time.Second, "joined", whole(2, a, b))
		time.Sleep(3 * time.Second)
		closeAll(t, a, b)
		c.RetryJoin = nil
		b = l.open(c)
		time.Sleep(5 * time.Minute)
		a = l.open(l.config(1, true))
		l.await(31*time.Second, "joined again", whole(2, a, b))
		closeAll(t, a, b)
	})
}

func TestRetryMax(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		c := l.config(1, false, "10.0.0.9", "nohost", "{{ bad }}")
		c.RetryMax, c.RetryInterval = 3, 20*time.Second
		p := l.open(c)
		began := time.Now()
		err := <-p.GaveUp()
		if took := time.Since(began); took < time.Minute || took > 2*time.Minute {
			t.Errorf("gave up after %v", took)
		}
		if !errors.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "retry_max") {
			t.Errorf("%v", err)
		}
		alone := l.config(2, true, "10.0.0.2")
		alone.RetryMax = 1
		self := l.open(alone)
		time.Sleep(time.Hour)
		select {
		case err := <-self.GaveUp():
			t.Errorf("who only names itself gave up: %v", err)
		default:
		}
		closeAll(t, p, self)
	})
}

func TestTemplateAndLateMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		a, c := l.open(l.config(1, true)), l.open(l.config(3, false, "{{ anything }}"))
		l.await(5*time.Second, "joined", whole(2, a, c))
		// 10.0.0.2 is named too and comes later, joining nobody.
		time.Sleep(5 * time.Minute)
		b := l.open(l.config(2, true))
		l.await(31*time.Second, "the late one is found", whole(3, a, b, c))
		closeAll(t, a, b, c)
	})
}

func TestWrongDatacenter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		a := l.open(l.config(1, true))
		c := l.config(2, true)
		c.Identity.Datacenter = "dc2"
		b := l.open(c)
		_, err := b.Join(t.Context(), []string{"10.0.0.1"})
		if err == nil || !strings.Contains(err.Error(), "part of wrong datacenter 'dc1'") {
			t.Errorf("%v", err)
		}
		time.Sleep(time.Minute)
		if len(a.Members()) != 1 || len(b.Members()) != 1 {
			t.Error("two datacenters met")
		}
		closeAll(t, a, b)
	})
}

func TestEventsAndServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		c := l.config(1, true)
		c.Identity.Expect, c.Identity.Level = 3, 4
		a := l.open(c)
		b := l.open(l.config(2, false, "10.0.0.1"))
		seen := map[string]Event{}
		for len(seen) < 2 {
			e := <-b.Events()
			if e.Kind == gossip.Joined {
				seen[e.Member.Name] = e
			}
		}
		s := seen["n1"].Member.Server
		if s == nil || s.Addr.String() != "10.0.0.1:8300" || s.Expect != 3 || s.Level != 4 || s.Bootstrap || s.NonVoter || s.RaftVsn != 3 || s.ID != uuid(1) {
			t.Errorf("server %+v", s)
		}
		if seen["n2"].Member.Server != nil || b.Local().Name != "n2" {
			t.Error("a client is a server")
		}
		if err := a.SetCluster("c-1"); err != nil {
			t.Error(err)
		}
		if e := <-b.Events(); e.Kind != gossip.Updated || e.Member.Server.Cluster != "c-1" || e.Member.Server.Level != 4 {
			t.Errorf("%+v", e)
		}
		if err := a.UserEvent("x", nil, true); err != nil {
			t.Error(err)
		}
		if e := <-b.Events(); e.Kind != gossip.User || e.User.Name != "x" {
			t.Errorf("%+v", e)
		}
		if err := a.Leave(t.Context()); err != nil {
			t.Error(err)
		}
		if e := <-b.Events(); e.Kind != gossip.Left || e.Member.Status != gossip.StatusLeft {
			t.Errorf("%+v", e)
		}
		closeAll(t, a, b)
	})
}
