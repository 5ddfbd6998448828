package view_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/view"
)

// heard collects what a view says has changed.
func heard(p view.Pulsing) func() []string {
	var list []string
	p.OnChange(func(dc string, s view.Subject) { list = append(list, dc+s.String()) })
	return func() []string {
		out := list
		list = nil
		slices.Sort(out)
		return slices.Compact(out)
	}
}

// A directory tells of exactly the names that a batch touches, and knows which
// there are.
func TestDirectoryPulse(t *testing.T) {
	s := newServer()
	l := view.NewLocal("dc1", s.dir)
	changed := heard(l)
	s.apply(5, set("a", "w", "Web", "192.0.2.1"), set("a", "d", "db", ""), setNode("a", "10.0.0.1"))
	if got := changed(); !slices.Equal(got, []string{"address 10.0.0.1", "address 192.0.2.1", "node a", "service db", "service web"}) {
		t.Errorf("after the first batch: %q", got)
	}
	s.apply(6, set("b", "w", "web", ""))
	if got := changed(); !slices.Equal(got, []string{"service web"}) {
		t.Errorf("after a change: %q", got)
	}
	lacks := func(k view.Kind, name string, want bool) {
		t.Helper()
		if got := l.Lacks("", k, []byte(name)); got != want {
			t.Errorf("lacks %v %s: %v", k, name, got)
		}
	}
	lacks(view.KindService, "web", false)
	lacks(view.KindService, "a", true)
	lacks(view.KindNode, "a", false)
	lacks(view.KindService, "none", true)
	s.apply(7, gone("a", "w"), gone("b", "w"))
	lacks(view.KindService, "web", true)
	if p := l.Pulse("DC1"); p.Index != 7 || p.Session == 0 || p.Touch != 0 {
		t.Errorf("%+v", p)
	}
	if p := l.Pulse("dc2"); p.Session != 0 {
		t.Errorf("another datacenter: %+v", p)
	}
	// Very many names come and go.
	for i := range 3000 {
		name := string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676))
		s.apply(uint64(10+2*i), set("a", name, name, ""))
		if lacks(view.KindService, name, false); i%3 == 0 {
			s.apply(uint64(11+2*i), gone("a", name))
			lacks(view.KindService, name, true)
		}
	}
}

// What a mirror answers is of the session that keeps it up to date, for as long as
// that does; a change is told once it can be seen.
func TestMirrorPulse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServer()
		s.apply(5, set("a", "w", "web", ""))
		net := newNetwork(s)
		m := newMirror(t, net)
		changed := heard(m)
		want(t, "at first", say(m, t, "web"), "web: a/w")
		synctest.Wait()
		changed()
		_, st, err := m.Service(t.Context(), "", "web")
		p := m.Pulse("")
		if err != nil || p.Session == 0 || st.Session != p.Session || p.Index != 5 || p.Touch <= 0 {
			t.Fatalf("%+v %+v %v", p, st, err)
		}
		if m.Lacks("", view.KindService, []byte("web")) || !m.Lacks("", view.KindService, []byte("none")) || !m.Lacks("", view.KindNode, []byte("web")) {
			t.Error("wrong about which names there are")
		}
		s.apply(6, set("b", "w", "web", ""), set("a", "d", "db", ""))
		synctest.Wait()
		if got := changed(); !slices.Equal(got, []string{"service web"}) {
			t.Errorf("told of %q", got)
		}
		if m.Lacks("", view.KindService, []byte("db")) {
			t.Error("lacks a new name")
		}
		net.isolate(true)
		time.Sleep(3 * time.Second)
		if p := m.Pulse(""); p.Session != 0 || m.Lacks("", view.KindService, []byte("none")) {
			t.Errorf("alone: %+v", p)
		}
		net.isolate(false)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		_, st, err = m.Service(t.Context(), "", "web")
		if again := m.Pulse(""); err != nil || again.Session == 0 || again.Session == p.Session || st.Session != again.Session {
			t.Errorf("after the servers are back: %+v %+v %v", again, st, err)
		}
	})
}
