package table

import (
	"hash/maphash"
	"sync/atomic"
)

// Stamps count the changes of things by their names. Names share a stamp now and
// then: an answer is then made again for nothing, and never kept wrongly.
type Stamps struct {
	seed   maphash.Seed
	counts []atomic.Uint32
}

// stamps are as many as things in a large catalog, and 1 MB.
const stamps = 1 << 18

// NewStamps returns Stamps of things that have not changed yet.
func NewStamps() *Stamps {
	return &Stamps{maphash.MakeSeed(), make([]atomic.Uint32, stamps)}
}

// Of returns which stamp a thing of a source has, and how it stands. It is to be
// read before the thing is.
func (s *Stamps) Of(source string, kind uint8, name string) (dep, stamp uint32) {
	var h maphash.Hash
	h.SetSeed(s.seed)
	_ = h.WriteByte(kind) // never fails, as nothing below does
	_, _ = h.WriteString(source)
	_ = h.WriteByte(0)
	_, _ = h.WriteString(name)
	dep = uint32(h.Sum64() % stamps)
	return dep, s.counts[dep].Load()
}

// Changed says that a thing has changed, once readers see it changed.
func (s *Stamps) Changed(source string, kind uint8, name string) {
	dep, _ := s.Of(source, kind, name)
	s.counts[dep].Add(1)
}

// Holds reports whether what an answer is made of is as it was.
func (s *Stamps) Holds(m *Mark) bool { return s.counts[m.Dep].Load() == m.Stamp }

// Current is Holds for an entry.
func (s *Stamps) Current(e *Entry) bool { return s.Holds(&e.mark) }
