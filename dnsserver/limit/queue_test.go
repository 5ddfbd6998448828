package limit

import (
	"sync"
	"testing"
	"testing/synctest"
)

// What comes one after the other is done by one goroutine; Close ends it.
func TestQueueKeepsWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue[int](8)
		var wg sync.WaitGroup
		var mu sync.Mutex
		begun, done := 0, 0
		add := func(n int) {
			if run, _, _ := q.Add(n); run {
				begun++
				wg.Go(func() {
					for ok := true; ok; _, ok = q.Next() {
						mu.Lock()
						done++
						mu.Unlock()
					}
				})
			}
		}
		for i := range 100 {
			add(i)
			synctest.Wait()
		}
		if begun != 1 || done != 100 {
			t.Errorf("%d goroutines began and did %d of 100", begun, done)
		}
		for i := range 1000 {
			add(i)
		}
		synctest.Wait()
		if begun > 8 || done < 100+8 {
			t.Errorf("%d goroutines began and did %d", begun, done)
		}
		q.Close()
		q.Close()
		before := done
		add(1)
		wg.Wait() // nobody waits any more
		if done != before+1 {
			t.Errorf("%d were done after the end", done-before)
		}
	})
}
