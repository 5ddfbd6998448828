//go:build linux

package rig

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

func TestCheckLinearizable(t *testing.T) {
	const ms = time.Millisecond
	op := func(kind Kind, value string, start, end int, o Outcome) Op {
		return Op{Kind: kind, Key: "k", Value: value, Start: time.Duration(start) * ms, End: time.Duration(end) * ms, Outcome: o}
	}
	swap := func(expect, value string, did bool, start, end int, o Outcome) Op {
		s := op(Swap, value, start, end, o)
		s.Expect, s.Swapped = expect, did
		return s
	}
	other := op(Read, "a", 40, 50, OK)
	other.Key = "other"
	for name, c := range map[string]struct {
		ops  []Op
		want error
	}{
		"in order":                      {[]Op{op(Write, "a", 0, 10, OK), op(Read, "a", 20, 30, OK)}, nil},
		"nothing there":                 {[]Op{op(Read, "", 0, 10, OK)}, nil},
		"stale":                         {[]Op{op(Write, "a", 0, 10, OK), op(Write, "b", 20, 30, OK), op(Read, "a", 40, 50, OK)}, ErrNotLinearizable},
		"lost":                          {[]Op{op(Write, "a", 0, 10, OK), op(Read, "", 20, 30, OK)}, ErrNotLinearizable},
		"never written":                 {[]Op{op(Read, "a", 20, 30, OK)}, ErrNotLinearizable},
		"at the same time":              {[]Op{op(Write, "a", 0, 100, OK), op(Read, "", 20, 30, OK), op(Read, "a", 40, 50, OK)}, nil},
		"at the same time, and back":    {[]Op{op(Write, "a", 0, 100, OK), op(Read, "a", 20, 30, OK), op(Read, "", 40, 50, OK)}, ErrNotLinearizable},
		"unknown that happened late":    {[]Op{op(Write, "a", 0, 10, Unknown), op(Read, "", 20, 30, OK), op(Read, "a", 40, 50, OK)}, nil},
		"unknown that never happened":   {[]Op{op(Write, "a", 0, 10, Unknown), op(Read, "", 20, 30, OK)}, nil},
		"unknown that came and went":    {[]Op{op(Write, "a", 0, 10, Unknown), op(Read, "a", 20, 30, OK), op(Read, "", 40, 50, OK)}, ErrNotLinearizable},
		"failed and seen":               {[]Op{op(Write, "a", 0, 10, Fail), op(Read, "a", 20, 30, OK)}, ErrNotLinearizable},
		"failed reads say nothing":      {[]Op{op(Read, "x", 0, 10, Fail), op(Read, "y", 0, 10, Unknown)}, nil},
		"swapped":                       {[]Op{swap("", "a", true, 0, 10, OK), op(Read, "a", 20, 30, OK)}, nil},
		"swapped twice from one value":  {[]Op{swap("", "a", true, 0, 10, OK), swap("", "b", true, 5, 12, OK)}, ErrNotLinearizable},
		"not swapped though it fitted":  {[]Op{swap("", "a", false, 0, 10, OK)}, ErrNotLinearizable},
		"perhaps swapped, and seen":     {[]Op{swap("", "a", false, 0, 10, Unknown), op(Read, "a", 20, 30, OK)}, nil},
		"perhaps swapped, and not seen": {[]Op{swap("", "a", false, 0, 10, Unknown), op(Read, "", 20, 30, OK)}, nil},
		"keys are apart":                {[]Op{op(Write, "a", 0, 10, OK), other}, ErrNotLinearizable},
		"deleted":                       {[]Op{op(Write, "a", 0, 10, OK), op(Write, "", 20, 30, OK), op(Read, "", 40, 50, OK)}, nil},
	} {
		if err := CheckLinearizable(c.ops, time.Minute); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// store is a register store that may be told to read stale once.
type store struct {
	mu      sync.Mutex
	values  map[string]string
	before  map[string]string
	acked   map[string]bool // values whose writers know
	reads   int
	staleAt int
}

func (s *store) write(key, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before[key], s.values[key] = s.values[key], value
}

func (s *store) ack(value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked[value] = true
}

func (s *store) read(key string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, old := s.values[key], s.before[key]
	// If one of the writes might still happen, the old value would be no fault.
	if s.reads++; s.staleAt > 0 && s.reads >= s.staleAt && s.acked[value] && s.acked[old] {
		s.staleAt = 0
		return old
	}
	return value
}

// TestSeededStaleRead: one stale read among thousands of true ones is found.
func TestSeededStaleRead(t *testing.T) {
	for _, staleAt := range []int{0, 500} {
		s := &store{values: map[string]string{}, before: map[string]string{}, acked: map[string]bool{}, staleAt: staleAt}
		h := NewHistory()
		var clients sync.WaitGroup
		for client := range 8 {
			clients.Go(func() {
				chance := rand.New(rand.NewPCG(1, uint64(client)))
				for i := range 500 {
					key := fmt.Sprint("key", chance.IntN(20))
					if chance.IntN(2) == 0 {
						value := fmt.Sprintf("%d-%d", client, i)
						c := h.Begin(Op{Client: client, Kind: Write, Key: key, Value: value})
						s.write(key, value)
						if chance.IntN(20) == 0 {
							c.Wrote(Unknown)
						} else {
							c.Wrote(OK)
							s.ack(value)
						}
						continue
					}
					c := h.Begin(Op{Client: client, Kind: Read, Key: key})
					c.Read(s.read(key))
				}
			})
		}
		clients.Wait()
		var want error
		if staleAt > 0 {
			want = ErrNotLinearizable
			if s.staleAt != 0 {
				t.Fatal("the stale read never happened")
			}
		}
		if len(h.Ops()) != 4000 {
			t.Errorf("%d operations, want 4000", len(h.Ops()))
		}
		if err := CheckLinearizable(h.Ops(), time.Minute); !errors.Is(err, want) {
			t.Errorf("stale at %d: %v, want %v", staleAt, err, want)
		}
	}
}

func TestMeasure(t *testing.T) {
	if s := Summarize(nil); s != (Summary{}) {
		t.Errorf("of nothing: %v", s)
	}
	var times []time.Duration
	for i := 100; i > 0; i-- {
		times = append(times, time.Duration(i)*time.Second)
	}
	if s := Summarize(times); s.N != 100 || s.Best != time.Second || s.Median != 51*time.Second || s.P99 != 100*time.Second || s.Worst != 100*time.Second {
		t.Errorf("of 1 to 100 s: %v", s)
	}
	var ops []Op
	for _, end := range []int{1, 2, 7, 8} {
		ops = append(ops, Op{Kind: Write, Outcome: OK, End: time.Duration(end) * time.Second})
	}
	ops = append(ops, Op{Kind: Write, Outcome: Unknown, End: 4 * time.Second}, Op{Kind: Read, Outcome: OK, End: 5 * time.Second})
	writes := func(op Op) bool { return op.Kind == Write }
	for _, c := range []struct {
		to   int
		keep func(Op) bool
		want time.Duration
	}{{10, writes, 5 * time.Second}, {10, nil, 3 * time.Second}, {20, writes, 12 * time.Second}} {
		if g := LongestGap(ops, 0, time.Duration(c.to)*time.Second, c.keep); g.Length() != c.want {
			t.Errorf("longest gap up to %d s: %v, want %v", c.to, g, c.want)
		}
	}
}
