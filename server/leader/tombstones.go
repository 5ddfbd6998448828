package leader

import (
	"context"
	"time"

	"go.uber.org/zap"

	"consul.internal/store/keys"
)

const (
	// tombstoneLife is how long a deleted key's index is remembered for itself: longer
	// than any blocking query waits, so that each that saw the key learns of its end.
	tombstoneLife = 15 * time.Minute
	// tombstonePace is how often it is looked which are that old.
	tombstonePace = 30 * time.Second
	// maxTombstones bounds their memory when keys come and go quickly: about 20 MB.
	maxTombstones = 100_000
)

// Tombstones gives old ones up until the leadership ends.
func (t *Tidier) Tombstones(ctx context.Context) {
	type mark struct {
		at    time.Time
		index uint64
	}
	var marks []mark
	tick := time.NewTicker(tombstonePace)
	defer tick.Stop()
	for ctx.Err() == nil {
		count, now := t.Store.State().Keys().Tombstones(), time.Now()
		if count > 0 {
			marks = append(marks, mark{now, t.Store.State().Index()})
		}
		var upTo uint64
		for len(marks) > 0 && now.Sub(marks[0].at) >= tombstoneLife {
			upTo, marks = marks[0].index, marks[1:]
		}
		if count > maxTombstones && upTo == 0 { // then the oldest first
			upTo, marks = marks[0].index, marks[1:]
		}
		if upTo > 0 {
			t.giveUp(ctx, upTo, count)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// giveUp takes away all up to an index, some at a time.
func (t *Tidier) giveUp(ctx context.Context, upTo uint64, count int) {
	for ctx.Err() == nil {
		if err := keys.Of(t.Store).Tidy(ctx, nil, upTo); err != nil {
			if ctx.Err() == nil {
				t.Log.Error("failed to give up tombstones of keys", zap.Error(err))
			}
			return
		}
		left := t.Store.State().Keys().Tombstones()
		if left == 0 || left >= count {
			return
		}
		count = left
	}
}
