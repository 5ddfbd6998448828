package view_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zaptest"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/view"
	"consul.internal/view/saved"
)

// say is what a mirror says of a service, for a comparison.
func say(m *view.Mirror, t *testing.T, name string) string {
	began := time.Now()
	s, st, err := m.Service(t.Context(), "", name)
	if took := time.Since(began); took > 100*time.Millisecond {
		t.Errorf("%s: an answer took %v", name, took)
	}
	out := "absent"
	if err != nil {
		out = "error " + string(fault.Of(err))
		if errors.Is(err, view.ErrNotReady) {
			out = "not ready"
		}
		return out
	}
	if s != nil {
		out = s.Name + ":"
		for _, i := range s.Instances {
			out += " " + i.Node.Name + "/" + i.Service.ID
		}
	}
	if st.Stale {
		out += " stale"
	}
	return out
}

func want(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func TestMirrorAnswers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServer()
		s.apply(5, set("a", "w", "Web", "192.0.2.1"), setNode("a", "10.0.0.1"))
		net := newNetwork(s)
		m := newMirror(t, net)
		want(t, "at first", say(m, t, "wEB"), "Web: a/w")
		want(t, "no such name", say(m, t, "none"), "absent")
		n, st, err := m.Node(t.Context(), "DC1", "A")
		if err != nil || n == nil || n.Node.Address != "10.0.0.1" || st.Stale || st.Index != 5 {
			t.Errorf("node: %+v %+v %v", n, st, err)
		}
		for _, ip := range []string{"192.0.2.1", "::ffff:192.0.2.1"} {
			a, _, err := m.Address(t.Context(), "", netip.MustParseAddr(ip))
			if err != nil || a == nil || len(a.Services) != 1 || len(a.Nodes) != 0 {
				t.Errorf("address: %+v %v", a, err)
			}
		}
		if a, _, err := m.Address(t.Context(), "", netip.MustParseAddr("192.0.2.99")); a != nil || err != nil {
			t.Errorf("an address of nobody: %+v %v", a, err)
		}
		if _, _, err := m.Service(t.Context(), "dc2", "web"); !errors.Is(err, fault.NotFound) {
			t.Errorf("another datacenter: %v", err)
		}
		// By push.
		s.apply(6, set("b", "w", "web", ""), set("a", "d", "db", ""))
		synctest.Wait()
		want(t, "after a change", say(m, t, "web"), "Web: a/w b/w")
		want(t, "a new name", say(m, t, "db"), "db: a/d")
		s.apply(7, gone("a", "w"), gone("b", "w"))
		synctest.Wait()
		asked := net.asked(svc("web"))
		want(t, "gone", say(m, t, "web"), "absent")
		if net.asked(svc("web")) != asked || net.followed()[svc("web")] || net.asked(svc("none")) != 0 {
			t.Errorf("asks for what does not exist; followed %v", net.followed())
		}
		s.apply(8, set("a", "w", "web", ""))
		synctest.Wait()
		want(t, "back again", say(m, t, "web"), "web: a/w")
	})
}

// Names are answered with no server, and are stale two seconds later.
func TestMirrorOutlivesServers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServer()
		s.apply(5, set("a", "w", "web", ""), set("a", "d", "db", ""))
		net := newNetwork(s)
		m := newMirror(t, net)
		want(t, "at first", say(m, t, "web"), "web: a/w")
		time.Sleep(time.Minute)
		want(t, "a minute later", say(m, t, "web"), "web: a/w")
		net.isolate(true)
		time.Sleep(1700 * time.Millisecond)
		want(t, "lost for less than 2 s", say(m, t, "web"), "web: a/w")
		want(t, "and the index still counts", say(m, t, "none"), "absent")
		time.Sleep(600 * time.Millisecond)
		want(t, "lost for more", say(m, t, "web"), "web: a/w stale")
		want(t, "never learned", say(m, t, "db"), "not ready")
		want(t, "not known to be absent", say(m, t, "none"), "not ready")
		time.Sleep(time.Hour)
		want(t, "an hour later", say(m, t, "web"), "web: a/w stale")
		if _, st, _ := m.Service(t.Context(), "", "web"); st.Age < time.Hour || st.Age > time.Hour+3*time.Second || st.Index != 5 {
			t.Errorf("an hour later: %+v", st)
		}
		s.apply(6, set("b", "w", "web", ""))
		net.isolate(false)
		time.Sleep(1100 * time.Millisecond) // the longest pause, and a heartbeat
		want(t, "back", say(m, t, "web"), "web: a/w b/w")
		want(t, "back too", say(m, t, "none"), "absent")
	})
}

