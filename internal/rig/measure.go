//go:build linux

package rig

import (
	"fmt"
	"slices"
	"time"
)

// Summary is a distribution in short.
type Summary struct {
	N                        int
	Best, Median, P99, Worst time.Duration
}

// Summarize sorts out what was measured. Of nothing, all is zero.
func Summarize(times []time.Duration) Summary {
	if len(times) == 0 {
		return Summary{}
	}
	s := slices.Sorted(slices.Values(times))
	at := func(share float64) time.Duration { return s[min(int(share*float64(len(s))), len(s)-1)] }
	return Summary{N: len(s), Best: s[0], Median: at(0.5), P99: at(0.99), Worst: s[len(s)-1]}
}

func (s Summary) String() string {
	return fmt.Sprintf("n=%d best=%v median=%v p99=%v worst=%v", s.N,
		s.Best.Round(time.Microsecond), s.Median.Round(time.Microsecond), s.P99.Round(time.Microsecond), s.Worst.Round(time.Microsecond))
}

// Gap is a time in which nothing succeeded.
type Gap struct{ From, To time.Duration }

// Length of the gap.
func (g Gap) Length() time.Duration { return g.To - g.From }

// LongestGap is the longest time between from and to in which no operation of
// ops ended well; keep tells which operations count (nil: all).
func LongestGap(ops []Op, from, to time.Duration, keep func(Op) bool) Gap {
	marks := []time.Duration{from}
	for _, op := range ops {
		if op.Outcome == OK && op.End >= from && op.End <= to && (keep == nil || keep(op)) {
			marks = append(marks, op.End)
		}
	}
	slices.Sort(marks)
	marks = append(marks, to)
	var longest Gap
	for i := 1; i < len(marks); i++ {
		if g := (Gap{marks[i-1], marks[i]}); g.Length() > longest.Length() {
			longest = g
		}
	}
	return longest
}
