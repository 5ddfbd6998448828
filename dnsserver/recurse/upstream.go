package recurse

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

const (
	// maxSilent is how many questions in a row an upstream may leave without a
	// reply: a single one can be the fault of the name that was asked for.
	maxSilent = 3
	// silentFor is for how long it is then asked last, so that not every question
	// waits for it, and it is missed for no longer when it is back.
	silentFor = 5 * time.Second
)

// upstream is a server that is asked.
type upstream struct {
	addr   netip.AddrPort
	busy   atomic.Int32
	silent atomic.Int32 // questions in a row without a reply
	until  atomic.Int64 // asked last until then, in nanoseconds since 1970
}

// enter takes one of the places there are.
func (u *upstream) enter(limit int) bool {
	if u.busy.Add(1) > int32(limit) {
		u.busy.Add(-1)
		return false
	}
	return true
}

func (u *upstream) leave() { u.busy.Add(-1) }

// replied and timedOut note how it went.
func (u *upstream) replied() { u.silent.Store(0); u.until.Store(0) }

func (u *upstream) timedOut(now time.Time) {
	if u.silent.Add(1) >= maxSilent {
		u.until.Store(now.Add(silentFor).UnixNano())
	}
}

// order returns the upstreams as they are to be asked: as configured or shuffled,
// those that are silent last.
func order(all []*upstream, random bool, now time.Time) []*upstream {
	out := slices.Clone(all)
	if random {
		rand.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	}
	slices.SortStableFunc(out, func(a, b *upstream) int {
		return rank(a, now) - rank(b, now)
	})
	return out
}

func rank(u *upstream, now time.Time) int {
	if now.UnixNano() < u.until.Load() {
		return 1
	}
	return 0
}
