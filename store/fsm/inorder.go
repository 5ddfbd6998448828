package fsm

import (
	"iter"
	"runtime"
	"sync"
)

// inOrder works on jobs in several goroutines at once and hands the results to
// take in the order of the jobs, in the caller's goroutine. It ends with the
// jobs or at take's first error, and has no goroutine left when it returns.
func inOrder[J, R any](jobs iter.Seq[J], do func(J) R, take func(R) error) error {
	type slot struct {
		job  J
		done chan R
	}
	workers := runtime.GOMAXPROCS(0)
	queue, order := make(chan slot), make(chan slot, 2*workers) // so many results wait at most
	stop := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(stop)
	wg.Go(func() {
		defer close(order)
		defer close(queue)
		for job := range jobs {
			s := slot{job, make(chan R, 1)}
			for _, ch := range []chan slot{order, queue} {
				select {
				case ch <- s:
				case <-stop:
					return
				}
			}
		}
	})
	for range workers {
		wg.Go(func() {
			for s := range queue {
				s.done <- do(s.job)
			}
		})
	}
	for s := range order {
		if err := take(<-s.done); err != nil {
			return err
		}
	}
	return nil
}
