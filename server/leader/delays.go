package leader

import (
	"context"
	"time"

	"github.com/hashicorp/go-memdb"
	"go.uber.org/zap"

	"consul.internal/store"
	"consul.internal/store/keys"
	"consul.internal/store/state"
)

// Tidier ends, by the leader's clock, what the state cannot end by itself: the
// lock delays of keys, and the tombstones of those that were deleted.
type Tidier struct {
	Store *store.Store
	Log   *zap.Logger
}

// delay is when a lock delay ends that began with an entry of the log.
type delay struct {
	index uint64
	at    time.Time
}

// Delays ends lock delays until the leadership ends. A new leader gives each of
// them its whole time again, so that none is too short.
func (t *Tidier) Delays(ctx context.Context) {
	known := map[string]delay{}
	for ctx.Err() == nil {
		ws := memdb.NewWatchSet()
		rows := t.Store.State().Keys().Delays(ws)
		over, next := due(rows, known, time.Now())
		if len(over) > 0 {
			if err := keys.Of(t.Store).Tidy(ctx, over, 0); err != nil && ctx.Err() == nil {
				t.Log.Error("failed to end lock delays; trying again", zap.Error(err))
				pause(ctx, endRetry)
			}
			continue
		}
		timed, cancel := context.WithCancel(ctx)
		if len(known) > 0 {
			cancel()
			timed, cancel = context.WithTimeout(ctx, next)
		}
		_ = ws.WatchCtx(timed) // news or time: both are looked at
		cancel()
	}
}

// due brings known in line with the rows, and returns those whose time is over and
// how soon the next one's is.
func due(rows []*state.LockDelay, known map[string]delay, now time.Time) (over []state.LockDelay, next time.Duration) {
	there := make(map[string]bool, len(rows))
	for i, row := range rows {
		there[row.Key] = true
		d, ok := known[row.Key]
		if !ok || d.index != row.Index {
			d = delay{index: row.Index, at: now.Add(row.Delay)}
			known[row.Key] = d
		}
		left := d.at.Sub(now)
		if left <= 0 {
			over = append(over, *row)
		}
		if i == 0 || left < next {
			next = left
		}
	}
	for key := range known {
		if !there[key] {
			delete(known, key)
		}
	}
	return over, next
}
