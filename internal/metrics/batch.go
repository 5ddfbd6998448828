package metrics

import "time"

// ObserveN takes n things that took d each, as one sample.
func (t *Timer) ObserveN(d time.Duration, n int) {
	s := (*series)(t)
	if s == nil || n <= 0 || s.hidden.Load() {
		return
	}
	v := milliseconds(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addLocked(v)
	s.count += uint64(n - 1)
	more := float64(n - 1)
	s.total += v * more
	s.now.count += n - 1
	s.now.sum += v * more
	s.now.squares += v * v * more
}
