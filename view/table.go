package view

import (
	"iter"
	"slices"
	"sync"
)

// table maps keys to immutable values. Readers take no lock; one writer at a
// time stores and deletes.
type table[K comparable, V any] struct{ m sync.Map }

func (t *table[K, V]) load(k K) *V {
	v, ok := t.m.Load(k)
	if !ok {
		return nil
	}
	return v.(*V) // only *V is ever stored
}

func (t *table[K, V]) store(k K, v *V) { t.m.Store(k, v) }

func (t *table[K, V]) delete(k K) { t.m.Delete(k) }

func (t *table[K, V]) values() iter.Seq[*V] {
	return func(yield func(*V) bool) {
		t.m.Range(func(_, v any) bool { return yield(v.(*V)) })
	}
}

// key orders the members of a list: instances by node and service ID, nodes by
// name alone.
type key struct{ node, id string }

func (k key) compare(o key) int {
	if k.node != o.node {
		if k.node < o.node {
			return -1
		}
		return 1
	}
	switch {
	case k.id < o.id:
		return -1
	case k.id > o.id:
		return 1
	}
	return 0
}

// edits is what a batch does to one list: the new member of a key, or nil where
// the member goes.
type edits[T any] map[key]*T

// merge returns the list that old becomes by the edits. Old is sorted by keyOf
// and stays as it is; what lies between two edits is copied in one go.
func merge[T any](old []*T, e edits[T], keyOf func(*T) key) []*T {
	keys := make([]key, 0, len(e))
	for k := range e {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, key.compare)
	out := make([]*T, 0, len(old)+len(e))
	for _, k := range keys {
		at, found := slices.BinarySearchFunc(old, k, func(t *T, k key) int { return keyOf(t).compare(k) })
		out = append(out, old[:at]...)
		if old = old[at:]; found {
			old = old[1:]
		}
		if v := e[k]; v != nil {
			out = append(out, v)
		}
	}
	return append(out, old...)
}