func TestMirrorWithoutLeader(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServer()
		s.apply(5, set("a", "w", "web", ""))
		m := newMirror(t, newNetwork(s))
		want(t, "at first", say(m, t, "web"), "web: a/w")
		s.leaderLost(1500 * time.Millisecond)
		time.Sleep(300 * time.Millisecond)
		want(t, "an election", say(m, t, "web"), "web: a/w")
		s.leaderLost(2100 * time.Millisecond)
		time.Sleep(3 * time.Second)
		want(t, "no leader", say(m, t, "web"), "web: a/w stale")
		if st, err := m.State(t.Context(), ""); err != nil || !st.Stale || st.Age < 2*time.Second {
			t.Errorf("state: %+v %v", st, err)
		}
		s.leaderLost(0)
		time.Sleep(300 * time.Millisecond)
		want(t, "a leader", say(m, t, "web"), "web: a/w")
	})
}

// A server that hangs is left after three heartbeats, for the next one.
func TestMirrorLeavesSilentServer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServer()
		s.apply(5, set("a", "w", "web", ""))
		net := newNetwork(s)
		net.count(func() { net.mute = true })
		m := newMirror(t, net)
		want(t, "nobody says anything", say(m, t, "web"), "not ready")
		net.count(func() { net.mute = false })
		time.Sleep(900 * time.Millisecond)
		want(t, "the next one", say(m, t, "web"), "web: a/w")
		if net.sessionsEver() != 2 {
			t.Errorf("%d sessions", net.sessionsEver())
		}
	})
}

// On a line that is silent for a second again and again sessions last after the
// first two; a session that lasts a minute brings the old patience back, and
// servers that fall silent after it are left as soon as ever.
func TestMirrorBearsPauses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServer()
		s.apply(5, set("a", "w", "web", ""))
		net := newNetwork(s)
		pauses := func(d time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); {
				net.count(func() { net.slow = func() time.Duration { return 500 * time.Millisecond } }) // twice for each
				time.Sleep(2 * time.Second)
				net.count(func() { net.slow = nil })
				time.Sleep(time.Second)
			}
		}
		newMirror(t, net)
		time.Sleep(time.Second)
		pauses(time.Minute)
		if n := net.sessionsEver(); n < 2 || n > 3 {
			t.Errorf("%d sessions on a line with pauses", n)
		}
		time.Sleep(2 * time.Minute)
		net.drop()
		time.Sleep(11 * time.Second)
		before := net.sessionsEver()
		net.count(func() { net.mute = true })
		time.Sleep(10 * time.Second)
		if n := net.sessionsEver() - before; n < 7 { // 5 if who is not heard at all were borne
			t.Errorf("%d sessions in the time in which seven silent servers are left", n)
		}
	})
}

// A server that is behind what was told before is not believed.
func TestMirrorNeverGoesBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, behind := newServer(), newServer()
		for _, x := range []*server{s, behind} {
			x.apply(5, set("a", "w", "web", ""), set("a", "d", "db", ""))
		}
		s.apply(6, set("b", "w", "web", ""), gone("a", "d"))
		net := newNetwork(s, behind)
		m := newMirror(t, net)
		want(t, "at first", say(m, t, "web"), "web: a/w b/w")
		want(t, "gone", say(m, t, "db"), "absent")
		net.drop()
		time.Sleep(500 * time.Millisecond) // with the one behind now
		want(t, "from the one behind", say(m, t, "web"), "web: a/w b/w")
		want(t, "gone for the one behind", say(m, t, "db"), "absent")
		time.Sleep(1500 * time.Millisecond)
		want(t, "with the other again", say(m, t, "web"), "web: a/w b/w")
		if net.sessionsEver() != 3 {
			t.Errorf("%d sessions", net.sessionsEver())
		}
	})
}

