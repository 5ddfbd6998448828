package view_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/catalog"
	"consul.internal/view"
)

func svc(name string) view.Subject { return view.Subject{Kind: view.KindService, Name: name} }

func show(events []view.Event) string {
	var out []string
	for _, e := range events {
		line := fmt.Sprintf("%s @%d.%d", e.Subject, e.Token.Epoch, e.Token.Index)
		if e.Reset {
			line += " reset"
		}
		var cs []string
		for _, c := range e.Changes {
			switch c.Op {
			case catalog.InstanceSet:
				cs = append(cs, "+"+c.Instance.Node.Name+"/"+c.Instance.Service.ID)
			case catalog.InstanceGone:
				cs = append(cs, "-"+c.Instance.Node.Name+"/"+c.Instance.Service.ID)
			case catalog.NodeSet:
				cs = append(cs, "+"+c.Node.Name+"="+c.Node.Address)
			}
		}
		slices.Sort(cs)
		if len(cs) > 0 {
			line += " " + strings.Join(cs, " ")
		}
		if n := len(e.Added); n > 0 {
			line += fmt.Sprintf(" %d added", n)
		}
		if n := len(e.Removed); n > 0 {
			line += fmt.Sprintf(" %d removed", n)
		}
		if e.End != "" {
			line += " end " + e.End
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

func TestFeedSession(t *testing.T) {
	at := func(epoch, index uint64) view.Token { return view.Token{Cluster: "c1", Epoch: epoch, Index: index} }
	small := func(c *view.FeedConfig) { c.RingBatches = 2 }
	for _, tt := range []struct {
		name string
		cfg  func(*view.FeedConfig)
		ask  view.Ask
		then func(s *server)
		want string
	}{
		{"all of a service at first", nil, view.Ask{Subject: svc("web")}, nil, "service web @1.5 reset +a/w +b/w"},
		{"what does not exist is told too", nil, view.Ask{Subject: svc("none")}, nil, "service none @1.5 reset"},
		{"nothing was missed", nil, view.Ask{Subject: svc("web"), From: at(1, 4)}, nil, "service web @1.5"},
		{"only what was missed", nil, view.Ask{Subject: svc("web"), From: at(1, 2)}, nil, "service web @1.5 +b/w"},
		{"the ring does not go back so far", small, view.Ask{Subject: svc("web"), From: at(1, 2)}, nil, "service web @1.5 reset +a/w +b/w"},
		{"another epoch", nil, view.Ask{Subject: svc("web"), From: at(0, 5)}, nil, "service web @1.5 reset +a/w +b/w"},
		{"another cluster", nil, view.Ask{Subject: svc("web"), From: view.Token{Cluster: "c2", Epoch: 1, Index: 9}}, nil, "service web @1.5 reset +a/w +b/w"},
		{"nothing known, but so far", nil, view.Ask{Subject: svc("web"), From: at(1, 5), Whole: true}, nil, "service web @1.5 reset +a/w +b/w"},
		{"ahead of us", nil, view.Ask{Subject: svc("web"), From: at(1, 6)}, nil, "service web @0.0 end unavailable"},
		{"ahead of us by a life", nil, view.Ask{Subject: svc("web"), From: at(2, 1)}, nil, "service web @0.0 end unavailable"},
		{"caught up in time", nil, view.Ask{Subject: svc("web"), From: at(1, 6)}, func(s *server) {
			s.apply(7, gone("a", "w"))
		}, "service web @1.7 -a/w"},
		{"a node", nil, view.Ask{Subject: view.Subject{Kind: view.KindNode, Name: "a"}}, nil, "node a @1.5 reset +a=10.0.0.9"},
		{"an address", nil, view.Ask{Subject: view.Subject{Kind: view.KindAddress, Name: "192.0.2.1"}}, nil, "address 192.0.2.1 @1.5 reset +b/w"},
		{"the index", nil, view.Ask{Subject: view.Subject{Kind: view.KindIndex}}, nil, "index  @1.5 reset 4 added"},
		{"the index since", nil, view.Ask{Subject: view.Subject{Kind: view.KindIndex}, From: at(1, 3)}, nil, "index  @1.5 3 added"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var cfg []func(*view.FeedConfig)
				if tt.cfg != nil {
					cfg = append(cfg, tt.cfg)
				}
				s := newServer(cfg...)
				s.apply(1, set("a", "w", "web", ""))
				s.apply(2, set("a", "w", "web", ""))
				s.apply(3, set("b", "w", "web", ""))
				s.apply(4, set("b", "w", "web", "192.0.2.1"))
				s.apply(5, setNode("a", "10.0.0.9"))
				ses, err := s.feed.Session(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer ses.Close()
				if err := ses.Send(tt.ask); err != nil {
					t.Fatal(err)
				}
				if tt.then != nil {
					tt.then(s)
				}
				var got []view.Event
				for len(got) == 0 {
					got = collect(t, ses)
				}
				if g := show(got); g != tt.want {
					t.Errorf("got  %s\nwant %s", g, tt.want)
				}
			})
		})
	}
}

// Whatever happens between two receptions is one event.
func TestFeedCoalesces(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServer()
		s.apply(1, set("a", "w", "web", ""), set("b", "w", "web", ""), set("c", "w", "web", ""))
		ses, _ := s.feed.Session(t.Context())
		defer ses.Close()
		for _, sub := range []view.Subject{svc("web"), svc("db"), {Kind: view.KindIndex}} {
			if err := ses.Send(view.Ask{Subject: sub}); err != nil {
				t.Fatal(err)
			}
		}
		collect(t, ses)
		for i := range uint64(1000) {
			s.apply(2+2*i, set("b", "w", "web", ""), gone("a", "w"), set("x", "d", "db", ""))
			s.apply(3+2*i, gone("x", "d"))
		}
		s.apply(2002, set("b", "w", "other", ""))                                  // it leaves its old name without a word
		want := "index  @1.2002 1 added 1 removed\nservice web @1.2002 reset +c/w" // of db there is nothing to tell: it came and went
		got := strings.Split(show(collect(t, ses)), "\n")
		slices.Sort(got)
		if g := strings.Join(got, "\n"); g != want {
			t.Errorf("got\n%s\nwant\n%s", g, want)
		}
		if err := ses.Send(view.Ask{Subject: svc("web"), Stop: true}); err != nil {
			t.Fatal(err)
		}
		s.apply(2003, set("c", "w", "web", "192.0.2.9"))
		if g := show(collect(t, ses)); strings.Contains(g, "web") {
			t.Errorf("told after the end: %s", g)
		}
	})
}

