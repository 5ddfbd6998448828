package view

import (
	"slices"
	"time"

	"consul.internal/internal/fault"
)

// told is a subject in a session, as its outbox knows it.
type told struct {
	subject Subject
	seq     uint64
	from    Token     // what the follower said it knows; counts until the first answer
	until   time.Time // how long a source that knows less is borne with
	whole   bool      // the follower only says what must be known
	given   bool      // the first answer has been given
	queued  bool
}

func (t *told) base() *told { return t }

// pulse is a heartbeat on its way: it may only be told after everything that was
// marked when it became due, or it would claim too much.
type pulse struct {
	token Token
	age   time.Duration
	at    time.Time
	after int // marked subjects that go first
}

// maxEnds bounds the refusals that wait to be received: who asks on without
// listening is broken.
const maxEnds = 1024

// outbox is what a session has to say. Events are made when they are received:
// until then a subject that changes is only marked. All but the channels is
// guarded by its owner's lock.
type outbox[T interface {
	comparable
	base() *told
}] struct {
	wake  chan struct{} // of one place: there may be something to receive
	ended chan struct{}

	queue    []T     // marked subjects, each once, the longest waiting first
	ends     []Event // subjects that end, to be told
	parts    []Event // the rest of a large event
	nextBeat time.Time
	beat     *pulse // a heartbeat that is due
}

func (o *outbox[T]) open() {
	o.wake, o.ended, o.nextBeat = make(chan struct{}, 1), make(chan struct{}), time.Now()
}

func (o *outbox[T]) poke() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// mark has a subject told.
func (o *outbox[T]) mark(t T) {
	if b := t.base(); !b.queued {
		b.queued = true
		o.queue = append(o.queue, t)
		o.poke()
	}
}

// unmark takes back all that waits to be told of a subject, so that asking again
// and again does not grow the queue.
func (o *outbox[T]) unmark(t T) {
	b := t.base()
	if b.queued {
		if i := slices.Index(o.queue, t); i >= 0 {
			o.queue = slices.Delete(o.queue, i, i+1)
			if o.beat != nil && i < o.beat.after {
				o.beat.after--
			}
		}
	}
	if len(o.parts) > 0 && o.parts[0].Seq == b.seq && o.parts[0].Subject == b.subject {
		o.parts = nil
	}
}

// end has the end of a subject told; the session ends by its error.
func (o *outbox[T]) end(e Event) error {
	if len(o.ends) >= maxEnds {
		return fault.Newf(fault.RateLimited, "too many subjects were asked for")
	}
	o.ends = append(o.ends, e)
	o.poke()
	return nil
}

// due is what goes before the marked subjects: ends, the rest of a large event,
// a heartbeat.
func (o *outbox[T]) due(now time.Time, every time.Duration, pulse func(now time.Time) *pulse) (Event, bool) {
	var e Event
	if len(o.ends) > 0 {
		e, o.ends = o.ends[0], o.ends[1:]
		return e, true
	}
	if len(o.parts) > 0 {
		e, o.parts = o.parts[0], o.parts[1:]
		return e, true
	}
	if o.beat == nil && !now.Before(o.nextBeat) {
		o.beat = pulse(now)
		o.beat.at, o.beat.after = now, len(o.queue)
	}
	if b := o.beat; b != nil && b.after == 0 {
		o.beat, o.nextBeat = nil, now.Add(every)
		return Event{Heartbeat: true, Token: b.token, LeaderAge: b.age + now.Sub(b.at)}, true
	}
	return Event{}, false
}

// take takes the marked subject that has waited longest.
func (o *outbox[T]) take() (t T, ok bool) {
	if len(o.queue) == 0 {
		return t, false
	}
	var none T
	t, o.queue[0] = o.queue[0], none
	if o.queue = o.queue[1:]; len(o.queue) == 0 {
		o.queue = nil
	}
	if o.beat != nil {
		o.beat.after--
	}
	t.base().queued = false
	return t, true
}

// receive waits until next has an event or an error. Else next says when to look
// again at the latest. When either channel closes, stop is called, and next has
// the error.
func (o *outbox[T]) receive(gone, closed <-chan struct{}, stop func() error, next func() (Event, time.Time, error)) (Event, error) {
	var timer *time.Timer
	for {
		e, again, err := next()
		if err != nil || again.IsZero() {
			return e, err
		}
		if timer == nil {
			timer = time.NewTimer(time.Until(again))
			defer timer.Stop()
		} else {
			timer.Reset(time.Until(again))
		}
		select {
		case <-o.wake:
		case <-timer.C:
		case <-o.ended:
		case <-gone:
			_ = stop() // has no errors
		case <-closed:
			_ = stop() // has no errors
		}
	}
}