func TestMirrorRestoredState(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServer()
		s.apply(50, set("a", "w", "web", ""), set("a", "d", "db", ""))
		m := newMirror(t, newNetwork(s))
		want(t, "web", say(m, t, "web"), "web: a/w")
		want(t, "db", say(m, t, "db"), "db: a/d")
		s.restore(20, set("x", "w", "web", ""))
		synctest.Wait()
		want(t, "web restored", say(m, t, "web"), "web: x/w")
		want(t, "db restored", say(m, t, "db"), "absent")
		s.apply(21, set("y", "w", "web", ""))
		synctest.Wait()
		want(t, "web goes on", say(m, t, "web"), "web: x/w y/w")
	})
}

// A flood of names that do not exist costs neither subscriptions nor memory.
func TestMirrorFlood(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServer()
		s.apply(5, set("a", "w", "web", ""))
		net := newNetwork(s)
		m := newMirror(t, net)
		synctest.Wait()
		for i := range 10000 {
			want(t, "random", say(m, t, fmt.Sprintf("r%d", i)), "absent")
		}
		if st := m.Stats(); net.subjects() != 1 || st.Names != 0 || st.Pending != 0 {
			t.Errorf("asked %d subjects, %+v", net.subjects(), st)
		}
		// The same without an index.
		net.isolate(true)
		time.Sleep(3 * time.Second)
		began := time.Now()
		for i := range 10000 {
			go m.Service(t.Context(), "", fmt.Sprintf("s%d", i))
		}
		synctest.Wait()
		if st := m.Stats(); st.Pending > 256 || st.Refused < 9000 {
			t.Errorf("pending: %+v", st)
		}
		if time.Since(began) != 0 {
			t.Error("refusals took time")
		}
		time.Sleep(5 * time.Second)
		if st := m.Stats(); st.Pending != 0 || st.Names != 0 {
			t.Errorf("left behind: %+v", st)
		}
	})
}

func TestMirrorBudget(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServer()
		var all []catalog.Change
		for i := range 100 {
			all = append(all, set("n", fmt.Sprint(i), fmt.Sprintf("s%d", i), ""))
		}
		s.apply(5, all...)
		net := newNetwork(s)
		b := view.NewBudget(view.BudgetConfig{Follow: 10, Names: 64, Bytes: 1 << 20})
		m := newMirror(t, net, func(c *view.MirrorConfig, d *view.MirrorDeps) { d.Budget = b })
		for i := range 20 {
			want(t, "name", say(m, t, fmt.Sprintf("s%d", i)), fmt.Sprintf("s%d: n/%d", i, i))
		}
		synctest.Wait()
		if follows, names, bytes := b.Used(); follows != 10 || names != 10 || bytes < 10*1000 || len(net.followed()) != 11 {
			t.Errorf("%d followed, %d names, %d bytes; the server has %d", follows, names, bytes, len(net.followed()))
		}
		// What nobody asks for is let go, and makes room; it stays known.
		time.Sleep(12 * time.Minute)
		if follows, names, _ := b.Used(); follows != 0 || names != 10 || len(net.followed()) != 1 {
			t.Errorf("idle: %d followed, %d names; the server has %v", follows, names, net.followed())
		}
		s.apply(6, set("n2", "x", "s3", ""))
		synctest.Wait()
		want(t, "asked again", say(m, t, "s3"), "s3: n/3 n2/x")
		net.isolate(true)
		want(t, "known of old", say(m, t, "s4"), "s4: n/4 stale")
		net.isolate(false)
		time.Sleep(2 * time.Second)
		// The oldest names make room for new ones.
		for i := range 100 {
			time.Sleep(2 * time.Second)
			say(m, t, fmt.Sprintf("s%d", i))
			if i%8 == 7 {
				time.Sleep(12 * time.Minute)
			}
		}
		if _, names, _ := b.Used(); names > 64 || names < 50 || m.Stats().Names != names {
			t.Errorf("%d names, %+v", names, m.Stats())
		}
		net.isolate(true)
		want(t, "the newest", say(m, t, "s99"), "s99: n/99")
		time.Sleep(5 * time.Second)
		want(t, "the oldest", say(m, t, "s0"), "not ready")
	})
}

