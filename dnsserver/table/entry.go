package table

import (
	"bytes"
	"unsafe"

	"consul.internal/internal/fault"
)

// Mark is what an entry's answer holds by.
type Mark struct {
	Dep     uint32 // the stamp that changes when the answer does
	Stamp   uint32 // as it was when the answer was made
	Source  uint8  // who told of it, by a number of the user's
	Session uint64 // in which that source told it
	Expires int64  // when the source must be asked again, in seconds since 1970; 0 is never
}

// Entry is a question and its packed answer. It is never changed.
//
// It is the head of one block of memory that holds the key and the answer behind
// it: a lookup that misses the CPU's caches then waits for memory once.
type Entry struct {
	hash   uint64
	mark   Mark
	size   uint32 // of the block
	keyLen uint16
}

const (
	headSize = int(unsafe.Sizeof(Entry{}))
	word     = 8
	// maxEntry is far above the largest answer; more is a mistake.
	maxEntry = 1 << 20
)

// newEntry makes the block.
func newEntry(hash uint64, key, answer []byte, m Mark) (*Entry, error) {
	size := headSize + len(key) + len(answer)
	if size > maxEntry || len(key) > 1<<16-1 {
		return nil, fault.Newf(fault.Invalid, "an answer of %d bytes is too large to be kept", len(answer))
	}
	block := make([]uint64, (size+word-1)/word) // no pointers, and aligned for the head
	e := (*Entry)(unsafe.Pointer(unsafe.SliceData(block)))
	e.hash, e.mark, e.size, e.keyLen = hash, m, uint32(size), uint16(len(key))
	b := e.block()
	copy(b[headSize:], key)
	copy(b[headSize+len(key):], answer)
	return e, nil
}

func (e *Entry) block() []byte { return unsafe.Slice((*byte)(unsafe.Pointer(e)), e.size) }

func (e *Entry) key() []byte { return e.block()[headSize : headSize+int(e.keyLen)] }

// Answer is what was packed.
func (e *Entry) Answer() []byte { return e.block()[headSize+int(e.keyLen):] }

// Mark is what the answer holds by.
func (e *Entry) Mark() Mark { return e.mark }

// Source is the mark's.
func (e *Entry) Source() uint8 { return e.mark.Source }

func (e *Entry) is(hash uint64, key []byte) bool {
	return e.hash == hash && int(e.keyLen) == len(key) && bytes.Equal(e.key(), key)
}
