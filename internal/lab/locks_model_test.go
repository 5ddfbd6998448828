//go:build linux

package lab

import (
	"testing"
	"time"

	"consul.internal/internal/rig"
)

// TestLockModel: the checker finds what must not be, and nothing else. It needs no
// cluster.
func TestLockModel(t *testing.T) {
	at := func(from, to int, c keyCall) *keyCall {
		c.pair, c.outcome, c.start, c.end = "p", rig.OK, time.Duration(from), time.Duration(to)
		return &c
	}
	unknown := func(from int, c keyCall) *keyCall {
		c.pair, c.outcome, c.start = "p", rig.Unknown, time.Duration(from)
		return &c
	}
	set := func(v string) keyCall { return keyCall{verb: doSet, value: [pairKeys]string{v}} }
	get := func(v string, holder int) keyCall {
		return keyCall{verb: doGet, got: [pairKeys]version{{v, holder}}}
	}
	lock := func(v string, session int, did bool) keyCall {
		return keyCall{verb: doLock, value: [pairKeys]string{v}, session: session, did: did}
	}
	end := func(session int) keyCall { return keyCall{verb: doEnd, session: session} }
	for _, c := range []struct {
		name  string
		calls []*keyCall
		well  bool
	}{
		{"read of what was written", []*keyCall{at(1, 2, set("a")), at(3, 4, get("a", 0))}, true},
		{"lost write", []*keyCall{at(1, 2, set("a")), at(3, 4, get("", 0))}, false},
		{"stale read", []*keyCall{at(1, 2, set("a")), at(3, 4, set("b")), at(5, 6, get("a", 0))}, false},
		{"unknown write seen", []*keyCall{unknown(1, set("a")), at(3, 4, get("a", 0))}, true},
		{"unknown write twice", []*keyCall{unknown(1, set("a")), at(3, 4, set("b")), at(5, 6, get("b", 0)), at(7, 8, get("a", 0)), at(9, 10, set("c")), at(11, 12, get("a", 0))}, false},
		{"two holders", []*keyCall{at(1, 2, lock("a", 1, true)), at(3, 4, lock("b", 2, true))}, false},
		{"one after the other", []*keyCall{at(1, 2, lock("a", 1, true)), at(3, 4, end(1)), at(5, 6, lock("b", 2, true))}, true},
		{"delayed", []*keyCall{at(1, 2, lock("a", 1, true)), at(3, 4, end(1)), at(5, 6, lock("b", 2, false))}, true},
		{"refused for nothing", []*keyCall{at(1, 2, lock("b", 2, false))}, false},
		{"lock of an ended session", []*keyCall{at(1, 2, end(1)), at(3, 4, lock("a", 1, true))}, false},
		{"cas on an old version", []*keyCall{
			at(1, 2, set("a")), at(3, 4, set("b")),
			at(5, 6, keyCall{verb: doCAS, expect: version{Value: "a"}, value: [pairKeys]string{"c"}, did: true}),
		}, false},
		{"half a transaction", []*keyCall{
			at(1, 2, keyCall{verb: doTxn, value: [pairKeys]string{"x", "y"}, did: true}),
			at(3, 4, keyCall{verb: doBoth, got: [pairKeys]version{{Value: "x"}, {}}}),
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if errs := checkPairs(c.calls, time.Minute); (len(errs) == 0) != c.well {
				t.Errorf("well wanted %v: %v", c.well, errs)
			}
		})
	}
	if errs := overlaps([]tenure{{"b", 5, 9}, {"a", 1, 6}}); len(errs) != 1 {
		t.Errorf("two holders: %v", errs)
	}
	if errs := overlaps([]tenure{{"b", 6, 9}, {"a", 1, 6}}); len(errs) != 0 {
		t.Errorf("one after the other: %v", errs)
	}
}