// Many who ask for the same new name are one subscription.
func TestMirrorAsksOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServer()
		s.apply(5, set("a", "w", "web", ""))
		net := newNetwork(s)
		net.count(func() { net.slow = func() time.Duration { return 20 * time.Millisecond } })
		m := newMirror(t, net)
		done := make(chan string, 100)
		for range 100 {
			go func() { done <- say(m, t, "web") }()
		}
		for range 100 {
			want(t, "one of many", <-done, "web: a/w")
		}
		if net.asked(svc("web")) != 1 {
			t.Errorf("asked %d times", net.asked(svc("web")))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		net.drop()
		s.apply(6, set("a", "d", "db", ""))
		began := time.Now()
		if _, _, err := m.Service(ctx, "", "db"); err != nil && time.Since(began) != 10*time.Millisecond {
			t.Errorf("%v after %v, asked for 10 ms", err, time.Since(began))
		}
	})
}

func TestMirrorDenied(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServer()
		s.apply(5, set("a", "w", "web", ""))
		net := newNetwork(s)
		disk := newSaved(t, filepath.Join(t.TempDir(), "views"))
		m := newMirror(t, net, func(_ *view.MirrorConfig, d *view.MirrorDeps) { d.Saved = disk })
		want(t, "allowed", say(m, t, "web"), "web: a/w")
		net.count(func() {
			net.edit = func(e *view.Event) bool {
				if e.Subject == svc("web") {
					e.End, e.Changes, e.Reset, e.Token = view.EndDenied, nil, false, view.Token{}
				}
				return true
			}
		})
		s.apply(6, set("b", "w", "web", ""))
		synctest.Wait()
		want(t, "denied", say(m, t, "web"), "error permission denied")
		net.isolate(true)
		time.Sleep(5 * time.Second)
		want(t, "nothing of it is left", say(m, t, "web"), "not ready")
		if st := m.Stats(); st.Names != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// What a server must not send ends the session and is not held.
func TestMirrorBadEvents(t *testing.T) {
	for name, bad := range map[string]catalog.Change{
		"no instance":     {Op: catalog.InstanceSet},
		"half of one":     {Op: catalog.InstanceSet, Instance: &catalog.Instance{Node: node("a", "")}},
		"no check":        {Op: catalog.InstanceSet, Instance: &catalog.Instance{Node: node("a", ""), Service: &catalog.Service{Name: "web"}, Checks: []*catalog.Check{nil}}},
		"another service": set("a", "x", "other", ""),
		"a node":          setNode("web", ""),
		"what is that":    {Op: 77},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := newServer()
				s.apply(5, set("a", "w", "web", ""))
				net := newNetwork(s)
				net.edit = func(e *view.Event) bool {
					if e.Subject == svc("web") {
						e.Changes = []catalog.Change{bad}
					}
					return true
				}
				m := newMirror(t, net)
				want(t, "bad", say(m, t, "web"), "not ready")
				net.count(func() { net.edit = nil })
				time.Sleep(2 * time.Second)
				want(t, "good", say(m, t, "web"), "web: a/w")
				if m.Stats().Dropped == 0 {
					t.Error("not counted")
				}
			})
		})
	}
}

