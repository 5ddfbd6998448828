package view_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/view"
)

// court is a Judge whose rules can be changed.
type court struct {
	mu   sync.Mutex
	sees map[string]string // by secret: names, separated by spaces; "all"; no entry: denied
}

func (c *court) judge(_ context.Context, secret string) (view.Sight, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	names, known := c.sees[secret]
	if !known {
		return view.Sight{}, fault.Newf(fault.Denied, "ACL not found")
	}
	if names == "all" {
		return view.Sight{Rules: names}, nil
	}
	may := func(name string) bool { return slices.Contains(strings.Fields(names), name) }
	return view.Sight{Service: may, Node: may, Rules: names}, nil
}

func (c *court) rule(secret, names string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if names == "" {
		delete(c.sees, secret)
		return
	}
	c.sees[secret] = names
}

// guardedFeed is a feed with two instances of web and one of db.
func guardedFeed(c *court) *view.Feed {
	dir := view.NewDirectory()
	f := view.NewFeed(view.DefaultFeedConfig(), view.FeedDeps{
		Origin: func() (string, uint64) { return "c", 1 }, LeaderAge: func() time.Duration { return 0 }, Judge: c.judge,
	}, dir)
	f.Apply(catalog.Batch{Index: 5, Changes: []catalog.Change{
		setNode("n1", "10.0.0.1"), setNode("n2", "10.0.0.2"), set("n1", "web1", "web", ""), set("n2", "web2", "web", ""), set("n1", "db1", "db", "10.9.9.9"),
	}})
	dir.SetReady()
	return f
}

// toldOf is the next event that is no heartbeat, in short.
func toldOf(t *testing.T, s view.Session) string {
	t.Helper()
	for {
		e, err := s.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if e.Heartbeat {
			continue
		}
		var what []string
		for _, c := range e.Changes {
			switch {
			case c.Op == catalog.InstanceGone:
				what = append(what, "-"+c.Instance.Service.ID)
			case c.Instance != nil:
				what = append(what, c.Instance.Service.ID)
			default:
				what = append(what, c.Node.Name)
			}
		}
		out := e.Subject.String() + ":"
		if e.Reset {
			out += " all"
		}
		return strings.TrimSpace(strings.Join(append([]string{out, e.End}, what...), " "))
	}
}

func TestFollowersSeeWhatTheyMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &court{sees: map[string]string{"all": "all", "web": "web n1", "node": "n1", "": "x"}}
		f := guardedFeed(c)
		defer f.Close()
		for _, q := range []struct {
			secret string
			ask    view.Subject
			want   string
		}{
			{"all", view.Subject{Kind: view.KindService, Name: "web"}, "service web: all  web1 web2"},
			{"web", view.Subject{Kind: view.KindService, Name: "web"}, "service web: all  web1"},
			{"web", view.Subject{Kind: view.KindService, Name: "db"}, "service db: all"},
			{"web", view.Subject{Kind: view.KindNode, Name: "n1"}, "node n1: all  n1"},
			{"web", view.Subject{Kind: view.KindNode, Name: "n2"}, "node n2: all"},
			{"node", view.Subject{Kind: view.KindService, Name: "web"}, "service web: all"},
			{"", view.Subject{Kind: view.KindService, Name: "web"}, "service web: all"},
			{"web", view.Subject{Kind: view.KindAddress, Name: "10.9.9.9"}, "address 10.9.9.9: all"},
			{"all", view.Subject{Kind: view.KindAddress, Name: "10.9.9.9"}, "address 10.9.9.9: all  db1"},
			{"web", view.Subject{Kind: view.KindIndex}, "index : denied"},
			{"nobody's", view.Subject{Kind: view.KindService, Name: "web"}, "service web: denied"},
		} {
			s, err := f.Session(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Send(view.Ask{Subject: q.ask, Secret: q.secret}); err != nil {
				t.Fatal(err)
			}
			if got := toldOf(t, s); got != q.want {
				t.Errorf("%q follows %s: %q, want %q", q.secret, q.ask, got, q.want)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestRightsChange: who follows a name is told at once what he may see now, and
// nothing more of what he may not.
func TestRightsChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &court{sees: map[string]string{"s": "web n1"}}
		f := guardedFeed(c)
		defer f.Close()
		s, err := f.Session(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		follow := func(want string) {
			t.Helper()
			if err := s.Send(view.Ask{Subject: view.Subject{Kind: view.KindService, Name: "web"}, Secret: "s"}); err != nil {
				t.Fatal(err)
			}
			if got := toldOf(t, s); got != want {
				t.Errorf("asked: %q, want %q", got, want)
			}
		}
		change := func(rules, want string) {
			t.Helper()
			c.rule("s", rules)
			f.Rejudge(t.Context())
			if got := toldOf(t, s); got != want {
				t.Errorf("may see %q now: %q, want %q", rules, got, want)
			}
		}
		follow("service web: all  web1")
		f.Apply(catalog.Batch{Index: 6, Changes: []catalog.Change{set("n2", "web2", "web", "10.1.1.1")}}) // hidden: told as no change
		if got := toldOf(t, s); got != "service web:" {
			t.Errorf("a hidden instance changed: %q", got)
		}
		change("web n1 n2", "service web: all  web1 web2")
		change("all", "service web: all  web1 web2")
		f.Rejudge(t.Context()) // nothing changed: nothing is told
		change("web n2", "service web: all  web2")
		change("n1", "service web: denied")
		follow("service web: all") // as if it did not exist
		change("web n1", "service web: all  web1")
		change("", "service web: denied")
		if n := f.Stats().Subjects; n != 0 {
			t.Errorf("%d subjects are followed still", n)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestGuardedLocal: answers are those of the sight, and what was kept of them holds
// no longer than it.
func TestGuardedLocal(t *testing.T) {
	dir := view.NewDirectory()
	dir.Apply(catalog.Batch{Index: 5, Changes: []catalog.Change{setNode("n1", "10.0.0.1"), setNode("n2", "10.0.0.2"), set("n1", "web1", "web", ""), set("n2", "web2", "web", "")}})
	dir.SetReady()
	l := view.NewLocal("dc1", dir).Guarded()
	count := func() (int, uint64, error) {
		svc, st, err := l.Service(t.Context(), "", "web")
		if svc == nil {
			return 0, st.Session, err
		}
		return len(svc.Instances), st.Session, err
	}
	if _, session, err := count(); !errors.Is(err, view.ErrNoSight) || session != 0 || l.Pulse("").Session != 0 || l.Lacks("", view.KindService, []byte("none")) {
		t.Errorf("before anything is known: session %d, %v", session, err)
	}
	c := &court{sees: map[string]string{"web": "web n1", "all": "all", "none": "x"}}
	last := uint64(0)
	for _, x := range []struct {
		secret string
		want   int
	}{{"all", 2}, {"web", 1}, {"none", 0}, {"all", 2}} {
		l.See(c.judge(t.Context(), x.secret))
		n, session, err := count()
		if n != x.want || err != nil || session == 0 || session == last || session != l.Pulse("").Session {
			t.Errorf("%s: %d instances in session %d after %d, %v", x.secret, n, session, last, err)
		}
		last = session
	}
	l.See(c.judge(t.Context(), "all"))
	if _, session, _ := count(); session != last {
		t.Error("the same sight ends what is kept")
	}
	l.See(view.Sight{}, view.ErrNoSight)
	if n, session, err := count(); n != 0 || session != 0 || err == nil {
		t.Errorf("nobody can tell: %d, %d, %v", n, session, err)
	}
}
