package limit

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"time"
)

// Lengths of cookies (RFC 9018, section 4).
const (
	ClientLen = 8
	ServerLen = 16
	CookieLen = ClientLen + ServerLen
)

const (
	version = 1
	// RFC 9018, section 4.3: how old a cookie may be, how far in the future of a
	// clock that is wrong, and when it is renewed.
	maxAge   = uint32(time.Hour / time.Second)
	maxAhead = uint32(5 * time.Minute / time.Second)
	renewAge = uint32(30 * time.Minute / time.Second)
)

// Cookies makes and checks the cookies of one server.
type Cookies struct{ k0, k1 uint64 }

// NewCookies returns the Cookies of a secret.
func NewCookies(secret [16]byte) *Cookies {
	return &Cookies{binary.LittleEndian.Uint64(secret[:]), binary.LittleEndian.Uint64(secret[8:])}
}

// Valid reports whether a whole cookie was made here, for this address, of late.
// One of another length is of another server.
func (c *Cookies) Valid(cookie []byte, from netip.Addr, now time.Time) bool {
	return len(cookie) == CookieLen && cookie[ClientLen] == version && c.age(cookie, now) <= maxAge+maxAhead &&
		c.hash(cookie, from) == binary.LittleEndian.Uint64(cookie[ClientLen+8:])
}

// age is how old a cookie is, with maxAhead for one that was made now. Times are
// those of serial numbers: they wrap around.
func (c *Cookies) age(cookie []byte, now time.Time) uint32 {
	return uint32(now.Unix()) + maxAhead - binary.BigEndian.Uint32(cookie[ClientLen+4:])
}

// Answer writes the cookie for a reply into out, for the client's part of the
// cookie that came: the same again while it is young, else a new one.
func (c *Cookies) Answer(out *[CookieLen]byte, came []byte, valid bool, from netip.Addr, now time.Time) {
	if valid && c.age(came, now) < renewAge+maxAhead {
		copy(out[:], came)
		return
	}
	copy(out[:], came[:ClientLen])
	binary.BigEndian.PutUint32(out[ClientLen:], version<<24)
	binary.BigEndian.PutUint32(out[ClientLen+4:], uint32(now.Unix()))
	binary.LittleEndian.PutUint64(out[ClientLen+8:], c.hash(out[:], from))
}

// hash is SipHash-2-4 of all of a cookie but its hash, and of the address.
func (c *Cookies) hash(cookie []byte, from netip.Addr) uint64 {
	var in [ClientLen + 8 + 16]byte
	n := copy(in[:], cookie[:ClientLen+8])
	if from = from.Unmap(); from.Is4() {
		a := from.As4()
		n += copy(in[n:], a[:])
	} else {
		a := from.As16()
		n += copy(in[n:], a[:])
	}
	return sipHash(c.k0, c.k1, in[:n])
}

// sipHash is SipHash-2-4 (Aumasson and Bernstein, 2012).
func sipHash(k0, k1 uint64, in []byte) uint64 {
	s := sip{k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573}
	last := uint64(len(in)) << 56
	for ; len(in) >= 8; in = in[8:] {
		s.take(binary.LittleEndian.Uint64(in))
	}
	for i, b := range in {
		last |= uint64(b) << (8 * i)
	}
	s.take(last)
	s.v2 ^= 0xff
	for range 4 {
		s.round()
	}
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3
}

type sip struct{ v0, v1, v2, v3 uint64 }

func (s *sip) take(m uint64) {
	s.v3 ^= m
	s.round()
	s.round()
	s.v0 ^= m
}

func (s *sip) round() {
	s.v0 += s.v1
	s.v1 = bits.RotateLeft64(s.v1, 13) ^ s.v0
	s.v0 = bits.RotateLeft64(s.v0, 32)
	s.v2 += s.v3
	s.v3 = bits.RotateLeft64(s.v3, 16) ^ s.v2
	s.v0 += s.v3
	s.v3 = bits.RotateLeft64(s.v3, 21) ^ s.v0
	s.v2 += s.v1
	s.v1 = bits.RotateLeft64(s.v1, 17) ^ s.v2
	s.v2 = bits.RotateLeft64(s.v2, 32)
}
