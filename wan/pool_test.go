package wan

import (
	"errors"
	"fmt"
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
	"consul.internal/internal/gossip"
	"consul.internal/internal/gossip/roster"
	"consul.internal/internal/memnet"
	"go.uber.org/goleak"
	"go.uber.org/zap"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lab is some datacenters over a network in memory. The servers of each know each
// other as their own pool would tell them.
type lab struct {
	t     *testing.T
	net   *memnet.Net
	dir   string
	pools map[string]*Pool // by name, as n1.dc1
	mu    sync.Mutex
	near  map[string][]roster.Server // guarded by mu
	flaps atomic.Int64               // members that failed, as anybody saw it
}

func newLab(t *testing.T) *lab {
	return &lab{t: t, net: memnet.New(1), dir: t.TempDir(), pools: map[string]*Pool{}, near: map[string][]roster.Server{}}
}

func ip(dc, i int) string { return fmt.Sprintf("10.%d.0.%d", dc, i) }

func (l *lab) config(dc, i int, join ...string) Config {
	c := DefaultConfig()
	c.Identity = roster.Identity{
		Name: fmt.Sprintf("n%d", i), ID: fmt.Sprintf("00000000-1111-2222-%04d-%012d", dc, i), Datacenter: fmt.Sprintf("dc%d", dc), Build: "1.21.0",
		Server: true, ServerPort: 8300, WANPort: 8302,
	}
	c.Gossip.Bind = netip.MustParseAddrPort(ip(dc, i) + ":8302")
	c.RetryJoin = join
	c.ForgottenPath = filepath.Join(l.dir, fmt.Sprintf("forgotten-%d-%d.json", dc, i))
	return c
}

// open starts a server; nearby ones are those of its datacenter that were opened.
func (l *lab) open(dc, i int, join ...string) *Pool {
	l.t.Helper()
	c := l.config(dc, i, join...)
	name := c.Identity.Datacenter
	p, err := New(c, Deps{
		Logger: zap.NewNop(), Network: l.net.Host(ip(dc, i)), Nearby: func() []roster.Server {
			l.mu.Lock()
			defer l.mu.Unlock()
			return slices.Clone(l.near[name])
		},
	})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = p.Close() }) // also after a failure, or the bubble never ends
	if err := p.Open(l.t.Context()); err != nil {
		l.t.Fatal(err)
	}
	l.pools[c.name()] = p
	l.mu.Lock()
	l.near[name] = append(l.near[name], roster.Server{
		ID: c.Identity.ID, Name: c.Identity.Name, Datacenter: name, Status: gossip.StatusAlive, WAN: c.Gossip.Bind,
	})
	l.mu.Unlock()
	p.wg.Go(func() {
		for {
			select {
			case e := <-p.Events():
				if e.Kind == gossip.Failed {
					l.flaps.Add(1)
				}
			case <-p.ctx.Done():
				return
			}
		}
	})
	return p
}

func (l *lab) close() {
	for _, p := range l.pools {
		if err := p.Close(); err != nil {
			l.t.Error(err)
		}
	}
	l.net.Close()
}

func alive(p *Pool) string {
	var names []string
	for _, m := range p.Members() {
		if m.Status == gossip.StatusAlive {
			names = append(names, m.Name)
		}
	}
	return strings.Join(names, " ")
}

