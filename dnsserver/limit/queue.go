package limit

import "sync"

// Queue is of things to be done by a bounded number of goroutines: so many are done at
// once, as many more wait. When there is room for no more, the one that has waited
// longest goes: who asked for it is the first to have given up.
type Queue[T any] struct {
	most   int
	handed chan T // to who is idle
	seats  seats

	mu      sync.Mutex
	closed  bool
	running int
	idle    int // of those who run: they wait for something to do
	ring    []T // of most places, made when first needed
	first   int
	n       int // that wait
}

// maxIdle wait for something to do: a goroutine that has done the like before has the
// stack for it, and to grow that takes a fifth of a DNS answer's time.
const maxIdle = 16

// NewQueue returns a Queue of which most are done at once.
func NewQueue[T any](most int) *Queue[T] {
	return &Queue[T]{most: most, handed: make(chan T, maxIdle), seats: newSeats()}
}

// Close ends those who are idle. What is added later is done as before.
func (q *Queue[T]) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed = true
		q.running -= q.idle
		q.idle = 0
		close(q.handed)
	}
}

// Add takes one. It reports whether the caller must do it, and gives back one that was
// dropped for it where the queue was full.
func (q *Queue[T]) Add(v T) (run bool, dropped T, full bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.idle > 0 {
		q.idle--
		q.handed <- v // has a place for each who is idle
		return false, dropped, false
	}
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

// Seat waits until a processor may be used for what has been taken, and returns how to
// say that it is done, or that it waits for somebody now: the first time counts. For
// what takes so long that it must wait for somebody, it does not count longer than a
// moment.
func (q *Queue[T]) Seat() (leave func()) { return q.seats.take() }

// Working is how many are done now, or wait.
func (q *Queue[T]) Working() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.running - q.idle + q.n
}

// Next is what who has done one does next; false ends it. It may wait.
func (q *Queue[T]) Next() (v T, ok bool) {
	q.mu.Lock()
	if q.n == 0 && !q.closed && q.idle < maxIdle {
		q.idle++
		q.mu.Unlock()
		v, ok = <-q.handed
		return v, ok
	}
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
