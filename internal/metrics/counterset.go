package metrics

import (
	"strings"
	"sync"
)

// Overflow is the label value that stands for all those beyond a set's limit.
const Overflow = "_other"

// CounterSet is a counter with a label whose values come from outside. The first
// values have a series each and the rest share one, so that nobody can make the
// registry grow by asking.
type CounterSet struct {
	r           *Registry
	name, label string
	limit       int

	mu sync.RWMutex
	by map[string]*Counter
}

// CounterSet makes a set of at most limit values.
func (r *Registry) CounterSet(name, label string, limit int) *CounterSet {
	return &CounterSet{r: r, name: name, label: label, limit: limit, by: map[string]*Counter{}}
}

// With returns the counter of a label value.
func (s *CounterSet) With(value string) *Counter {
	s.mu.RLock()
	c, ok := s.by[value]
	s.mu.RUnlock()
	if ok {
		return c
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.by[value]; ok {
		return c
	}
	if len(s.by) >= s.limit {
		return s.r.Counter(s.name, Label{Name: s.label, Value: Overflow})
	}
	value = strings.Clone(value) // it may be a small part of a large request
	c = s.r.Counter(s.name, Label{Name: s.label, Value: value})
	s.by[value] = c
	return c
}
