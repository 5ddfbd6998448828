//go:build linux

package lab

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"consul.internal/internal/rig"
)

// pairKeys are worked on together: transactions change or read both.
const pairKeys = 2

// mostSessions may have been created for one pair: a bit each in its state.
const mostSessions = 64

// version is a key at one moment. Every write has a value of its own, so that value
// and holder tell every change of a key from all others, as ModifyIndex does.
// The zero value is a key that is not there.
type version struct {
	Value  string
	Holder int // number of the session that holds the lock, 0 = none
}

// pairState is what a pair of keys and its sessions may be.
type pairState struct {
	key     [pairKeys]version
	delayed [pairKeys]bool // a lock delay has begun; when it ends is not followed
	ended   uint64         // sessions, a bit each
}

// keyVerb is what is done.
type keyVerb uint8

const (
	doGet keyVerb = iota
	doBoth
	doSet
	doCAS
	doDelete
	doDeleteCAS
	doLock
	doUnlock
	doTxn
	doEnd
)

func (v keyVerb) String() string {
	return [...]string{"get", "get both", "set", "cas", "delete", "delete cas", "lock", "unlock", "transaction", "end of session"}[v]
}

// keyCall is one operation on a pair as its caller saw it.
type keyCall struct {
	client     int
	pair       string
	verb       keyVerb
	at         int // which of its keys
	value      [pairKeys]string
	expect     version
	session    int
	outcome    rig.Outcome
	start, end time.Duration

	got     [pairKeys]version // by the reads
	did     bool              // the state permitted it
	invalid bool              // the session was said to be no more
}

func (c *keyCall) String() string {
	what := ""
	switch c.verb {
	case doGet:
		what = fmt.Sprintf("[%d] = %v", c.at, c.got[c.at])
	case doBoth:
		what = fmt.Sprintf("= %v", c.got)
	default:
		what = fmt.Sprintf("[%d] value %q expect %v session %d: did %v, invalid %v", c.at, c.value, c.expect, c.session, c.did, c.invalid)
	}
	return fmt.Sprintf("%v..%v client %d %s: %s %s: %v", c.start, c.end, c.client, c.pair, c.verb, what, c.outcome)
}

// keyHistory collects the operations of all callers.
type keyHistory struct {
	clock *rig.History

	mu    sync.Mutex
	calls []*keyCall
}

func (h *keyHistory) begin(c *keyCall) {
	c.start, c.outcome = h.clock.Now(), rig.Unknown
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, c)
}

func (h *keyHistory) finish(c *keyCall, o rig.Outcome) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.outcome, c.end = o, h.clock.Now()
}

// step is the pair's rule: whether what the caller saw fits, and what follows.
func (s pairState) step(c *keyCall) (bool, pairState) {
	known := c.outcome == rig.OK
	k := &s.key[c.at]
	fits := func(did bool) bool { return !known || c.did == did }
	switch c.verb {
	case doGet:
		return c.got[c.at] == *k, s
	case doBoth:
		return c.got == s.key, s
	case doSet:
		k.Value = c.value[c.at]
	case doDelete:
		*k = version{}
	case doCAS, doDeleteCAS:
		if *k != c.expect {
			// To delete by CAS what is not there is well.
			return fits(c.verb == doDeleteCAS && *k == version{}), s
		}
		if !fits(true) {
			return false, s
		}
		if c.verb == doDeleteCAS {
			*k = version{}
		} else {
			k.Value = c.value[c.at]
		}
	case doLock:
		return s.lock(c, known)
	case doUnlock:
		if k.Holder != c.session {
			return fits(false), s
		}
		*k = version{Value: c.value[c.at]}
		return fits(true), s
	case doTxn:
		if s.key[0] != c.expect {
			return fits(false), s
		}
		for i := range s.key {
			s.key[i].Value = c.value[i]
		}
		return fits(true), s
	case doEnd:
		s.ended |= 1 << (c.session - 1)
		for i := range s.key {
			if s.key[i].Holder == c.session {
				s.key[i].Holder, s.delayed[i] = 0, true
			}
		}
	}
	return true, s
}

