package view

import (
	"iter"
	"sync/atomic"
)

// nameSet is a set of the hashes of names. Readers take no lock; one writer at a
// time adds and removes.
type nameSet struct {
	slots atomic.Pointer[[]atomic.Uint64]
	used  int // slots that are not free, so also those of names that are gone
	size  int
}

// What a slot says beside a hash.
const (
	slotFree = iota
	slotGone
	slotHash // the first that is one
)

// minNames is a power of two, as the number of slots always is.
const minNames = 64

func newNameSet() *nameSet {
	s := &nameSet{}
	s.resize(minNames)
	return s
}

// place makes a hash one that cannot be mistaken for a mark.
func place(hash uint64) uint64 {
	if hash < slotHash {
		return hash + slotHash
	}
	return hash
}

func (s *nameSet) has(hash uint64) bool {
	if s == nil {
		return false
	}
	hash = place(hash)
	slots := *s.slots.Load()
	mask := uint64(len(slots) - 1)
	for at := hash & mask; ; at = (at + 1) & mask {
		switch slots[at].Load() {
		case hash:
			return true
		case slotFree:
			return false
		}
	}
}

func (s *nameSet) add(hash uint64) {
	if s.has(hash) {
		return
	}
	slots := *s.slots.Load()
	if 4*(s.used+1) > 3*len(slots) {
		n := len(slots)
		if 2*(s.size+1) > n {
			n *= 2
		}
		slots = s.resize(n)
	}
	s.insert(slots, place(hash))
}

func (s *nameSet) insert(slots []atomic.Uint64, hash uint64) {
	mask := uint64(len(slots) - 1)
	at := hash & mask
	for slots[at].Load() != slotFree {
		at = (at + 1) & mask
	}
	slots[at].Store(hash)
	s.used++
	s.size++
}

func (s *nameSet) remove(hash uint64) {
	hash = place(hash)
	slots := *s.slots.Load()
	mask := uint64(len(slots) - 1)
	for at := hash & mask; ; at = (at + 1) & mask {
		switch slots[at].Load() {
		case hash:
			slots[at].Store(slotGone)
			s.size--
			return
		case slotFree:
			return
		}
	}
}

// len returns how many hashes there are; the writer asks.
func (s *nameSet) len() int {
	if s == nil {
		return 0
	}
	return s.size
}

// all enumerates the hashes; the writer asks.
func (s *nameSet) all() iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		if s == nil {
			return
		}
		slots := *s.slots.Load()
		for i := range slots {
			if h := slots[i].Load(); h >= slotHash && !yield(h) {
				return
			}
		}
	}
}

// resize moves the set to n slots. Readers go on with the old ones meanwhile.
func (s *nameSet) resize(n int) []atomic.Uint64 {
	slots := make([]atomic.Uint64, n)
	var old []atomic.Uint64
	if p := s.slots.Load(); p != nil {
		old = *p
	}
	s.used, s.size = 0, 0
	for i := range old {
		if h := old[i].Load(); h >= slotHash {
			s.insert(slots, h)
		}
	}
	s.slots.Store(&slots)
	return slots
}
