package transfer

import (
	"hash/maphash"
	"iter"
	"maps"
)

// shards is into how many parts a table is split: a change copies one of them, and
// of 200,000 names each has 200.
const shards = 1024

// table is blocks by subject, of which old versions can be kept at little cost: a
// part is copied before its first change after a freeze.
type table struct {
	seed  maphash.Seed
	parts [shards]map[string]*block
	own   [shards]bool // not part of any frozen version
}

func newTable() *table { return &table{seed: maphash.MakeSeed()} }

func (t *table) at(key string) int { return int(maphash.String(t.seed, key) % shards) }

func (t *table) get(key string) *block { return t.parts[t.at(key)][key] }

// set stores a block; nil takes it away.
func (t *table) set(key string, b *block) {
	i := t.at(key)
	if !t.own[i] {
		t.parts[i] = maps.Clone(t.parts[i])
		t.own[i] = true
	}
	if b == nil {
		delete(t.parts[i], key)
		return
	}
	if t.parts[i] == nil {
		t.parts[i] = map[string]*block{}
	}
	t.parts[i][key] = b
}

// frozen is a version of a table. It is never changed.
type frozen [shards]map[string]*block

func (t *table) freeze() *frozen {
	f := frozen(t.parts)
	t.own = [shards]bool{}
	return &f
}

// all enumerates kinds and records.
func (f *frozen) all() iter.Seq2[kind, record] {
	return func(yield func(kind, record) bool) {
		for _, part := range f {
			for key, b := range part {
				for _, r := range b.records {
					if !yield(kind(key[0]), r) {
						return
					}
				}
			}
		}
	}
}
