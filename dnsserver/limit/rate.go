package limit

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
)

// Verdict is what becomes of a reply.
type Verdict uint8

// Pass sends it. Slip sends a truncated one in its place, so that an asker that is
// real comes back over TCP. Drop sends nothing.
const (
	Pass Verdict = iota
	Slip
	Drop
)

// slip is that of the replies above a rate every second one is truncated and not
// dropped: a reply of the size of its question helps no attacker.
const slip = 2

// Rates count by the second what goes to whom. Two keys may share a place; then
// only the first in a second is counted.
type Rates struct {
	seed  maphash.Seed
	slots [places]atomic.Uint64
}

const (
	// places are more than the networks that a server hears of in a second; 128 KB.
	places = 1 << 14

	// A place has, from the top: the tag of its key, the second, and how many there
	// were in it.
	countBits  = 24
	secondBits = 16
	countMask  = 1<<countBits - 1
	secondMask = 1<<secondBits - 1
)

// NewRates returns Rates that have counted nothing.
func NewRates() *Rates { return &Rates{seed: maphash.MakeSeed()} }

// Key is whom and what is counted: nobody can choose it so that it meets another's.
func (r *Rates) Key(network netip.Addr, what []byte) uint64 {
	var b [24]byte
	a := network.As16()
	copy(b[:], a[:])
	binary.LittleEndian.PutUint64(b[16:], maphash.Bytes(r.seed, what))
	return maphash.Bytes(r.seed, b[:])
}

// Take counts one of a key and says what becomes of it where limit a second pass.
func (r *Rates) Take(key uint64, limit int, now time.Time) Verdict {
	slot, mine := r.place(key, now)
	for {
		was := slot.Load()
		n := was & countMask
		switch {
		case was>>countBits == mine:
		case was>>countBits&secondMask == mine&secondMask:
			return Pass // somebody else's in this second
		default:
			n = 0
		}
		if n < countMask && !slot.CompareAndSwap(was, mine<<countBits|(n+1)) {
			continue
		}
		switch over := int(n) - limit; {
		case over < 0:
			return Pass
		case over%slip == 0:
			return Slip
		default:
			return Drop
		}
	}
}

// Spent reports whether Take would not let one of a key pass, and counts nothing.
func (r *Rates) Spent(key uint64, limit int, now time.Time) bool {
	slot, mine := r.place(key, now)
	was := slot.Load()
	return was>>countBits == mine && int(was&countMask) >= limit
}

// place is where a key is counted, and what is there above the count now.
func (r *Rates) place(key uint64, now time.Time) (*atomic.Uint64, uint64) {
	tag := key >> (countBits + secondBits)
	return &r.slots[key%places], tag<<secondBits | uint64(now.Unix())&secondMask
}

// Network is the part of an address that stands for one asker in rates: who has one
// address of it usually has, or can forge, all (RFC 6177 for IPv6).
func Network(a netip.Addr) netip.Addr {
	n := 24
	if !a.IsValid() {
		return netip.IPv6Unspecified()
	}
	if a = a.Unmap(); a.Is6() {
		n = 56
	}
	p, _ := a.WithZone("").Prefix(n) // n is one that it can have
	return p.Addr()
}
