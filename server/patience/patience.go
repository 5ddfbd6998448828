// Package patience is the wait of a blocked query for a change of what it looked at.
// It knows neither what was read nor for whom.
package patience

import (
	"context"
	"time"

	"github.com/hashicorp/go-memdb"
)

// fewChannels are as many as nearly all blocked queries look at: an entry or a
// prefix, what is remembered of it, and the policies.
const fewChannels = 4

// Patience is how long a blocking query waits in all, from its first wait on.
// Nothing is set up before that.
type Patience struct {
	Longest time.Duration
	timer   *time.Timer
	ends    time.Time
}

// Until waits for a change of what a read looked at. It reports false when the time
// is over or ctx ends. memdb's own wait needs 1.4 KiB of the stack at any number of
// channels, which would double the stack of every query that is blocked.
func (p *Patience) Until(ctx context.Context, ws memdb.WatchSet) bool {
	if p.timer == nil {
		p.timer, p.ends = time.NewTimer(p.Longest), time.Now().Add(p.Longest)
	}
	if len(ws) > fewChannels {
		return untilAny(ctx, p.ends, ws)
	}
	var few [fewChannels]<-chan struct{}
	fill(&few, ws)
	select {
	case <-few[0]:
	case <-few[1]:
	case <-few[2]:
	case <-few[3]:
	case <-p.timer.C:
		return false
	case <-ctx.Done():
		return false
	}
	return true
}

// fill is apart from the wait, so that its frame is gone meanwhile.
//
//go:noinline
func fill(few *[fewChannels]<-chan struct{}, ws memdb.WatchSet) {
	i := 0
	for ch := range ws {
		few[i] = ch
		i++
	}
}

//go:noinline
func untilAny(ctx context.Context, ends time.Time, ws memdb.WatchSet) bool {
	timed, cancel := context.WithDeadline(ctx, ends)
	defer cancel()
	return ws.WatchCtx(timed) == nil
}

// Stop ends what the waits needed.
func (p *Patience) Stop() {
	if p.timer != nil {
		p.timer.Stop()
	}
}
