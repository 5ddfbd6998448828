package federation

import (
	"context"
	"errors"
	"math/rand/v2"
	"reflect"
	"time"

	"consul.internal/internal/fault"
	"consul.internal/rpc"
	"consul.internal/rpc/remote"
)

// task is one call on its way to an answer.
type task struct {
	method     string
	in, out    any
	idempotent bool
	read       *rpc.ReadOptions // nil if it is not a read
	blocking   bool
	hold       time.Duration
	longest    time.Duration // that the call may take in all

	until   time.Time     // when waiting for a leader ends
	bound   time.Duration // of the next try
	wait    time.Duration // of the next pause
	waitMax time.Duration
	askAt   time.Time // when others may be asked again
	askWait time.Duration
	began   time.Time
	final   bool
	unknown error // of a try that may have taken effect
	limited error // of a server that was asked too much
	home    error // why this process had no answer, not yet acted on
	away    bool  // it is for another datacenter
}

func newTask(op rpc.Operation, method string, in, out any, hold time.Duration) *task {
	now := time.Now()
	t := &task{
		method: method, in: in, out: out, idempotent: op.Idempotent, read: rpc.ReadOf(in), hold: hold, longest: hold,
		until: now.Add(hold), began: now, bound: firstTry, wait: pauseMin, waitMax: pauseMaxClient, askWait: pauseMin,
	}
	if waits(in) {
		t.blocking = true
		wait := t.read.MaxWait
		if wait <= 0 {
			wait = rpc.MaxWait // the server's to choose, and not more than that
		}
		t.longest = wait + wait/16 + hold + blockingSlack
	}
	return t
}

// hurry bounds a call that does not block; 0 = it has its time.
func (t *task) hurry(longest time.Duration) {
	if longest > 0 && longest < t.longest && !t.blocking {
		t.longest = longest
	}
}

// waits reports whether a request is one that may block for minutes.
func waits(in any) bool {
	read := rpc.ReadOf(in)
	return read != nil && read.MinIndex > 0
}

// try asks one caller. A try of what may be tried again has a bound, so that a
// server that is frozen costs little; one that blocks is watched by its connection.
func (t *task) try(ctx context.Context, c rpc.Caller) error {
	if t.blocking {
		return t.block(ctx, c)
	}
	if !t.idempotent {
		return c.Call(ctx, t.method, t.in, t.out)
	}
	bounded, cancel := context.WithTimeout(ctx, t.bound)
	defer cancel()
	err := c.Call(bounded, t.method, t.in, t.out)
	if bounded.Err() != nil {
		t.bound *= 2 // it may be slow, not frozen
	}
	return t.note(err)
}

// block asks for what may take minutes. What was waited at a server that then
// failed is not waited again at the next, and a call that has waited there may
// wait for a leader anew.
func (t *task) block(ctx context.Context, c rpc.Caller) error {
	start := time.Now()
	in := t.in
	if waited := start.Sub(t.began); waited >= firstTry {
		in = t.remaining(waited)
	}
	err := c.Call(ctx, t.method, in, t.out)
	notSent := remote.Lost(err) && errors.Is(err, fault.Unavailable)
	if t.again(err) && !notSent && time.Since(start) >= firstTry {
		t.until = time.Now().Add(t.hold)
		t.wait, t.askWait = pauseMin, pauseMin
	}
	return t.note(err)
}

// remaining is the request with the rest of its wait. The caller's stays as it is.
func (t *task) remaining(waited time.Duration) any {
	clone := reflect.New(reflect.TypeOf(t.in).Elem())
	clone.Elem().Set(reflect.ValueOf(t.in).Elem())
	opts := rpc.ReadOf(clone.Interface())
	if opts.MaxWait <= 0 {
		opts.MaxWait = rpc.DefaultWait
	}
	opts.MaxWait = max(opts.MaxWait-waited, time.Millisecond)
	return clone.Interface()
}

// note remembers that a change may have happened.
func (t *task) note(err error) error {
	if t.read == nil && errors.Is(err, fault.Unknown) {
		t.unknown = err
	}
	return err
}

// stop makes an error the answer.
func (t *task) stop(err error) error {
	t.final = true
	return err
}

// again reports whether another try may do better than err, and is allowed.
func (t *task) again(err error) bool {
	if err == nil || t.final {
		return false
	}
	switch fault.Of(err) {
	case fault.NotLeader, fault.NoLeader, fault.Unavailable:
		return true // surely not performed
	case fault.Unknown:
		return t.idempotent
	case fault.RateLimited:
		return t.read != nil // another server may have asked less of itself
	default:
		return false
	}
}

// lost reports whether a call for another datacenter has looked for a way there
// for long enough.
func (t *task) lost(err error) bool {
	return t.away && fault.Of(err) == fault.Unavailable && !t.blocking && time.Since(t.began) >= awayHold
}

// mayAsk reports whether servers other than the own one and its leader may be
// asked now. The first time they may.
func (t *task) mayAsk() bool {
	now := time.Now()
	if now.Before(t.askAt) {
		return false
	}
	t.askAt = now.Add(jitter(t.askWait))
	t.askWait = min(t.askWait*2, pauseMaxRelay)
	return true
}

// pause waits before the next round. It reports false when the time is over.
func (t *task) pause(ctx context.Context) bool {
	now := time.Now()
	if !now.Before(t.until) {
		return false
	}
	timer := time.NewTimer(min(jitter(t.wait), t.until.Sub(now)))
	defer timer.Stop()
	t.wait = min(t.wait*3/2, t.waitMax)
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d) }

// noLeader is the answer when the time is over.
func (t *task) noLeader() error {
	if t.unknown != nil {
		return fault.Newf(fault.Unknown, "No cluster leader; the change may or may not have happened: %w", t.unknown)
	}
	return fault.Newf(fault.NoLeader, "No cluster leader")
}

// late is the answer when a call that had little time has had it.
func (t *task) late() error {
	kind := fault.Unavailable
	if t.unknown != nil {
		kind = fault.Unknown
	}
	return fault.Newf(kind, "no server answered within %s (limits.rpc_client_timeout)", t.longest)
}

// gaveUp is the answer when the caller does not want one any more.
func (t *task) gaveUp(cause error) error {
	if t.unknown != nil {
		return fault.With(fault.Unknown, cause)
	}
	return fault.With(fault.Unavailable, cause)
}