func TestMirrorFollow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServer()
		s.apply(5, set("a", "w", "web", ""))
		net := newNetwork(s)
		m := newMirror(t, net)
		type result struct {
			s   *view.Service
			st  view.State
			err error
		}
		follow := func(ctx context.Context, name string, min uint64) chan result {
			out := make(chan result, 1)
			go func() {
				s, st, err := m.Follow(ctx, name, min)
				out <- result{s, st, err}
			}()
			synctest.Wait()
			return out
		}
		none := func(what string, c chan result) {
			t.Helper()
			synctest.Wait()
			select {
			case r := <-c:
				t.Errorf("%s: returned %+v", what, r)
			default:
			}
		}
		r := <-follow(t.Context(), "web", 0)
		if r.err != nil || len(r.s.Instances) != 1 || r.st.Index != 5 {
			t.Fatalf("now: %+v", r)
		}
		c := follow(t.Context(), "web", 5)
		s.apply(6, set("a", "d", "db", ""))
		time.Sleep(time.Second)
		none("another service changed", c)
		net.drop()
		time.Sleep(2 * time.Second)
		none("a new session", c)
		s.apply(7, set("b", "w", "web", ""))
		if r = <-c; r.err != nil || len(r.s.Instances) != 2 || r.st.Index != 7 || r.st.Age > time.Second {
			t.Errorf("changed: %+v", r)
		}
		c = follow(t.Context(), "later", 7)
		time.Sleep(20 * time.Minute)
		none("still absent", c)
		s.apply(8, set("b", "l", "later", ""))
		if r = <-c; r.err != nil || r.s == nil || r.st.Index != 8 {
			t.Errorf("came: %+v", r)
		}
		c = follow(t.Context(), "later", 8)
		s.apply(9, gone("b", "l"))
		if r = <-c; r.err != nil || r.s != nil || r.st.Index != 9 {
			t.Errorf("went: %+v", r)
		}
		ctx, cancel := context.WithCancel(t.Context())
		c = follow(ctx, "web", 100)
		cancel()
		if r = <-c; r.err != nil || len(r.s.Instances) != 2 {
			t.Errorf("ended: %+v", r)
		}
		c = follow(t.Context(), "web", 100)
		s.restore(3, set("z", "w", "web", ""))
		if r = <-c; r.err != nil || len(r.s.Instances) != 1 || r.st.Index != 3 {
			t.Errorf("restored: %+v", r)
		}
		c = follow(t.Context(), "web", 100)
		m.Close()
		if r = <-c; r.err != nil || r.s == nil {
			t.Errorf("closed: %+v", r)
		}
	})
}

func newSaved(t *testing.T, path string) *saved.Saved {
	t.Helper()
	s, err := saved.New(saved.DefaultConfig(path), zaptest.NewLogger(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// After a restart without any server, what was answered is answered.
func TestMirrorSurvivesRestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "sub", "views")
		s := newServer()
		s.apply(5, set("a", "w", "web", "192.0.2.1"), set("a", "d", "db", ""), set("a", "x", "xyz", ""), setNode("a", "10.0.0.1"))
		net := newNetwork(s)
		disk := newSaved(t, path)
		use := func(_ *view.MirrorConfig, d *view.MirrorDeps) { d.Saved = disk }
		m := newMirror(t, net, use)
		want(t, "web", say(m, t, "web"), "web: a/w")
		want(t, "db", say(m, t, "db"), "db: a/d")
		m.Node(t.Context(), "", "a")
		m.Address(t.Context(), "", netip.MustParseAddr("192.0.2.1"))
		time.Sleep(time.Second)
		s.apply(6, gone("a", "d"), set("b", "w", "web", ""))
		time.Sleep(time.Second)
		// Killed: nothing is closed. The next life reads what is there.
		disk = newSaved(t, path)
		net.isolate(true)
		m = newMirror(t, net, use)
		want(t, "web again", say(m, t, "web"), "web: a/w b/w stale")
		want(t, "db had gone", say(m, t, "db"), "not ready")
		if n, st, err := m.Node(t.Context(), "", "a"); err != nil || n == nil || !st.Stale {
			t.Errorf("node: %+v %+v %v", n, st, err)
		}
		if a, _, err := m.Address(t.Context(), "", netip.MustParseAddr("192.0.2.1")); err != nil || a == nil || len(a.Services) != 1 {
			t.Errorf("address: %+v %v", a, err)
		}
		if st, err := m.State(t.Context(), ""); err != nil || !st.Stale || st.Index == 0 {
			t.Errorf("state: %+v %v", st, err)
		}
		net.isolate(false)
		time.Sleep(2 * time.Second)
		want(t, "with a server", say(m, t, "web"), "web: a/w b/w")
	})
}