func TestFeedHeartbeat(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServer()
		s.apply(1, set("a", "w", "web", ""))
		ses, _ := s.feed.Session(t.Context())
		defer ses.Close()
		began := time.Now()
		for i := range 5 {
			e, err := ses.Recv()
			if err != nil || !e.Heartbeat || e.Token.Index != 1 || time.Since(began) != time.Duration(i)*200*time.Millisecond {
				t.Fatalf("heartbeat %d: %+v after %v, %v", i, e, time.Since(began), err)
			}
		}
		// One that is due while something is marked comes after it, and claims no more.
		if err := ses.Send(view.Ask{Subject: svc("web")}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		s.leaderLost(3 * time.Second)
		if e, _ := ses.Recv(); e.Heartbeat {
			t.Fatalf("heartbeat before what it claims: %+v", e)
		}
		s.apply(2, set("b", "w", "web", ""))
		if e, _ := ses.Recv(); !e.Heartbeat || e.Token.Index != 1 || e.LeaderAge != 3*time.Second {
			t.Fatalf("got %+v, want the heartbeat of index 1", e)
		}
		if e, _ := ses.Recv(); show([]view.Event{e}) != "service web @1.2 +b/w" {
			t.Fatalf("got %s", show([]view.Event{e}))
		}
	})
}

func TestFeedLimits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServer(func(c *view.FeedConfig) { c.Subjects, c.Sessions = 2, 1 })
		s.apply(1, set("a", "w", "web", ""))
		ses, _ := s.feed.Session(t.Context())
		if _, err := s.feed.Session(t.Context()); err == nil {
			t.Error("a second session was taken")
		}
		for _, n := range []string{"a", "b", "web"} {
			if err := ses.Send(view.Ask{Subject: svc(n), Seq: 7}); err != nil {
				t.Fatal(err)
			}
		}
		if e, _ := ses.Recv(); e.End != view.EndLimit || e.Subject != svc("web") || e.Seq != 7 {
			t.Errorf("got %+v", e)
		}
		for _, bad := range []view.Subject{{}, {Kind: 9, Name: "x"}, {Kind: view.KindService}, {Kind: view.KindIndex, Name: "x"}, {Kind: view.KindAddress, Name: "x"}, svc("Web"), svc(strings.Repeat("x", 2000))} {
			if err := ses.Send(view.Ask{Subject: bad}); err == nil {
				t.Errorf("%+v can be followed", bad)
			}
		}
		var err error
		for i := 0; i < 100000 && err == nil; i++ {
			err = ses.Send(view.Ask{Subject: svc(fmt.Sprint(i))})
		}
		if err == nil {
			t.Error("asking without listening has no end")
		}
		if err := ses.Close(); err != nil {
			t.Error(err)
		}
		if _, err := ses.Recv(); err == nil {
			t.Error("a closed session speaks")
		}
		if st := s.feed.Stats(); st.Sessions != 0 || st.Subjects != 0 {
			t.Errorf("left behind: %+v", st)
		}
	})
}

