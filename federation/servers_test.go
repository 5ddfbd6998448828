package federation

import (
	"slices"
	"testing"
)

// TestFailedServers: a server of another datacenter that the pool holds for failed
// is asked last, until a probe has found it well.
func TestFailedServers(t *testing.T) {
	s := newServerSet(true)
	list := func(failed bool) []Server {
		return []Server{{ID: "a", Addr: "a:1", Failed: failed}, {ID: "b", Addr: "b:1"}}
	}
	check := func(what string, want ...string) {
		t.Helper()
		_, ill := s.split()
		var got []string
		for _, sv := range ill {
			got = append(got, sv.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: ill are %v, not %v", what, got, want)
		}
	}
	s.set(list(false))
	check("all live")
	s.set(list(true))
	check("one failed", "a")
	s.answered("a")
	s.set(list(true))
	check("it answers, whatever the pool believes")
	s.set(list(false))
	s.set(list(true))
	check("it failed again", "a")
	s = newServerSet(true)
	s.set(list(true))
	check("failed when it was first heard of", "a")
}