func (s pairState) lock(c *keyCall, known bool) (bool, pairState) {
	k := &s.key[c.at]
	gone := s.ended&(1<<(c.session-1)) != 0
	free := k.Holder == c.session || k.Holder == 0
	after := s
	after.key[c.at] = version{Value: c.value[c.at], Holder: c.session}
	switch {
	case !known && (gone || !free):
		return true, s
	case !known:
		return true, after // a delay that refuses it is as if it came at the end
	case c.invalid:
		return gone, s
	case gone:
		return false, s
	case c.did:
		return free, after
	}
	return !free || s.delayed[c.at] && k.Holder == 0, s
}

// checkPairs tells whether some order of the operations explains what all callers
// saw, of each pair for itself.
func checkPairs(calls []*keyCall, limit time.Duration) (errs []string) {
	pairs := map[string][]porcupine.Operation{}
	for _, c := range calls {
		if c.outcome == rig.Fail || c.outcome == rig.Unknown && c.verb <= doBoth {
			continue
		}
		end := int64(c.end)
		if c.outcome == rig.Unknown {
			end = math.MaxInt64
		}
		pairs[c.pair] = append(pairs[c.pair], porcupine.Operation{ClientId: c.client, Input: c, Call: int64(c.start), Return: end})
	}
	model := porcupine.Model{
		Init: func() any { return pairState{} },
		Step: func(state, input, _ any) (bool, any) {
			ok, next := state.(pairState).step(input.(*keyCall))
			return ok, next
		},
	}
	for _, pair := range slices.Sorted(maps.Keys(pairs)) {
		switch porcupine.CheckOperationsTimeout(model, pairs[pair], limit) {
		case porcupine.Illegal:
			errs = append(errs, fmt.Sprintf("pair %s: NOT LINEARIZABLE\n%s", pair, smallest(model, pairs[pair], limit)))
		case porcupine.Unknown:
			errs = append(errs, fmt.Sprintf("pair %s, %d operations: not decided in time", pair, len(pairs[pair])))
		}
	}
	return errs
}

// smallest shows the shortest beginning of a history that cannot be explained.
func smallest(model porcupine.Model, ops []porcupine.Operation, limit time.Duration) string {
	byEnd := slices.Clone(ops)
	slices.SortFunc(byEnd, func(a, b porcupine.Operation) int { return int(min(max(a.Return-b.Return, -1), 1)) })
	bad := func(n int) bool {
		// What begins later is no part of it; what has no end until then may have happened.
		until := byEnd[n-1].Return
		var part []porcupine.Operation
		for _, op := range ops {
			c := *op.Input.(*keyCall)
			switch {
			case op.Return <= until && c.outcome == rig.OK:
				part = append(part, op)
			case op.Call <= until && c.verb > doBoth:
				c.outcome, op.Input, op.Return = rig.Unknown, &c, math.MaxInt64
				part = append(part, op)
			}
		}
		return porcupine.CheckOperationsTimeout(model, part, limit) == porcupine.Illegal
	}
	low, high := 1, len(byEnd)
	for low < high {
		if mid := (low + high) / 2; bad(mid) {
			high = mid
		} else {
			low = mid + 1
		}
	}
	until := byEnd[low-1].Return
	var b strings.Builder
	fmt.Fprintf(&b, "  cannot be explained from %v on\n", byEnd[low-1].Input)
	var around []porcupine.Operation
	for _, op := range ops {
		if op.Call <= until {
			around = append(around, op)
		}
	}
	const shown = 60
	for _, op := range around[max(0, len(around)-shown):] {
		fmt.Fprintf(&b, "  %v\n", op.Input)
	}
	return b.String()
}

// tenure is a time during which an elector had reason to believe that it held a lock.
type tenure struct {
	who      string
	from, to time.Duration
}

// overlaps finds the tenures of a lock that are not one after the other.
func overlaps(list []tenure) (errs []string) {
	slices.SortFunc(list, func(a, b tenure) int { return int(min(max(a.from-b.from, -1), 1)) })
	for i := 1; i < len(list); i++ {
		if a, b := list[i-1], list[i]; b.from < a.to {
			errs = append(errs, fmt.Sprintf("TWO HOLDERS: %s %v..%v and %s %v..%v", a.who, a.from, a.to, b.who, b.from, b.to))
		}
	}
	return errs
}
