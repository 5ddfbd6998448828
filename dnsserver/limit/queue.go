package limit

import "sync"

// Queue is of things to be done by a bounded number of goroutines: so many are done at
// once, as many more wait. When there is room for no more, the one that has waited
// longest goes: who asked for it is the first to have given up.
type Queue[T any] struct {
	most int

	mu      sync.Mutex
	running int
	ring    []T // of most places, made when first needed
	first   int
	n       int // that wait
}

// NewQueue returns a Queue of which most are done at once.
func NewQueue[T any](most int) *Queue[T] { return &Queue[T]{most: most} }

// Add takes one. It reports whether the caller must do it, and gives back one that was
// dropped for it where the queue was full.
func (q *Queue[T]) Add(v T) (run bool, dropped T, full bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.running < q.most {
		q.running++
		return true, dropped, false
	}
	if q.ring == nil {
		q.ring = make([]T, q.most)
	}
	if full = q.n == q.most; full {
		dropped = q.ring[q.first]
		q.first = (q.first + 1) % q.most
		q.n--
	}
	q.ring[(q.first+q.n)%q.most] = v
	q.n++
	return false, dropped, full
}

// Next is what who has done one does next; false ends it.
func (q *Queue[T]) Next() (v T, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.n == 0 {
		q.running--
		return v, false
	}
	v, q.ring[q.first] = q.ring[q.first], v
	q.first = (q.first + 1) % q.most
	q.n--
	return v, true
}
