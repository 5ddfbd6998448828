package store

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"
)

// TestReadsAfterIdleRestarts: a start writes entries that the FSM is not shown.
// However many of them stand behind one another, a verified read must not wait
// for them.
func TestReadsAfterIdleRestarts(t *testing.T) {
	cfg := testConfig(t.TempDir())
	for i := range 5 {
		s := newStore(t, cfg, testDeps())
		if err := s.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		ready(t, s)
		if i == 0 {
			register(t, s, 1)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		if err := s.VerifyLeader(ctx); err != nil {
			t.Errorf("start %d: %v", i+1, err)
		}
		cancel()
		shut(t, s)
	}
}

// TestCloseUnderLoad: closing ends, whatever raft has been asked and not answered.
func TestCloseUnderLoad(t *testing.T) {
	for range 5 {
		s := newStore(t, testConfig(t.TempDir()), testDeps())
		if err := s.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		ready(t, s)
		var wg sync.WaitGroup
		for w := range 32 {
			wg.Go(func() {
				for i := 0; ; i++ {
					if _, err := s.Register(t.Context(), registration(w*1000+i)); err != nil {
						return
					}
					if err := s.VerifyLeader(t.Context()); err != nil {
						return
					}
				}
			})
		}
		for s.Index() < 100 {
			runtime.Gosched()
		}
		shut(t, s)
		wg.Wait()
	}
}
