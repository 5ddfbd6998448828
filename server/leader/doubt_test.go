package leader_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/server/leader"
	"go.uber.org/zap"
)

// TestDoubt: somebody had no answer from a member. One that is silent turns
// critical before the pool says anything, and stays so until it answers.
func TestDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		var state struct {
			status    leader.Status
			silent    bool
			reachable bool
			looks     int
		}
		state.reachable = true
		set := func(f func()) { w.mu.Lock(); defer w.mu.Unlock(); f() }
		doubts, changed := make(chan string, 9), make(chan struct{}, 1)
		r := &leader.Reconciler{
			Caller: w, Self: "id-me", Opened: time.Now(), Log: zap.NewNop(), Doubts: doubts, Changed: changed,
			Members: func() []leader.Member {
				w.mu.Lock()
				defer w.mu.Unlock()
				return []leader.Member{client("c", state.status), client("me", leader.Alive)}
			},
			Reachable: func(context.Context, leader.Member) bool { w.mu.Lock(); defer w.mu.Unlock(); return state.reachable },
			Silent: func(ctx context.Context, _ string) bool {
				select {
				case <-time.After(time.Second):
				case <-ctx.Done():
				}
				w.mu.Lock()
				defer w.mu.Unlock()
				state.looks++
				return state.silent
			},
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); r.Run(ctx) }()
		at := func(d time.Duration, looks int, want string) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if got := w.did(); got != want {
				t.Errorf("%q, want %q", got, want)
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			if state.looks != looks {
				t.Errorf("%d looks, want %d", state.looks, looks)
			}
		}
		at(time.Millisecond, 0, "c passing|me passing")
		doubts <- "c"
		at(1100*time.Millisecond, 1, "") // it is not silent

		set(func() { state.silent, state.reachable = true, false })
		doubts <- "c"
		doubts <- "c" // is being looked at
		doubts <- "me"
		doubts <- "nobody"
		at(1100*time.Millisecond, 4, "c critical")
		changed <- struct{}{} // something else has happened; the pool still holds it for alive
		doubts <- "c"
		at(5*time.Second, 4, "")
		set(func() { state.reachable = true }) // it was cut off for some seconds
		at(1100*time.Millisecond, 4, "c passing")

		set(func() { state.reachable = false })
		doubts <- "c"
		at(1100*time.Millisecond, 5, "c critical")
		set(func() { state.status = leader.Failed })
		changed <- struct{}{}
		at(5*time.Second, 5, "")
		doubts <- "c" // nobody doubts that any more
		at(1100*time.Millisecond, 6, "")
		set(func() { state.status, state.reachable = leader.Alive, true })
		changed <- struct{}{}
		at(time.Millisecond, 6, "c passing")

		doubts <- "c"
		time.Sleep(time.Millisecond)
		cancel() // in the middle of a look
		<-done
		if got := w.did(); got != "" {
			t.Errorf("%q after the leadership", got)
		}
	})
}
