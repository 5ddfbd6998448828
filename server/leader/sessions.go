package leader

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/go-memdb"
	"go.uber.org/zap"

	"consul.internal/internal/metrics"
	"consul.internal/kv"
	"consul.internal/store"
	"consul.internal/store/keys"
)

const (
	// gather is how long news of the sessions may come together: looking at them
	// costs as much as there are. It only makes leases longer.
	gather = 20 * time.Millisecond
	// endRetry is the pause after an end that could not be written.
	endRetry = time.Second
	// maxEnds sessions are ended by one entry of the log.
	maxEnds = 512
)

// Leases ends the sessions that nobody renews, by the clock of the server that
// leads. A new leader gives each of them its whole time again. It implements
// server.Leases.
type Leases struct {
	Store   *store.Store
	Log     *zap.Logger
	Metrics *metrics.Registry // nil = nobody asks

	mu     sync.Mutex
	leases map[string]*lease // by ID; nil while this server does not lead
}

type lease struct {
	due    time.Time
	ending bool // its end is being written
}

func lasts(s *kv.Session) time.Duration { return kv.TTLFactor * s.Lease() }

// Renew implements server.Leases.
func (l *Leases) Renew(s *kv.Session) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	one, ok := l.leases[s.ID]
	if !ok {
		return true // it gets its whole time when it is first looked at, which is later
	}
	if one.ending {
		return false
	}
	one.due = time.Now().Add(lasts(s))
	return true
}

// Active is how many sessions it watches; 0 while this server does not lead.
func (l *Leases) Active() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.leases)
}

// Run watches the sessions until the leadership ends.
func (l *Leases) Run(ctx context.Context) {
	l.mu.Lock()
	l.leases = map[string]*lease{}
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		l.leases = nil
		l.mu.Unlock()
	}()
	for ctx.Err() == nil {
		ws := memdb.NewWatchSet()
		_, sessions := l.Store.State().Sessions().List(ws)
		l.follow(sessions)
		if !l.until(ctx, ws) {
			continue // news; else somebody's time is over, or the leadership
		}
		for ctx.Err() == nil && !l.end(ctx) {
			pause(ctx, endRetry)
		}
	}
}

// follow begins the time of new sessions and forgets those that are gone.
func (l *Leases) follow(sessions []*kv.Session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	there := make(map[string]bool, len(sessions))
	for _, s := range sessions {
		if s.Lease() == 0 {
			continue
		}
		there[s.ID] = true
		if l.leases[s.ID] == nil {
			l.leases[s.ID] = &lease{due: time.Now().Add(lasts(s))}
		}
	}
	for id := range l.leases {
		if !there[id] {
			delete(l.leases, id)
		}
	}
}

// until waits for news of the sessions, which is false, or for the first due time.
// A renewal only puts that off, so that it need not be told of.
func (l *Leases) until(ctx context.Context, ws memdb.WatchSet) (due bool) {
	wait, some := l.next()
	timed, cancel := context.WithCancel(ctx)
	if some {
		cancel()
		timed, cancel = context.WithTimeout(ctx, wait)
	}
	defer cancel()
	if ws.WatchCtx(timed) == nil {
		pause(ctx, gather)
		return false
	}
	return ctx.Err() == nil
}

func (l *Leases) next() (wait time.Duration, some bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range l.leases {
		if left := time.Until(one.due); !some || left < wait {
			wait, some = left, true
		}
	}
	return wait, some
}

// end ends what is due. It reports false if that could not be written.
func (l *Leases) end(ctx context.Context) bool {
	l.mu.Lock()
	var ids []string
	now := time.Now()
	for id, one := range l.leases {
		if !one.due.After(now) && len(ids) < maxEnds {
			one.ending = true
			ids = append(ids, id)
		}
	}
	l.mu.Unlock()
	if len(ids) == 0 {
		return true // renewed meanwhile
	}
	err := keys.Of(l.Store).DestroySessions(ctx, ids...)
	if err == nil {
		l.Metrics.Timer(metrics.SessionInvalidate).ObserveN(time.Since(now), len(ids))
	}
	if err != nil {
		if ctx.Err() == nil {
			l.Log.Error("failed to end sessions; trying again", zap.Int("sessions", len(ids)), zap.Error(err))
		}
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		delete(l.leases, id)
		l.Log.Debug("session TTL expired", zap.String("session", id))
	}
	return true
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
