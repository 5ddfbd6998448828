package wire

import (
	"encoding/binary"
	"strings"
)

// Bits and sizes of messages (RFC 1035, section 4.1.1).
const (
	headerLen = 12
	typeLen   = 2
	fixedLen  = 2 * typeLen // type and class of a question

	FlagQR = 1 << 15
	FlagAA = 1 << 10
	FlagTC = 1 << 9
	FlagRD = 1 << 8
	FlagRA = 1 << 7
	flagAD = 1 << 5
	flagCD = 1 << 4

	maxName = 255 // RFC 1035, section 3.1

	classIN = 1
	typeOPT = 41
	// optLen is an OPT record without options (RFC 6891, section 6.1.2).
	optLen = 11

	// cookieLen is a whole DNS cookie (RFC 9018), clientLen the client's part of it.
	cookieLen    = 24
	clientLen    = 8
	optionCookie = 10
	optionHead   = 4

	// plainSize is what an asker takes at least.
	plainSize = 512
)

// Query is a question that Parse has read. It is reused from one to the next.
type Query struct {
	// Key is what the answer depends on: the name in lower case, as in the message,
	// and the type. Its length is KeyLen.
	Key    [maxName + typeLen]byte
	KeyLen int
	End    int    // of the question in its message
	Type   uint16 // of the records asked for
	Flags  uint16 // that come back: RD and CD
	EDNS   bool   // it had an OPT record
	Size   int    // what that says the asker takes, 512 at least
	// Cookie is the DNS cookie that it had, CookieLen bytes: none, the client's part
	// or both.
	Cookie    [cookieLen]byte
	CookieLen int
	Lower     bool // the name was in lower case as it came
}

// Name is the name in lower case, as in a message.
func (q *Query) Name() []byte { return q.Key[:q.KeyLen-typeLen] }

// lower folds the bytes that names of the fast path are made of: letters, digits,
// hyphen and underscore. All others are 0.
var lower = func() (t [256]byte) {
	for c := byte('a'); c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = c, c
	}
	for c := byte('0'); c <= '9'; c++ {
		t[c] = c
	}
	t['-'], t['_'] = '-', '_'
	return t
}()

// Parse reads a question of the usual form: one name of class IN in plain
// letters, nothing beside it but an OPT record without options. It reports false
// for everything else, which may be as right or wrong as it likes.
func Parse(msg []byte, q *Query) bool {
	// The shortest has a name of one letter.
	if len(msg) < headerLen+3+fixedLen {
		return false
	}
	flags := binary.BigEndian.Uint16(msg[2:])
	counts := binary.BigEndian.Uint64(msg[4:])
	const oneQuestion = 1 << 48
	if flags&^(FlagRD|flagAD|flagCD) != 0 || counts != oneQuestion && counts != oneQuestion+1 {
		return false
	}
	q.Flags = flags & (FlagRD | flagCD)
	rest, ok := q.readName(msg[headerLen:])
	if !ok || len(rest) < fixedLen || binary.BigEndian.Uint16(rest[typeLen:]) != classIN {
		return false
	}
	q.Type = binary.BigEndian.Uint16(rest)
	copy(q.Key[q.KeyLen:], rest[:typeLen])
	q.KeyLen += typeLen
	rest = rest[fixedLen:]
	q.End = len(msg) - len(rest)
	q.EDNS, q.Size, q.CookieLen = counts != oneQuestion, 0, 0
	if !q.EDNS {
		return len(rest) == 0
	}
	// Root, type, size, extended rcode and version 0, flags, length of the options.
	if len(rest) < optLen || rest[0] != 0 || binary.BigEndian.Uint16(rest[1:]) != typeOPT ||
		rest[5] != 0 || rest[6] != 0 || int(binary.BigEndian.Uint16(rest[9:])) != len(rest)-optLen {
		return false
	}
	if len(rest) > optLen && !q.readCookie(rest[optLen:]) {
		return false
	}
	q.Size = max(int(binary.BigEndian.Uint16(rest[3:])), plainSize)
	return true
}

// readCookie reads a DNS cookie that is the only option, in one of the usual lengths.
func (q *Query) readCookie(b []byte) bool {
	n := len(b) - optionHead
	if n != clientLen && n != cookieLen || binary.BigEndian.Uint16(b) != optionCookie || int(binary.BigEndian.Uint16(b[2:])) != n {
		return false
	}
	q.CookieLen = copy(q.Cookie[:], b[optionHead:])
	return true
}

