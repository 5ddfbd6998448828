package metrics

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	gometrics "github.com/hashicorp/go-metrics"
)

// Label tells series of one name apart.
type Label = gometrics.Label

// Registry holds all series of an agent. Its methods may be called by many
// goroutines; a nil Registry counts nothing and shows nothing.
type Registry struct {
	prefix    string
	retention time.Duration
	filter    atomic.Pointer[Filter]
	refused   atomic.Uint64 // series that found no room

	mu     sync.RWMutex
	series map[string]*series
	pruned time.Time // when room was last made

	collect    sync.Mutex // held while collectors run
	collected  time.Time
	collectors []func()
	process    process
}

// New makes an empty registry.
func New(cfg Config) *Registry {
	r := &Registry{prefix: cfg.Prefix, retention: cfg.Retention, series: map[string]*series{}}
	r.filter.Store(&cfg.Filter)
	return r
}

// SetFilter replaces the filter, also for what there is already.
func (r *Registry) SetFilter(f Filter) {
	if r == nil {
		return
	}
	r.filter.Store(&f)
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, s := range r.series {
		s.hidden.Store(!f.keeps(s.name))
	}
}

// OnCollect adds a function that sets gauges, called before they are shown.
func (r *Registry) OnCollect(set func()) {
	if r == nil {
		return
	}
	r.collect.Lock()
	defer r.collect.Unlock()
	r.collectors = append(r.collectors, set)
}

// refresh calls the collectors, but not more often than collectPause.
func (r *Registry) refresh() {
	r.collect.Lock()
	defer r.collect.Unlock()
	if now := time.Now(); now.Sub(r.collected) >= collectPause {
		r.collected = now
		for _, set := range r.collectors {
			set()
		}
		if n := r.refused.Load(); n > 0 {
			r.Gauge(SeriesRefused).Set(float64(n))
		}
	}
}

// Counter returns the counter of a name and labels, the same for the same.
func (r *Registry) Counter(name string, labels ...Label) *Counter {
	return (*Counter)(r.get(counter, name, labels, true))
}

// Gauge returns the gauge of a name and labels.
func (r *Registry) Gauge(name string, labels ...Label) *Gauge {
	return (*Gauge)(r.get(gauge, name, labels, true))
}

// Timer returns the timer of a name and labels; it shows milliseconds.
func (r *Registry) Timer(name string, labels ...Label) *Timer {
	return (*Timer)(r.get(sample, name, labels, true))
}

// get finds or makes a series. It returns nil if there is no room for another.
func (r *Registry) get(k kind, name string, labels []Label, own bool) *series {
	if r == nil {
		return nil
	}
	if r.prefix != "" {
		name = r.prefix + "." + name
	}
	id := identity(k, name, labels)
	r.mu.RLock()
	s := r.series[id]
	r.mu.RUnlock()
	if s != nil {
		if own && !s.own.Load() { // a library was first
			s.own.Store(true)
		}
		return s
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s = r.series[id]; s != nil {
		return s
	}
	if len(r.series) >= maxSeries && !r.prune() {
		r.refused.Add(1)
		return nil
	}
	s = &series{kind: k, name: strings.Clone(name), labels: slices.Clone(labels)}
	s.own.Store(own)
	s.hidden.Store(!r.filter.Load().keeps(name))
	r.series[id] = s
	return s
}

// prune makes room by what libraries no longer report. It looks at everything, so
// it does so once an interval only.
func (r *Registry) prune() bool {
	now := time.Now()
	if now.Sub(r.pruned) < Interval {
		return false
	}
	r.pruned = now
	for id, s := range r.series {
		if s.expired(now, max(r.retention, Interval)) {
			delete(r.series, id)
		}
	}
	return len(r.series) < maxSeries
}

// identity is a series' key in the map. Zero bytes keep values from running into
// each other.
func identity(k kind, name string, labels []Label) string {
	b := make([]byte, 0, len(name)+32*len(labels)+1)
	b = append(append(b, byte('0'+k)), name...)
	for _, l := range labels {
		b = append(append(append(append(b, 0), l.Name...), 0), l.Value...)
	}
	return string(b)
}

// visible returns what the filter lets through, sorted by name and labels.
func (r *Registry) visible() []*series {
	r.refresh()
	r.mu.RLock()
	list := make([]*series, 0, len(r.series))
	for _, s := range r.series {
		if !s.hidden.Load() {
			list = append(list, s)
		}
	}
	r.mu.RUnlock()
	slices.SortFunc(list, func(a, b *series) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		return slices.CompareFunc(a.labels, b.labels, func(x, y Label) int {
			return strings.Compare(x.Name+"\x00"+x.Value, y.Name+"\x00"+y.Value)
		})
	})
	return list
}
