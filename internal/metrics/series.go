package metrics

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// kind of a series.
type kind uint8

const (
	gauge kind = iota
	counter
	sample
	histogram
)

func (k kind) String() string {
	return [...]string{"gauge", "counter", "summary", "histogram"}[k]
}

// series is one name with one set of labels.
type series struct {
	kind   kind
	name   string // with the prefix
	labels []Label
	own    atomic.Bool // ours, so that it never expires
	hidden atomic.Bool // by the filter

	mu      sync.Mutex
	value   float64 // of a gauge
	total   float64 // of a counter or sample since the start
	count   uint64  // of a sample since the start
	touched time.Time
	now     window
	last    window   // the one before now, if that directly follows it
	buckets *buckets // of a histogram, once it has a value
}

// window is what one interval saw.
type window struct {
	n                    int64 // intervals since 1970
	count                int
	sum, squares, lo, hi float64
	values               []float32 // the newest, at most maxValues
}

func number(t time.Time) int64 { return t.UnixNano() / int64(Interval) }

// set replaces a gauge's value.
func (s *series) set(v float64) {
	if s == nil || s.hidden.Load() || !finite(v) {
		return
	}
	s.mu.Lock()
	s.value, s.touched = v, time.Now()
	s.mu.Unlock()
}

// add counts v in, or takes it as a sample.
func (s *series) add(v float64) {
	if s == nil || s.hidden.Load() || !finite(v) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addLocked(v)
}

func (s *series) addLocked(v float64) {
	now := time.Now()
	s.touched = now
	s.count++
	s.total += v
	s.turn(number(now))
	w := &s.now
	if w.count == 0 || v < w.lo {
		w.lo = v
	}
	if w.count == 0 || v > w.hi {
		w.hi = v
	}
	if s.kind == sample {
		if len(w.values) < maxValues {
			w.values = append(w.values, float32(v))
		} else {
			w.values[w.count%maxValues] = float32(v)
		}
	}
	w.count++
	w.sum += v
	w.squares += v * v
}

// turn begins interval n, if it is not the present one.
func (s *series) turn(n int64) {
	if s.now.n >= n {
		return
	}
	spare := s.last.values
	if s.last = s.now; s.now.n != n-1 {
		s.last = window{values: s.now.values[:0]}
	}
	s.now = window{n: n, values: spare[:0]}
}

// interval returns a copy of what interval n saw. Quantiles are not part of it.
func (s *series) interval(n int64) (window, bool) {
	for _, w := range []window{s.now, s.last} {
		if w.n == n && w.count > 0 {
			w.values = nil
			return w, true
		}
	}
	return window{}, false
}

// recent returns the values of the present interval and the one before, sorted.
func (s *series) recent(now time.Time) []float32 {
	var out []float32
	for _, w := range []window{s.now, s.last} {
		if w.n >= number(now)-1 {
			out = append(out, w.values...)
		}
	}
	slices.Sort(out)
	return out
}

// expired reports whether a library has not reported the series for so long.
func (s *series) expired(now time.Time, after time.Duration) bool {
	if s.own.Load() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Sub(s.touched) > after
}

// unset reports whether a gauge has no value.
func (s *series) unset() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.touched.IsZero()
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// Counter only grows. A nil Counter counts nothing.
type Counter series

// Add counts n more.
func (c *Counter) Add(n float64) {
	if n >= 0 {
		(*series)(c).add(n)
	}
}

// Inc counts one more.
func (c *Counter) Inc() { (*series)(c).add(1) }

// Reach counts up to a total that somebody else keeps.
func (c *Counter) Reach(total uint64) {
	s := (*series)(c)
	if s == nil || s.hidden.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := float64(total) - s.total; d > 0 {
		s.addLocked(d)
	}
}

// Gauge has a value that comes and goes. A nil Gauge has none.
type Gauge series

// Set replaces the value.
func (g *Gauge) Set(v float64) { (*series)(g).set(v) }

// Unset takes the value away, until there is one again.
func (g *Gauge) Unset() {
	s := (*series)(g)
	if s == nil {
		return
	}
	s.mu.Lock()
	s.touched = time.Time{}
	s.mu.Unlock()
}

// Timer measures how long things take. A nil Timer measures nothing.
type Timer series

// Observe takes a duration.
func (t *Timer) Observe(d time.Duration) { (*series)(t).add(milliseconds(d)) }

// Since takes the time from start until now.
func (t *Timer) Since(start time.Time) {
	if t != nil {
		t.Observe(time.Since(start))
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
