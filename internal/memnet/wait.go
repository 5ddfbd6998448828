package memnet

import (
	"sync"
	"time"
)

// signal wakes everyone who waits for a change of what the lock guards.
type signal struct{ ch chan struct{} }

// wake needs the lock.
func (s *signal) wake() {
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}

// await gives the lock up until the signal, the stop or the earliest of the
// times that are not zero, and takes it again. It may return for no reason.
func await(mu *sync.Mutex, s *signal, stop <-chan struct{}, until ...time.Time) {
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	ch := s.ch
	mu.Unlock()
	defer mu.Lock()
	var first time.Time
	for _, t := range until {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	var fire <-chan time.Time
	if !first.IsZero() {
		timer := time.NewTimer(time.Until(first))
		defer timer.Stop()
		fire = timer.C
	}
	select {
	case <-ch:
	case <-stop:
	case <-fire:
	}
}

// passed: a deadline that is set and not ahead.
func passed(deadline, now time.Time) bool { return !deadline.IsZero() && !deadline.After(now) }

// arrived: what was scheduled (a stalled one was not) and is due.
func arrived(at, now time.Time) bool { return !at.IsZero() && !at.After(now) }
