package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/internal/fault"
	"consul.internal/internal/memnet"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lab is a pool over a network in memory.
type lab struct {
	t    *testing.T
	net  *memnet.Net
	mu   sync.Mutex
	logs map[*Pool]*observer.ObservedLogs
	lead bool        // the first member hears of doubts
	hush atomic.Bool // packets get lost, streams pass
}

func newLab(t *testing.T) *lab {
	return &lab{t: t, net: memnet.New(1), logs: map[*Pool]*observer.ObservedLogs{}}
}

func ip(i int) string { return fmt.Sprintf("10.0.%d.%d", i/250, i%250+1) }

func id(i int) string { return fmt.Sprintf("00000000-0000-0000-0000-%012d", i) }

// mod changes the configuration of a test.
var mod = func(*Config) {}

func (l *lab) config(i int) Config {
	c := DefaultLAN()
	c.Name, c.NodeID = fmt.Sprintf("n%d", i), id(i)
	c.Bind = netip.MustParseAddrPort(ip(i) + ":8301")
	c.Tags = map[string]string{"dc": "dc1", "role": "node"}
	if i == 0 && l.lead {
		c.Tags["role"] = "leader"
	}
	mod(&c)
	return c
}

func checkDC(m Member) error {
	if m.Tags["dc"] != "dc1" {
		return fault.Newf(fault.Denied, "member %q is of datacenter %q", m.Name, m.Tags["dc"])
	}
	return nil
}

// hushed is a host whose packets can be stopped.
type hushed struct {
	*memnet.Host
	hush *atomic.Bool
}

func (h hushed) ListenPacket(ctx context.Context, addr string) (net.PacketConn, error) {
	c, err := h.Host.ListenPacket(ctx, addr)
	return hushedConn{c, h.hush}, err
}

type hushedConn struct {
	net.PacketConn
	hush *atomic.Bool
}

func (c hushedConn) WriteTo(b []byte, to net.Addr) (int, error) {
	if c.hush.Load() {
		return len(b), nil
	}
	return c.PacketConn.WriteTo(b, to)
}

func leading(tags map[string]string) bool { return tags["role"] == "leader" }

func (l *lab) make(cfg Config) *Pool {
	l.t.Helper()
	core, seen := observer.New(zap.InfoLevel)
	p, err := New(cfg, Deps{Logger: zap.New(core), Check: checkDC, Network: hushed{l.net.Host(cfg.Bind.Addr().String()), &l.hush}, Watches: leading})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = p.Close() }) // also after a failure, or the bubble never ends
	l.mu.Lock()
	l.logs[p] = seen
	l.mu.Unlock()
	return p
}

func (l *lab) open(cfg Config) *Pool {
	l.t.Helper()
	p := l.make(cfg)
	if err := p.Open(l.t.Context()); err != nil {
		l.t.Fatal(err)
	}
	return p
}

func (l *lab) close(pools ...*Pool) {
	l.t.Helper()
	for _, p := range pools {
		if err := p.Close(); err != nil {
			l.t.Error(err)
		}
	}
}

// cluster opens n members that know of each other.
func (l *lab) cluster(n int) []*Pool {
	l.t.Helper()
	var pools []*Pool
	for i := range n {
		p := l.open(l.config(i))
		if i > 0 {
			if _, err := p.Join(l.t.Context(), []string{pools[0].Advertised().String()}, true); err != nil {
				l.t.Fatal(err)
			}
		}
		pools = append(pools, p)
	}
	l.await(10*time.Second, "everybody knows everybody", func() bool {
		for _, p := range pools {
			if count(p, StatusAlive) != n {
				return false
			}
		}
		return true
	})
	return pools
}

func count(p *Pool, s Status) (n int) {
	for _, m := range p.Members() {
		if m.Status == s {
			n++
		}
	}
	return n
}

// await lets fake time pass until something holds and returns how long that took.
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

func (l *lab) logged(p *Pool, text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.logs[p].All(), func(e observer.LoggedEntry) bool { return strings.Contains(e.Message, text) })
}

func status(p *Pool, name string) Status {
	m, _ := p.Member(name)
	return m.Status
}

// collect reads a pool's events for ever.
func collect(p *Pool) func() []Event {
	var mu sync.Mutex
	var all []Event
	p.run(func() {
		for {
			select {
			case e := <-p.Events():
				mu.Lock()
				all = append(all, e)
				mu.Unlock()
			case <-p.ctx.Done():
				return
			}
		}
	})
	return func() []Event { mu.Lock(); defer mu.Unlock(); return slices.Clone(all) }
}

