package watch

import (
	"context"
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/hashicorp/consul/api"
)

const (
	// firstRetry is the pause after a first failure: elections are over by then.
	firstRetry = time.Second
	// lastRetry is the longest pause, so that a watch is soon back after an outage.
	lastRetry = 30 * time.Second
)

// Calls are who is told of what happens. None is called while another one runs.
type Calls struct {
	// Changed gets each answer that differs from the one before, the first one
	// always. An error ends the watch.
	Changed func(ctx context.Context, index uint64, value any) error
	// Failed is told why the query failed and when it is tried again. An error
	// ends the watch; nil = it is always tried again.
	Failed func(err error, again time.Duration) error
}

// Follow asks again and again until ctx ends, which is no error, or one of the
// calls returns an error, which it returns.
func Follow(ctx context.Context, client *api.Client, q Query, calls Calls) error {
	var index uint64
	var last any
	retry, first := firstRetry, true
	for ctx.Err() == nil {
		before := index
		value, now, err := q.fetch(ctx, client, before)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			pause := retry/2 + rand.N(retry/2) // not all watches at the same moment
			if calls.Failed != nil {
				if err := calls.Failed(err, pause); err != nil {
					return err
				}
			}
			sleep(ctx, pause)
			retry = min(2*retry, lastRetry)
			continue
		}
		retry = firstRetry
		same := now == before
		if index = max(now, 1); now < before && q.Type != "event" { // those of events are in no order
			index = 0 // the servers' state is another one: ask for all of it
		}
		if !first && (same || reflect.DeepEqual(last, value)) {
			continue
		}
		first, last = false, value
		if err := calls.Changed(ctx, index, value); err != nil {
			return err
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
