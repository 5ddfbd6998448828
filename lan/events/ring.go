package events

import (
	"context"
	"iter"
	"slices"
	"sync"

	"consul.internal/kv"
)

// kept is how many events an agent remembers, as is known of it.
const kept = 256

// Ring holds the last events that were for this agent.
type Ring struct {
	node     string
	services func() iter.Seq2[string, []string]

	mu      sync.Mutex
	events  []*kv.Event // the newest last
	changed chan struct{}
}

// NewRing makes an empty ring for a node and its services: names to tags.
func NewRing(node string, services func() iter.Seq2[string, []string]) *Ring {
	return &Ring{node: node, services: services, changed: make(chan struct{})}
}

// Take keeps an event that the pool brought, if it is for this agent.
func (r *Ring) Take(name string, payload []byte, ltime uint64) {
	e, ok := Decode(name, payload, ltime)
	if !ok {
		return
	}
	f, err := e.Filter()
	if err != nil || e.Version > kv.EventVersion || !f.Keeps(r.node, r.services()) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.events) == kept {
		r.events = slices.Delete(r.events, 0, 1)
	}
	r.events = append(r.events, e)
	close(r.changed)
	r.changed = make(chan struct{})
}

// List returns the events of a name ("" = all), the oldest first, and the index of
// the last. As long as that is min, it waits for another one until ctx ends.
func (r *Ring) List(ctx context.Context, name string, pass func(*kv.Event) bool, min uint64) (uint64, []*kv.Event) {
	for {
		r.mu.Lock()
		changed := r.changed
		var out []*kv.Event
		for _, e := range r.events {
			if (name == "" || e.Name == name) && pass(e) {
				out = append(out, e)
			}
		}
		r.mu.Unlock()
		index := uint64(1)
		if n := len(out); n > 0 {
			index = out[n-1].Index()
		}
		if min == 0 || index != min {
			return index, out
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return index, out
		}
	}
}