// readName copies the name in lower case and returns what follows it.
func (q *Query) readName(b []byte) (rest []byte, ok bool) {
	at := 0
	q.Lower = true
	for {
		if at >= len(b) {
			return nil, false
		}
		n := int(b[at])
		if n == 0 {
			break
		}
		// A longer label is none (or a pointer, which no question needs).
		if n > 63 || at+1+n >= len(b) || at+1+n >= maxName {
			return nil, false
		}
		q.Key[at] = byte(n)
		for i := at + 1; i <= at+n; i++ {
			c := lower[b[i]]
			if c == 0 {
				return nil, false
			}
			if c != b[i] {
				q.Lower = false
			}
			q.Key[i] = c
		}
		at += 1 + n
	}
	if at == 0 {
		return nil, false // the root is none of ours
	}
	q.Key[at] = 0
	q.KeyLen = at + 1
	return b[at+1:], true
}

// Room is what a reply may take up.
type Room struct {
	Size    int  // bytes, without an OPT record
	Answers int  // records in the answer section
	Plain   bool // count names in full, as if nothing were compressed
}

// Reply is what a reply says beside its records.
type Reply struct {
	RA     bool            // recursion is offered to the asker
	TC     bool            // say so when records were left out
	Serial uint32          // of SOA records
	Cookie [cookieLen]byte // for who came with one
	Room   Room
	Order  Order
}

// begin turns a question at the start of msg into the head of its reply.
func (q *Query) begin(msg []byte, r *Reply, flags uint16, an, ns, ar int) {
	flags |= FlagQR | q.Flags
	if r.RA {
		flags |= FlagRA
	}
	if q.EDNS {
		ar++
	}
	binary.BigEndian.PutUint16(msg[2:], flags)
	binary.BigEndian.PutUint16(msg[6:], uint16(an))
	binary.BigEndian.PutUint16(msg[8:], uint16(ns))
	binary.BigEndian.PutUint16(msg[10:], uint16(ar))
}

// finish adds the OPT record that answers the asker's, and returns the length.
func (q *Query) finish(msg []byte, at int, r *Reply) int {
	if !q.EDNS {
		return at
	}
	opt := [optLen + optionHead]byte{1: 0, 2: typeOPT, 3: byte(q.Size >> 8), 4: byte(q.Size)}
	if q.CookieLen == 0 {
		return at + copy(msg[at:], opt[:optLen])
	}
	opt[optLen-1], opt[optLen+1], opt[optLen+3] = optionHead+cookieLen, optionCookie, cookieLen
	at += copy(msg[at:], opt[:])
	return at + copy(msg[at:], r.Cookie[:])
}

// Truncate turns the question at the start of msg into the reply that says no more
// than that there is one, and returns its length, or 0 where it has no room.
func (q *Query) Truncate(msg []byte, r *Reply, rcode int) int {
	return q.short(msg, r, q.own(rcode)|FlagTC|uint16(rcode))
}

// Refuse turns the question at the start of msg into a refusal, as Truncate does.
func (q *Query) Refuse(msg []byte, r *Reply) int { return q.short(msg, r, rcodeRefused) }

// own is the flag of what is said of the zone itself.
func (q *Query) own(rcode int) uint16 {
	if rcode == rcodeRefused {
		return 0
	}
	return FlagAA
}

func (q *Query) short(msg []byte, r *Reply, flags uint16) int {
	if q.End+q.Tail() > len(msg) {
		return 0
	}
	q.begin(msg, r, flags, 0, 0, 0)
	return q.finish(msg, q.End, r)
}

// Tail is how much the reply's OPT record takes.
func (q *Query) Tail() int {
	switch {
	case !q.EDNS:
		return 0
	case q.CookieLen == 0:
		return optLen
	}
	return optLen + optionHead + cookieLen
}

// Text is the question's name as people write it.
func (q *Query) Text() string {
	var b strings.Builder
	for name := q.Name(); len(name) > 1; {
		n := 1 + int(name[0])
		b.Write(name[1:n])
		b.WriteByte('.')
		name = name[n:]
	}
	return b.String()
}
