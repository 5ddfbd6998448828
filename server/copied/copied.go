// Package copied finds out what is to be written so that the records of one datacenter
// become those of another. It reads and writes nothing.
package copied

import (
	"slices"
	"strings"
)

// Differ compares what there is with what there is to be: what is to be written,
// and the keys of what is to go.
func Differ[T any](have, want []T, key func(T) string, same func(a, b T) bool) (put []T, gone []string) {
	old := make(map[string]T, len(have))
	for _, h := range have {
		old[strings.ToLower(key(h))] = h
	}
	for _, w := range want {
		k := strings.ToLower(key(w))
		h, there := old[k]
		delete(old, k)
		if !there || !same(h, w) {
			put = append(put, w)
		}
	}
	for _, h := range old {
		gone = append(gone, key(h))
	}
	slices.Sort(gone)
	return put, gone
}

// Aside makes room for names that change hands among what is written: who bears one
// that another is to have gets a name that nobody else has first, so that none of
// them is missing for a moment.
func Aside[T any](have, put []T, id func(T) string, name func(T) *string, copied func(T) T) (all []T) {
	writes, holder := map[string]bool{}, map[string]T{}
	for _, w := range put {
		writes[strings.ToLower(id(w))] = true
	}
	for _, h := range have {
		if writes[strings.ToLower(id(h))] {
			holder[strings.ToLower(*name(h))] = h
		}
	}
	for _, w := range put {
		h, held := holder[strings.ToLower(*name(w))]
		if !held || strings.EqualFold(id(h), id(w)) {
			continue
		}
		c := copied(h)
		*name(c) = "renamed-" + id(h)
		all = append(all, c)
	}
	return append(all, put...)
}