func last(events []Event, name string) Kind {
	for _, e := range slices.Backward(events) {
		if e.Member.Name == name {
			return e.Kind
		}
	}
	return 0
}

func TestJoinLeaveFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		pools := l.cluster(4)
		events := collect(pools[0])
		synctest.Wait()
		m, ok := pools[1].Member("n2")
		if !ok || m.ID != id(2) || m.AddrPort() != netip.MustParseAddrPort(ip(2)+":8301") || m.Tags["dc"] != "dc1" || m.Tags[tagStart] != "" ||
			m.ProtocolMin != 1 || m.ProtocolMax != 5 || m.ProtocolCur != 2 || m.DelegateMin != 2 || m.DelegateMax != 5 || m.DelegateCur != 4 {
			t.Errorf("member %+v", m)
		}
		if !l.logged(pools[0], "serf: EventMemberJoin: n2 "+ip(2)) {
			t.Error("no line about the join")
		}
		if err := pools[1].Leave(t.Context()); err != nil {
			t.Error(err)
		}
		if s := status(pools[0], "n1"); s != StatusLeft {
			t.Errorf("after a leave it is %v", s)
		}
		l.close(pools[1], pools[2])
		l.await(10*time.Second, "n2 failed", func() bool { return status(pools[0], "n2") == StatusFailed })
		synctest.Wait()
		if k := last(events(), "n1"); k != Left {
			t.Errorf("n1 %v", k)
		}
		if k := last(events(), "n2"); k != Failed {
			t.Errorf("n2 %v", k)
		}
		if err := pools[0].ForceLeave("n2", false); err != nil {
			t.Error(err)
		}
		l.await(time.Second, "n2 was made to leave everywhere", func() bool { return status(pools[3], "n2") == StatusLeft })
		if err := pools[0].ForceLeave("n2", true); err != nil {
			t.Error(err)
		}
		l.await(time.Second, "n2 is forgotten", func() bool { return len(pools[3].Members()) == 3 && len(pools[0].Members()) == 3 })
		synctest.Wait()
		if k := last(events(), "n2"); k != Reaped {
			t.Errorf("n2 %v", k)
		}
		if err := pools[0].ForceLeave("nobody", false); !errors.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "No node found with name 'nobody'") {
			t.Errorf("%v", err)
		}
		if s := pools[0].Stats(); s["members"] != "3" || s["encrypted"] != "false" || s["failed"] != "0" {
			t.Errorf("stats %v", s)
		}
		l.close(pools...)
	})
}

func TestReap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		mod = func(c *Config) { c.ReconnectTimeout = minReconnect } // three days would cost minutes
		defer func() { mod = func(*Config) {} }()
		pools := l.cluster(2)
		events := collect(pools[0])
		l.close(pools[1])
		l.await(10*time.Second, "n1 failed", func() bool { return status(pools[0], "n1") == StatusFailed })
		time.Sleep(minReconnect - time.Hour)
		if status(pools[0], "n1") != StatusFailed {
			t.Error("forgotten too early")
		}
		time.Sleep(2 * time.Hour)
		if len(pools[0].Members()) != 1 || last(events(), "n1") != Reaped {
			t.Error("not forgotten")
		}
		l.close(pools...)
	})
}

func TestTagsAndUserEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		pools := l.cluster(3)
		events := collect(pools[2])
		if err := pools[0].SetTags(map[string]string{"dc": "dc1", "level": "7"}); err != nil {
			t.Error(err)
		}
		l.await(time.Second, "tags", func() bool { m, _ := pools[2].Member("n0"); return m.Tags["level"] == "7" && m.ID == id(0) })
		if err := pools[1].UserEvent("deploy", []byte("v2"), false); err != nil {
			t.Error(err)
		}
		l.await(time.Second, "user event", func() bool {
			return slices.ContainsFunc(events(), func(e Event) bool {
				return e.Kind == User && e.User.Name == "deploy" && string(e.User.Payload) == "v2" && e.User.LTime > 0
			})
		})
		if last(events(), "n0") != Joined && last(events(), "n0") != Updated {
			t.Error("no event about tags")
		}
		if err := pools[1].UserEvent("big", make([]byte, 2000), false); !errors.Is(err, fault.Invalid) {
			t.Errorf("%v", err)
		}
		time.Sleep(20 * time.Second)
		c, err := pools[0].Coordinate()
		other, ok := pools[0].CachedCoordinate("n1")
		if err != nil || len(c.Vec) != 8 || !ok || c.DistanceTo(other) <= 0 {
			t.Errorf("coordinates %v %v %v %v", c, err, other, ok)
		}
		if c.DistanceTo(Coordinate{}) != 0 {
			t.Error("a distance to nowhere")
		}
		rtt, err := pools[0].Ping(t.Context(), "n1")
		if err != nil {
			t.Errorf("ping: %v %v", rtt, err)
		}
		l.net.Isolate(ip(1))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := pools[0].Ping(ctx, "n1"); !errors.Is(err, fault.Unavailable) {
			t.Errorf("ping into nothing: %v", err)
		}
		l.close(pools...)
	})
}

func TestPartitionHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		pools := l.cluster(5)
		l.net.Partition([]string{ip(0), ip(1)}, []string{ip(2), ip(3), ip(4)})
		l.await(30*time.Second, "both sides see it", func() bool {
			return count(pools[0], StatusFailed) == 3 && count(pools[4], StatusFailed) == 2
		})
		time.Sleep(5 * time.Minute)
		l.net.HealAll()
		l.await(30*time.Second, "one pool again", func() bool {
			for _, p := range pools {
				if count(p, StatusAlive) != 5 {
					return false
				}
			}
			return true
		})
		l.close(pools...)
	})
}

func TestMove(t *testing.T) {
	for name, down := range map[string]time.Duration{"at once": 0, "suspected": time.Second, "dead": 20 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				pools := l.cluster(5)
				time.Sleep(time.Minute)
				l.close(pools[2])
				l.net.Host(ip(2)).Down()
				time.Sleep(down + time.Millisecond)
				cfg := l.config(2)
				moved := netip.MustParseAddrPort("10.9.9.9:8301")
				cfg.Bind = moved
				p := l.open(cfg)
				if _, err := p.Join(t.Context(), []string{pools[0].Advertised().String()}, true); err != nil {
					t.Fatal(err)
				}
				pools[2] = p
				took := l.await(5*time.Second, "everybody knows the new address", func() bool {
					for _, p := range pools {
						if m, _ := p.Member("n2"); m.AddrPort() != moved || m.Status != StatusAlive {
							return false
						}
					}
					return true
				})
				t.Logf("taken over everywhere after %v", took)
				time.Sleep(2 * time.Minute)
				for _, p := range pools {
					if m, _ := p.Member("n2"); m.AddrPort() != moved || m.Status != StatusAlive || count(p, StatusAlive) != 5 {
						t.Errorf("later: %+v", m)
					}
				}
				l.close(pools...)
			})
		})
	}
}

// TestMoveClockBack: a machine without a clock begins its new life before the old one.
func TestMoveClockBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		pools := l.cluster(3)
		if err := pools[2].serf.SetTags(pools[2].withStamp(time.Now().Add(1000 * time.Hour).UnixNano())); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		l.close(pools[2])
		l.net.Host(ip(2)).Down()
		cfg := l.config(2)
		cfg.Bind = netip.MustParseAddrPort("10.9.9.9:8301")
		p := l.open(cfg)
		if _, err := p.Join(t.Context(), []string{pools[0].Advertised().String()}, true); err != nil {
			t.Fatal(err)
		}
		pools[2] = p
		l.await(10*time.Second, "everybody knows the new address", func() bool {
			for _, p := range pools {
				if m, _ := p.Member("n2"); m.AddrPort() != cfg.Bind || m.Status != StatusAlive {
					return false
				}
			}
			return true
		})
		l.close(pools...)
	})
}

// TestHeir: a machine that was set up anew comes back under its name and address
// with another node ID, and is the member of that name from then on.
func TestHeir(t *testing.T) {
	for name, down := range map[string]time.Duration{"at once": 0, "dead": 20 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				pools := l.cluster(5)
				time.Sleep(time.Minute)
				l.close(pools[2])
				time.Sleep(down + time.Millisecond)
				cfg := l.config(2)
				cfg.NodeID = id(9)
				p := l.open(cfg)
				if _, err := p.Join(t.Context(), []string{pools[0].Advertised().String()}, true); err != nil {
					t.Fatal(err)
				}
				pools[2] = p
				l.await(10*time.Second, "everybody knows the heir", func() bool {
					for _, p := range pools {
						if m, _ := p.Member("n2"); m.ID != id(9) || m.Status != StatusAlive {
							return false
						}
					}
					return true
				})
				time.Sleep(time.Minute)
				for _, p := range pools {
					if m, _ := p.Member("n2"); m.ID != id(9) || m.Status != StatusAlive || count(p, StatusAlive) != 5 {
						t.Errorf("later: %+v", m)
					}
				}
				l.close(pools...)
			})
		})
	}
}

