//go:build linux

package lab

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"consul.internal/internal/rig"
)

// shownBefore and shownAfter operations around the one that cannot be explained.
const (
	shownBefore = 14
	shownAfter  = 4
)

// explain shows, for each key whose history has no order, the first operation at
// whose end that was certain, and those around it.
func explain(ops []rig.Op) string {
	byKey := map[string][]rig.Op{}
	for _, op := range ops {
		byKey[op.Key] = append(byKey[op.Key], op)
	}
	var b strings.Builder
	for _, key := range sortedKeys(byKey) {
		ops := byKey[key]
		if !illegal(ops) {
			continue
		}
		slices.SortFunc(ops, func(a, b rig.Op) int { return cmp.Compare(a.End, b.End) })
		n := sort.Search(len(ops), func(i int) bool { return illegal(until(ops, ops[i].End)) })
		if n == len(ops) {
			n--
		}
		witness := ops[n]
		fmt.Fprintf(&b, "key %s has no order at the end of: %v\n", key, witness)
		slices.SortFunc(ops, func(a, b rig.Op) int { return cmp.Compare(a.Start, b.Start) })
		i := slices.Index(ops, witness)
		for _, op := range ops[max(0, i-shownBefore):min(len(ops), i+shownAfter)] {
			fmt.Fprintf(&b, "  %v\n", op)
		}
		for _, op := range ops[:max(0, i-shownBefore)] {
			if op.Kind == rig.Write && (op.Outcome == rig.Unknown || op.Value == witness.Value && op.Value != "") {
				fmt.Fprintf(&b, "  earlier: %v\n", op)
			}
		}
	}
	return b.String()
}

// until is the history as it was known at some moment.
func until(ops []rig.Op, at time.Duration) []rig.Op {
	var out []rig.Op
	for _, op := range ops {
		if op.Start > at {
			continue
		}
		if op.End > at {
			op.Outcome = rig.Unknown
		}
		out = append(out, op)
	}
	return out
}

func illegal(ops []rig.Op) bool {
	return errors.Is(rig.CheckLinearizable(ops, 10*time.Second), rig.ErrNotLinearizable)
}

// TestExplain: the operation that is shown is the one that breaks the order.
func TestExplain(t *testing.T) {
	s := time.Second
	text := explain([]rig.Op{
		{Client: 1, Kind: rig.Write, Key: "k", Value: "a", Outcome: rig.OK, Start: 1 * s, End: 2 * s},
		{Client: 1, Kind: rig.Write, Key: "k", Value: "b", Outcome: rig.OK, Start: 3 * s, End: 4 * s},
		{Client: 2, Kind: rig.Read, Key: "k", Value: "b", Outcome: rig.OK, Start: 5 * s, End: 6 * s},
		{Client: 2, Kind: rig.Read, Key: "k", Value: "a", Outcome: rig.OK, Start: 7 * s, End: 8 * s},
		{Client: 2, Kind: rig.Read, Key: "k", Value: "a", Outcome: rig.OK, Start: 9 * s, End: 10 * s},
	})
	if !strings.Contains(text, "at the end of: 7s..8s") {
		t.Errorf("explained:\n%s", text)
	}
}
