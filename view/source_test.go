package view_test

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/view"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is one server of a datacenter, as far as views see it.
type server struct {
	dir  *view.Directory
	feed *view.Feed

	mu      sync.Mutex
	cluster string
	epoch   uint64
	age     time.Duration
}

func newServer(change ...func(*view.FeedConfig)) *server {
	s := &server{dir: view.NewDirectory(), cluster: "c1", epoch: 1}
	cfg := view.DefaultFeedConfig()
	for _, c := range change {
		c(&cfg)
	}
	s.feed = view.NewFeed(cfg, view.FeedDeps{
		Origin:    func() (string, uint64) { s.mu.Lock(); defer s.mu.Unlock(); return s.cluster, s.epoch },
		LeaderAge: func() time.Duration { s.mu.Lock(); defer s.mu.Unlock(); return s.age },
	}, s.dir)
	s.dir.SetReady()
	return s
}

func (s *server) apply(index uint64, changes ...catalog.Change) {
	s.feed.Apply(catalog.Batch{Index: index, Changes: changes})
}

func (s *server) restore(index uint64, changes ...catalog.Change) {
	s.mu.Lock()
	s.epoch++
	s.mu.Unlock()
	s.feed.Apply(catalog.Batch{Index: index, Reset: true, Changes: changes})
}

func (s *server) leaderLost(age time.Duration) { s.mu.Lock(); s.age = age; s.mu.Unlock() }

// network is a view.Source over servers, with faults.
type network struct {
	mu       sync.Mutex
	servers  []*server
	next     int
	cut      bool                   // nobody can be reached
	mute     bool                   // sessions open and say nothing
	slow     func() time.Duration   // before each Recv
	edit     func(*view.Event) bool // changes what is received; false: it is lost
	sessions map[*wire]struct{}     // open
	opened   int                    // ever
	asks     map[view.Subject]int   // ever
	follows  map[view.Subject]bool  // now
}

func newNetwork(servers ...*server) *network {
	return &network{servers: servers, sessions: map[*wire]struct{}{}, asks: map[view.Subject]int{}, follows: map[view.Subject]bool{}}
}

var errCut = fault.Newf(fault.Unavailable, "no server can be reached")

func (n *network) Session(ctx context.Context, _ string) (view.Session, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cut || len(n.servers) == 0 {
		return nil, errCut
	}
	s := n.servers[n.next%len(n.servers)]
	n.next++
	in, err := s.feed.Session(ctx)
	if err != nil {
		return nil, err
	}
	w := &wire{Session: in, net: n, closed: make(chan struct{})}
	n.sessions[w] = struct{}{}
	n.opened++
	return w, nil
}

// drop ends all sessions.
func (n *network) drop() {
	n.mu.Lock()
	var all []*wire
	for w := range n.sessions {
		all = append(all, w)
	}
	n.mu.Unlock()
	for _, w := range all {
		w.Close()
	}
}

// isolate cuts all servers off, or lets them be reached again.
func (n *network) isolate(cut bool) {
	n.mu.Lock()
	n.cut = cut
	n.mu.Unlock()
	if cut {
		n.drop()
	}
}

func (n *network) count(f func()) { n.mu.Lock(); defer n.mu.Unlock(); f() }

func (n *network) asked(s view.Subject) int { n.mu.Lock(); defer n.mu.Unlock(); return n.asks[s] }

func (n *network) subjects() int { n.mu.Lock(); defer n.mu.Unlock(); return len(n.asks) }

func (n *network) sessionsEver() int { n.mu.Lock(); defer n.mu.Unlock(); return n.opened }

func (n *network) followed() map[view.Subject]bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.follows)
}

type wire struct {
	view.Session
	net    *network
	once   sync.Once
	closed chan struct{}
}

func (w *wire) Send(a view.Ask) error {
	w.net.mu.Lock()
	if a.Stop {
		delete(w.net.follows, a.Subject)
	} else {
		w.net.asks[a.Subject]++
		w.net.follows[a.Subject] = true
	}
	mute := w.net.mute
	w.net.mu.Unlock()
	if mute {
		return nil
	}
	return w.Session.Send(a)
}

func (w *wire) Recv() (view.Event, error) {
	for {
		w.net.mu.Lock()
		slow, mute := w.net.slow, w.net.mute
		w.net.mu.Unlock()
		if mute {
			<-w.closed
			return view.Event{}, errCut
		}
		if slow != nil && !w.pause(slow()) {
			return view.Event{}, errCut
		}
		e, err := w.Session.Recv()
		if slow != nil && !w.pause(slow()) { // on its way
			return view.Event{}, errCut
		}
		w.net.mu.Lock()
		edit := w.net.edit
		w.net.mu.Unlock()
		if err != nil || edit == nil || edit(&e) {
			return e, err
		}
	}
}

func (w *wire) pause(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-w.closed:
		return false
	}
}

func (w *wire) Close() error {
	w.once.Do(func() {
		close(w.closed)
		w.net.mu.Lock()
		delete(w.net.sessions, w)
		clear(w.net.follows)
		w.net.mu.Unlock()
	})
	return w.Session.Close()
}

// newMirror opens a mirror that is closed with the test.
func newMirror(t *testing.T, src view.Source, change ...func(*view.MirrorConfig, *view.MirrorDeps)) *view.Mirror {
	t.Helper()
	cfg := view.DefaultMirrorConfig("dc1")
	deps := view.MirrorDeps{Source: src, Budget: view.NewBudget(view.DefaultBudgetConfig()), Logger: zaptest.NewLogger(t)}
	for _, c := range change {
		c(&cfg, &deps)
	}
	m, err := view.NewMirror(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// collect receives until the session has been quiet for a moment, and returns
// all but heartbeats.
func collect(t *testing.T, s view.Session) []view.Event {
	t.Helper()
	var out []view.Event
	beats := 0
	for beats < 2 { // the second can claim nothing that was not told before
		e, err := s.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if e.Heartbeat {
			beats++
			continue
		}
		out = append(out, e)
	}
	return out
}

func bubble(t *testing.T, f func(t *testing.T)) { t.Helper(); synctest.Test(t, f) }

func isUnavailable(err error) bool { return errors.Is(err, fault.Unavailable) }