func TestNameConflict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		pools := l.cluster(3)
		cfg := l.config(7)
		cfg.Name = "n1"
		p := l.open(cfg)
		_, err := p.Join(t.Context(), []string{pools[0].Advertised().String()}, true)
		if !errors.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), id(1)) || !strings.Contains(err.Error(), id(7)) || !strings.Contains(err.Error(), ip(1)) {
			t.Errorf("join with a taken name: %v", err)
		}
		time.Sleep(time.Minute)
		for _, p := range pools {
			if m, _ := p.Member("n1"); m.ID != id(1) || m.Status != StatusAlive || count(p, StatusAlive) != 3 {
				t.Errorf("n1 is %+v", m)
			}
		}
		if !l.logged(pools[0], id(7)) || !l.logged(pools[0], id(1)) {
			t.Error("the pool's log does not name both IDs")
		}
		// The name is free when its owner has left.
		if err := pools[1].Leave(t.Context()); err != nil {
			t.Error(err)
		}
		l.close(pools[1])
		if _, err := p.Join(t.Context(), []string{pools[0].Advertised().String()}, true); err != nil {
			t.Errorf("join with a free name: %v", err)
		}
		l.await(time.Second, "the name is taken", func() bool { m, _ := pools[2].Member("n1"); return m.ID == id(7) && m.Status == StatusAlive })

		cfg = l.config(8)
		cfg.NodeID = id(2)
		double := l.open(cfg)
		if _, err := double.Join(t.Context(), []string{pools[0].Advertised().String()}, true); err == nil || !strings.Contains(err.Error(), "node-id") {
			t.Errorf("join with a taken ID: %v", err)
		}
		if _, ok := pools[0].Member("n8"); ok {
			t.Error("two members with one ID")
		}
		l.close(append(pools, p, double)...)
	})
}

func TestStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		pools := l.cluster(2)
		for i, tags := range []map[string]string{{"dc": "dc2", "role": "consul"}, {}} {
			cfg := l.config(10 + i)
			cfg.Tags = tags
			core, _ := observer.New(zap.InfoLevel)
			p, err := New(cfg, Deps{Logger: zap.New(core), Network: l.net.Host(cfg.Bind.Addr().String())})
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Open(t.Context()); err != nil {
				t.Fatal(err)
			}
			_, _ = p.Join(t.Context(), []string{pools[0].Advertised().String()}, true) // a stranger takes anybody
			time.Sleep(2 * time.Second)
			if len(pools[0].Members()) != 2 {
				t.Errorf("%v was taken in", tags)
			}
			l.close(p)
		}
		other := l.config(20)
		other.Label = "wan"
		p := l.open(other)
		if _, err := p.Join(t.Context(), []string{pools[0].Advertised().String()}, true); !errors.Is(err, fault.Denied) {
			t.Errorf("another label: %v", err)
		}
		l.close(append(pools, p)...)
	})
}

func TestSnapshotRejoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		dir := t.TempDir()
		pools := l.cluster(2)
		cfg := l.config(5)
		cfg.SnapshotPath = filepath.Join(dir, "serf", "local.snapshot")
		p := l.open(cfg)
		if _, err := p.Join(t.Context(), []string{pools[0].Advertised().String()}, true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		l.close(p)
		time.Sleep(20 * time.Second)
		p = l.open(cfg)
		if len(p.Previous()) != 3 {
			t.Errorf("knew %v", p.Previous())
		}
		l.await(5*time.Second, "it finds the pool by itself", func() bool { return count(p, StatusAlive) == 3 && status(pools[1], "n5") == StatusAlive })
		if err := p.Leave(t.Context()); err != nil {
			t.Error(err)
		}
		l.close(p)
		time.Sleep(5 * time.Second)
		p = l.open(cfg)
		time.Sleep(10 * time.Second)
		if len(p.Previous()) != 0 || len(p.Members()) != 1 {
			t.Error("it came back after a leave")
		}
		l.close(p)
		cfg.RejoinAfterLeave = true
		p = l.open(cfg)
		if _, err := p.Join(t.Context(), []string{pools[0].Advertised().String()}, true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if err := p.Leave(t.Context()); err != nil {
			t.Error(err)
		}
		l.close(p)
		p = l.open(cfg)
		l.await(5*time.Second, "it comes back after a leave", func() bool { return count(p, StatusAlive) == 3 })
		l.close(append(pools, p)...)
	})
}
