package agent

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"consul.internal/catalog"
	"consul.internal/checks"
	"consul.internal/internal/fault"
)

// UpdateTTL gives a TTL check a status and an output; its time starts afresh.
func (l *Local) UpdateTTL(id string, status catalog.Status, output string) error {
	if !status.Valid() {
		return fault.Newf(fault.Invalid, "Invalid check status: '%s'", status)
	}
	before, ok := l.state.check(id)
	if !ok {
		return errUnknownCheck(id)
	}
	deadline, err := l.reg.runner.UpdateTTL(id, status, output)
	if err != nil {
		return err
	}
	if before.check.Status != status {
		return l.ttl.save(id)
	}
	l.ttl.note(id, deadline)
	return nil
}

// ttlStates keeps the states of TTL checks on disk. A new status is written at
// once, heartbeats only before what is on disk runs out.
type ttlStates struct {
	reg  *registrar
	wake chan struct{}

	mu      sync.Mutex
	expires map[string]time.Time // until when the state on disk is good
	due     map[string]bool
}

func newTTLStates(reg *registrar) *ttlStates {
	return &ttlStates{reg: reg, wake: make(chan struct{}, 1), expires: make(map[string]time.Time), due: make(map[string]bool)}
}

// UpdateCheck makes ttlStates the checks.Sink: it passes a result to the state. A
// TTL check that expires is noted for saving, so that a restart does not bring
// back its better days.
func (t *ttlStates) UpdateCheck(id string, status catalog.Status, output string) {
	if status == catalog.Critical {
		if e, ok := t.reg.state.check(id); ok && e.check.Status != status && e.def != nil && e.def.Kind() == checks.KindTTL {
			t.mu.Lock()
			t.add(id)
			t.mu.Unlock()
		}
	}
	t.reg.state.UpdateCheck(id, status, output)
}

// note takes a heartbeat that is good until the deadline.
func (t *ttlStates) note(id string, deadline time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.expires[id].Before(deadline) {
		t.add(id)
	}
}

// add is called with mu held.
func (t *ttlStates) add(id string) {
	t.due[id] = true
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// save writes the state of a TTL check as it is now. It takes the lock for one
// file only: registrations are not to wait for hundreds.
func (t *ttlStates) save(id string) error {
	t.reg.mu.Lock()
	defer t.reg.mu.Unlock()
	e, ok := t.reg.state.check(id)
	if !ok || e.def == nil || e.def.Kind() != checks.KindTTL {
		return nil // deregistered meanwhile
	}
	// A TTL is added so that a file is written once in that time, however many
	// heartbeats come; at a restart nobody gets more than one.
	expires := time.Now().Add(min(2*min(e.def.TTL, maxKept), maxKept))
	s := savedState{ID: id, Status: e.check.Status, Output: e.check.Output, Expires: expires}
	if err := t.reg.files.saveState(s); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expires[id] = expires
	delete(t.due, id)
	return nil
}

// ttlLeft is how long a TTL check may stay as it was saved.
func ttlLeft(s savedState, ttl time.Duration) time.Duration {
	return max(min(time.Until(s.Expires), ttl), time.Nanosecond)
}

// take returns what is due, and forgets checks that are gone.
func (t *ttlStates) take() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []string
	for id := range t.due {
		out = append(out, id)
	}
	clear(t.due)
	for id := range t.expires {
		if _, ok := t.reg.state.check(id); !ok {
			delete(t.expires, id)
		}
	}
	return out
}

// run writes what is due, a moment after the first, and all of it at the end.
func (t *ttlStates) run(ctx context.Context) {
	for ending := false; !ending; {
		select {
		case <-t.wake:
			ending = !pause(ctx, stateFlushTime)
		case <-ctx.Done():
			ending = true
		}
		var failed error
		for _, id := range t.take() {
			if err := t.save(id); err != nil {
				failed = err // the disk's fault, and the same for all
			}
		}
		if failed != nil {
			t.reg.log.Error("The states of TTL checks could not be saved; after a restart they may be critical until their next heartbeat", zap.Error(failed))
		}
	}
}