func (l *lab) await(within time.Duration, what string, cond func() bool) {
	l.t.Helper()
	began := time.Now()
	for !cond() {
		if time.Since(began) > within {
			for name, p := range l.pools {
				for _, m := range p.Members() {
					l.t.Logf("%s: %s is %s", name, m.Name, m.Status)
				}
			}
			l.t.Fatalf("not within %v: %s", within, what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (l *lab) all(want string) func() bool {
	return func() bool {
		for _, p := range l.pools {
			if alive(p) != want {
				return false
			}
		}
		return true
	}
}

func names(p *Pool) string {
	var out []string
	for _, dc := range p.Datacenters() {
		out = append(out, dc.Name)
	}
	return strings.Join(out, " ")
}

// TestFlood: one server that joins brings its datacenter along, and distances are
// learned.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		defer l.close()
		l.net.SetDefault(memnet.Rule{Delay: 5 * time.Millisecond})
		for i := 1; i <= 3; i++ {
			l.open(1, i)
		}
		l.open(2, 1, ip(1, 1))
		l.open(2, 2)
		l.open(3, 1, ip(1, 2)+":8302")
		for i := 1; i <= 3; i++ {
			l.net.SetLink(ip(2, 1), ip(1, i), memnet.Rule{Delay: 40 * time.Millisecond})
			l.net.SetLink(ip(2, 2), ip(1, i), memnet.Rule{Delay: 40 * time.Millisecond})
		}
		l.await(15*time.Second, "all know all", l.all("n1.dc1 n1.dc2 n1.dc3 n2.dc1 n2.dc2 n3.dc1"))
		time.Sleep(5 * time.Minute)
		p := l.pools["n1.dc1"]
		if got := names(p); got != "dc1 dc3 dc2" {
			t.Errorf("datacenters %q", got)
		}
		for _, dc := range p.Datacenters() {
			if dc.Name == "dc2" && (dc.RTT < 60*time.Millisecond || dc.RTT > 110*time.Millisecond || dc.Alive != 2) {
				t.Errorf("%+v, it is 80 ms away", dc)
			}
		}
		tags := p.Local().Tags
		if tags["role"] != "consul" || tags["dc"] != "dc1" || tags["port"] != "8300" || tags["wan_join_port"] != "" {
			t.Errorf("tags %v", tags)
		}
	})
}

// TestForget: a datacenter that was removed stays away, also after a restart of
// those who know, and until a person joins it anew.
func TestForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		defer l.close()
		l.open(1, 1)
		l.open(1, 2)
		l.open(3, 1, ip(1, 1))
		l.open(2, 1, ip(1, 1))
		l.await(15*time.Second, "all know all", l.all("n1.dc1 n1.dc2 n1.dc3 n2.dc1"))
		p := l.pools["n1.dc1"]
		for name, want := range map[string]error{"dc1": fault.Invalid, "dc9": fault.NotFound, "dc2": fault.Conflict} {
			if err := p.Forget(name); !errors.Is(err, want) {
				t.Errorf("forget %s: %v", name, err)
			}
		}
		if err := l.pools["n1.dc2"].Close(); err != nil {
			t.Fatal(err)
		}
		delete(l.pools, "n1.dc2")
		l.await(2*time.Minute, "its failure is known", l.all("n1.dc1 n1.dc3 n2.dc1"))
		if got := names(p); !strings.Contains(got, "dc2") {
			t.Errorf("a failed datacenter is one still: %q", got)
		}
		if err := p.Forget("dc2"); err != nil {
			t.Fatal(err)
		}
		gone := func() bool {
			for _, p := range l.pools {
				if strings.Contains(names(p), "dc2") || slices.ContainsFunc(p.Members(), func(m roster.Member) bool { return m.Name == "n1.dc2" }) {
					return false
				}
			}
			return true
		}
		l.await(30*time.Second, "nobody knows it", gone)
		time.Sleep(5 * time.Second)
		l.open(2, 1, ip(1, 1)) // somebody starts it again; it is not let in
		for range 60 {
			time.Sleep(5 * time.Second)
			if n := alive(p); strings.Contains(n, "dc2") {
				t.Fatalf("it came back: %s", n)
			}
		}
		for _, name := range []string{"n1.dc1", "n1.dc3"} {
			if err := l.pools[name].Close(); err != nil {
				t.Fatal(err)
			}
		}
		l.open(1, 1, ip(1, 2))
		l.open(3, 1, ip(1, 1))
		l.await(time.Minute, "they are back", func() bool { return alive(l.pools["n2.dc1"]) == "n1.dc1 n1.dc3 n2.dc1" })
		time.Sleep(time.Minute)
		if n := alive(l.pools["n1.dc1"]); strings.Contains(n, "dc2") {
			t.Errorf("it came back after a restart: %s", n)
		}
		if n, err := l.pools["n2.dc1"].Join(t.Context(), []string{ip(2, 1)}); n != 1 || err != nil {
			t.Errorf("joined %d, %v", n, err)
		}
		l.await(2*time.Minute, "all know all again", l.all("n1.dc1 n1.dc2 n1.dc3 n2.dc1"))
	})
}

// TestHub: datacenters that see each other only through a third one do not take
// each other for failed.
func TestHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		defer l.close()
		l.net.SetDefault(memnet.Rule{Delay: 10 * time.Millisecond})
		l.open(1, 1)
		l.open(1, 2)
		for dc := 2; dc <= 5; dc++ {
			l.open(dc, 1, ip(1, 1))
			l.open(dc, 2)
		}
		l.await(time.Minute, "all know all", func() bool {
			for _, p := range l.pools {
				if len(strings.Fields(alive(p))) != 10 {
					return false
				}
			}
			return true
		})
		for a := 2; a <= 5; a++ {
			for b := a + 1; b <= 5; b++ {
				for _, x := range []string{ip(a, 1), ip(a, 2)} {
					for _, y := range []string{ip(b, 1), ip(b, 2)} {
						l.net.Cut(x, y)
						l.net.Cut(y, x)
					}
				}
			}
		}
		time.Sleep(10 * time.Minute)
		if n := l.flaps.Load(); n > 0 {
			t.Errorf("%d times somebody took a server that lives for failed", n)
		}
	})
}
