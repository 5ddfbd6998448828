package store

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"consul.internal/catalog"
	"consul.internal/store/state"
)

// aWhile is enough for the leader to compare by itself.
const aWhile = 7 * time.Minute

// spoil has a server hold what no entry of the log says.
func spoil(t *testing.T, s *Store, name string) {
	t.Helper()
	synctest.Wait() // nothing is being applied
	tx := s.state.Begin(s.state.Index())
	if err := tx.EnsureRegistration(&state.Registration{Node: &catalog.Node{Name: name, Address: "10.9.9.9", Datacenter: "dc1"}}); err != nil {
		t.Fatal(err)
	}
	tx.Commit()
}

// formedLab is a lab of three servers with something in their states.
func formedLab(t *testing.T, dir string, feed func(string, catalog.Batch)) (l *lab, leader *Store) {
	t.Helper()
	l = newLab(t, dir)
	l.feed = feed
	for _, id := range []string{"a", "b", "c"} {
		l.add(id, 3, false)
		l.start(id)
	}
	l.settled(3, 15*time.Second)
	for n := range 10 {
		if err := l.write(n); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range l.ids() {
		l.has(id, 9)
	}
	return l, l.leader()
}

func (l *lab) followers() []*Store {
	var out []*Store
	for _, id := range l.ids() {
		if s := l.get(id); s != nil && !s.IsLeader() {
			out = append(out, s)
		}
	}
	return out
}

// same waits until all servers are voters with equal states.
func (l *lab) same(within time.Duration) {
	l.t.Helper()
	deadline := time.Now().Add(within)
	for {
		s := l.settled(3, within)
		out, err := Comparer(s).Compare(l.t.Context())
		if err == nil && out.Same {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("the states are not the same: %+v, %v", out, err)
		}
		time.Sleep(time.Second)
	}
}

func TestSameStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := formedLab(t, "", nil)
		out, err := Comparer(s).Compare(t.Context())
		if err != nil || !out.Same || out.Agreed == "" || len(out.Servers) != 3 || Comparer(s).Differ() != 0 {
			t.Errorf("%+v, %v", out, err)
		}
		if _, err := Comparer(l.followers()[0]).Compare(t.Context()); err == nil {
			t.Error("a follower compares")
		}
		l.stop(l.followers()[0].cfg.NodeID)
		out, err = Comparer(s).Compare(t.Context())
		if err != nil || out.Same || out.Agreed == "" || Comparer(s).Differ() != 0 {
			t.Errorf("with a server that is down: %+v, %v", out, err)
		}
	})
}

// A follower that holds something of its own gives that up, by the leader's own
// look at the states, and what is fed from it never lacks what was right.
func TestFollowerApart(t *testing.T) {
	for _, onDisk := range []bool{false, true} {
		t.Run(fmt.Sprintf("disk=%v", onDisk), func(t *testing.T) {
			dir := ""
			if onDisk {
				dir = t.TempDir()
			}
			synctest.Test(t, func(t *testing.T) {
				all := map[string]*fedNames{"a": {}, "b": {}, "c": {}}
				l, s := formedLab(t, dir, func(id string, b catalog.Batch) { all[id].apply(b) })
				f := l.followers()[0]
				fed := all[f.cfg.NodeID]
				spoil(t, f, "stray")
				if !fed.has("stray") {
					t.Fatal("the feed does not know what was spoiled")
				}
				time.Sleep(aWhile)
				if _, ok := f.State().Node("stray"); ok {
					t.Error("the server still holds what it should not")
				}
				l.same(2 * time.Minute)
				if l.leader() != s {
					t.Error("another server leads")
				}
				if fed.lacked || fed.has("stray") || !fed.has("n9") {
					t.Errorf("fed: lacked=%v names=%v", fed.lacked, fed.names)
				}
				if err := l.write(10); err != nil {
					t.Fatal(err)
				}
				l.has(f.cfg.NodeID, 10)
				if synctest.Wait(); !fed.has("n10") {
					t.Error("the feed has ended")
				}
			})
		})
	}
}

// A leader whose state is not that of the others hands over and gives it up.
func TestLeaderApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := formedLab(t, t.TempDir(), nil)
		spoil(t, s, "stray")
		out, err := Comparer(s).Compare(t.Context())
		if err != nil || out.Same || out.Agreed == "" {
			t.Fatalf("%+v, %v", out, err)
		}
		time.Sleep(2 * time.Minute)
		if l.leader() == s {
			t.Error("it still leads")
		}
		if _, ok := s.State().Node("stray"); ok {
			t.Error("it still holds what it should not")
		}
		l.same(2 * time.Minute)
	})
}

// Where nobody has a majority nobody gives anything up.
func TestAllApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.ErrorLevel)
		l := newLab(t, "")
		l.log = zap.New(core)
		for _, id := range []string{"a", "b", "c"} {
			l.add(id, 3, false)
			l.start(id)
		}
		s := l.settled(3, 15*time.Second)
		for _, f := range l.followers() {
			spoil(t, f, "stray-"+f.cfg.NodeID)
		}
		out, err := Comparer(s).Compare(t.Context())
		if err != nil || out.Same || out.Agreed != "" || Comparer(s).Differ() != 3 {
			t.Fatalf("%+v, %v", out, err)
		}
		time.Sleep(time.Minute)
		for _, f := range l.followers() {
			if _, ok := f.State().Node("stray-" + f.cfg.NodeID); !ok {
				t.Error("a server has given its state up")
			}
		}
		if logs.FilterMessageSnippet("no majority agrees").Len() == 0 {
			t.Error("nobody said so")
		}
	})
}

// One that differs again right after it has fetched everything is left alone.
func TestApartAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := formedLab(t, "", nil)
		f := l.followers()[0]
		spoil(t, f, "stray")
		time.Sleep(2 * time.Minute)
		l.same(2 * time.Minute)
		spoil(t, f, "stray")
		time.Sleep(aWhile)
		if _, ok := f.State().Node("stray"); !ok {
			t.Error("it gave its state up again")
		}
	})
}

// fedNames is a reader of the feed, with an eye on n9 never being away again.
type fedNames struct {
	mu           sync.Mutex
	names        []string
	seen, lacked bool
}

func (f *fedNames) has(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Contains(f.names, name)
}

func (f *fedNames) apply(b catalog.Batch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if b.Reset {
		f.names = nil
	}
	for _, c := range b.Changes {
		switch c.Op {
		case catalog.NodeSet:
			f.names = append(f.names, c.Node.Name)
		case catalog.NodeGone:
			f.names = slices.DeleteFunc(f.names, func(n string) bool { return n == c.Node.Name })
		}
	}
	has := slices.Contains(f.names, "n9")
	f.lacked = f.lacked || f.seen && !has
	f.seen = f.seen || has
}
