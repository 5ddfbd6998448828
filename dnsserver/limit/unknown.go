package limit

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
)

// Unknown counts by the second how many different names that do not exist a network
// asks for. A name that is asked for again in its second is not counted again, so
// that one program with a wrong name is not taken for somebody who guesses names.
type Unknown struct {
	seed   maphash.Seed
	places [networks]sketch
}

// sketch has, in head, what a place of Rates has; the count is that of bits that are
// set. A name sets one bit.
type sketch struct {
	head atomic.Uint64
	bits [sketchBits / 64]atomic.Uint64
}

const (
	// networks that are told apart in a second; 270 KB. Of two in one place the first
	// is counted.
	networks = 512
	// sketchBits are enough that of maxMarks names one in nine meets a bit that is set
	// already: so much more than the limit may pass.
	sketchBits = 4096
	maxMarks   = sketchBits / 4
)

// NewUnknown returns an Unknown that has counted nothing.
func NewUnknown() *Unknown { return &Unknown{seed: maphash.MakeSeed()} }

// Take counts a name, in lower case, that a network has asked for in vain. It reports
// false where that network has asked for about limit others in this second.
func (u *Unknown) Take(network netip.Addr, name []byte, limit int, now time.Time) bool {
	a := network.As16()
	key := maphash.Bytes(u.seed, a[:])
	s := &u.places[key%networks]
	mine := key>>(countBits+secondBits)<<secondBits | uint64(now.Unix())&secondMask
	was := s.head.Load()
	if was>>countBits != mine {
		if was>>countBits&secondMask == mine&secondMask {
			return true // somebody else's in this second
		}
		if !s.head.CompareAndSwap(was, mine<<countBits) {
			return true // others begin the second just now
		}
		for i := range s.bits {
			s.bits[i].Store(0)
		}
		was = mine << countBits
	}
	// Of large numbers, one name in 2^skip stands for all.
	skip := 0
	for limit>>skip > maxMarks {
		skip++
	}
	if was&countMask >= uint64(max(limit>>skip, 1)) {
		return false
	}
	h := maphash.Bytes(u.seed, name)
	if h&(1<<skip-1) != 0 {
		return true
	}
	bit := h >> 32 % sketchBits
	if mark := uint64(1) << (bit % 64); s.bits[bit/64].Or(mark)&mark == 0 {
		s.head.Add(1)
	}
	return true
}