func TestFeedNotReady(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := view.NewDirectory()
		f := view.NewFeed(view.DefaultFeedConfig(), view.FeedDeps{
			Origin: func() (string, uint64) { return "c1", 1 }, LeaderAge: func() time.Duration { return 0 },
		}, dir)
		f.Apply(catalog.Batch{Index: 3, Reset: true, Changes: []catalog.Change{set("a", "w", "web", "")}})
		ses, _ := f.Session(t.Context())
		defer ses.Close()
		_ = ses.Send(view.Ask{Subject: svc("web")})
		if e, _ := ses.Recv(); !e.Heartbeat || e.Token != (view.Token{}) {
			t.Errorf("a claim before all is loaded: %+v", e)
		}
		dir.SetReady()
		if g := show(collect(t, ses)); g != "service web @1.3 reset +a/w" {
			t.Errorf("got %s", g)
		}
		f.Close()
		if _, err := ses.Recv(); err == nil {
			t.Error("the session outlives its feed")
		}
	})
}

// Large contents come in parts, of which only the last counts.
func TestFeedParts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServer()
		var all []catalog.Change
		for i := range 1000 {
			all = append(all, set(fmt.Sprintf("n%04d", i), "w", "web", ""))
		}
		s.apply(1, all...)
		ses, _ := s.feed.Session(t.Context())
		defer ses.Close()
		_ = ses.Send(view.Ask{Subject: svc("web")})
		events := collect(t, ses)
		if len(events) != 4 || !events[0].Reset || events[1].Reset || events[2].Token.Index != 0 || events[3].Token.Index != 1 {
			t.Errorf("%d parts: %v %v", len(events), events[0].Reset, events[len(events)-1].Token)
		}
		m := newMirror(t, newNetwork(s))
		if got, _, err := m.Service(t.Context(), "", "web"); err != nil || len(got.Instances) != 1000 {
			t.Errorf("the mirror has %+v, %v", got, err)
		}
	})
}

// pipe is a conversation inside the process.
type pipe struct {
	in, out chan any
	mine    chan struct{}
	theirs  chan struct{}
	once    *sync.Once
}

func newPipe() (a, b *pipe) {
	x, y, p, q := make(chan any), make(chan any), make(chan struct{}), make(chan struct{})
	return &pipe{x, y, p, q, new(sync.Once)}, &pipe{y, x, q, p, new(sync.Once)}
}

func (p *pipe) Send(v any) error {
	select {
	case p.out <- v:
		return nil
	case <-p.mine:
	case <-p.theirs:
	}
	return io.ErrClosedPipe
}

func (p *pipe) Recv(into any) error {
	select {
	case v := <-p.in:
		switch to := into.(type) {
		case *view.Ask:
			*to = v.(view.Ask)
		case *view.Event:
			*to = v.(view.Event)
		}
		return nil
	case <-p.mine:
		return io.ErrClosedPipe
	case <-p.theirs:
		return io.EOF
	}
}

func (p *pipe) Close() error { p.once.Do(func() { close(p.mine) }); return nil }

func TestServe(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServer()
		s.apply(1, set("a", "w", "web", ""))
		here, there := newPipe()
		served := make(chan error, 1)
		go func() { served <- view.Serve(t.Context(), s.feed, there) }()
		ses := view.Converse(here)
		if err := ses.Send(view.Ask{Subject: svc("web")}); err != nil {
			t.Fatal(err)
		}
		if g := show(collect(t, ses)); g != "service web @1.1 reset +a/w" {
			t.Errorf("got %s", g)
		}
		ses.Close()
		if err := <-served; err != nil {
			t.Errorf("serving ended with %v", err)
		}
		here, there = newPipe()
		go func() { served <- view.Serve(t.Context(), s.feed, there) }()
		synctest.Wait()
		s.feed.Close()
		if err := <-served; !isUnavailable(err) {
			t.Errorf("the end of the feed: %v", err)
		}
		if _, err := view.Converse(here).Recv(); !isUnavailable(err) || !errors.Is(err, io.EOF) {
			t.Errorf("the follower got %v", err)
		}
	})
}
