package wire

import (
	"encoding/binary"

	"consul.internal/internal/fault"
)

// Answer is what a reply says after its question, packed. It is never changed.
//
// It begins with a head, whose fields have the order of the constants below and
// two bytes each; what follows depends on the shape.
type Answer []byte

// The fields of the head.
const (
	atShape  = 2 * iota
	atLower  // 1: holds only for names in lower case
	atFlags  // of the reply: AA and the rcode
	atCount  // records in the answer section
	atNs     // static: records in the authority section
	atExtra  // static: records in the additional section; targets: groups
	atWidth  // addresses: bytes of one record
	atMost   // addresses: most in a reply, 0 being all
	atSerial // static: where in the body the SOA serial is, or noSerial
	atPlain  // static: length of the reply when names are in full; targets: of all records, owners of SRV records left out
	atSize   // static: length of the reply; targets: of all records
	atBody
)

const (
	shapeStatic = iota
	shapeAddresses
	shapeTargets

	noSerial = 1<<16 - 1
	// maxPointer is the furthest that a name can point back to (RFC 1035, section 4.1.4).
	maxPointer = 1<<14 - 1
	// maxField is the most that a field holds.
	maxField = 1<<16 - 1
)

// owner is a pointer to the question's name.
var owner = [2]byte{0xC0, headerLen}

func (a Answer) field(at int) int { return int(binary.LittleEndian.Uint16(a[at:])) }

// Static is a reply whose records have one order.
type Static struct {
	Flags              uint16 // AA and the rcode
	Lower              bool   // holds only for names in lower case
	Answers, Ns, Extra int    // records in each section
	Body               []byte // what follows the question
	Plain, Size        int    // length of the whole reply, names in full and as it is, without OPT
	Serial             int    // where in the body the serial of an SOA record is, or below 0
}

// Addresses is a reply of records that differ in nothing but an address.
type Addresses struct {
	Flags uint16
	Most  int // most in a reply, 0 being all
	// Records in the order of the catalog, each with a pointer to the question's name.
	Records [][]byte
}

// Targets is a reply of SRV records with what is known of their targets.
type Targets struct {
	Flags   uint16
	Lower   bool
	Records []Target
	Groups  []Group
}

// Target is an SRV record. Several may share a target.
type Target struct {
	Record []byte // with a pointer to the question's name; the target ends it, in full
	Group  int    // what is known of the target
}

// Group is what the additional section has of one name: records without their owner.
type Group struct {
	Addresses, Texts [][]byte
}

var errShape = fault.Newf(fault.Invalid, "the answer has not the shape of one that can be packed")

func head(shape, flags int, lowerOnly bool) Answer {
	a := make(Answer, atBody)
	a.set(atShape, shape)
	a.set(atFlags, flags)
	if lowerOnly {
		a.set(atLower, 1)
	}
	a.set(atSerial, noSerial)
	return a
}

func (a Answer) set(at, v int) { binary.LittleEndian.PutUint16(a[at:], uint16(v)) }

// Pack packs the reply.
func (s *Static) Pack() (Answer, error) {
	if max(s.Plain, s.Size, len(s.Body)) > maxField || s.Serial >= 0 && s.Serial+4 > len(s.Body) {
		return nil, errShape
	}
	a := head(shapeStatic, int(s.Flags), s.Lower)
	a.set(atCount, s.Answers)
	a.set(atNs, s.Ns)
	a.set(atExtra, s.Extra)
	a.set(atPlain, s.Plain)
	a.set(atSize, s.Size)
	if s.Serial >= 0 {
		a.set(atSerial, s.Serial)
	}
	return append(a, s.Body...), nil
}

// Pack packs the reply.
func (s *Addresses) Pack() (Answer, error) {
	if len(s.Records) == 0 || len(s.Records) > MaxRecords {
		return nil, errShape
	}
	width := len(s.Records[0])
	a := head(shapeAddresses, int(s.Flags), false)
	a.set(atCount, len(s.Records))
	a.set(atWidth, width)
	a.set(atMost, min(s.Most, MaxRecords))
	for _, r := range s.Records {
		if len(r) != width || width <= len(owner) || [2]byte(r) != owner {
			return nil, errShape
		}
		a = append(a, r...)
	}
	return a, nil
}

// The tables of a Targets: for each record where it is, its length and its group;
// for each group where it is and how many records it has.
const (
	recordEntry = 8
	groupEntry  = 8
	// targetAt is where in an SRV record its target begins: after the owner, type,
	// class, TTL, length, priority, weight and port.
	targetAt = 2 + 10 + 6
)

// Pack packs the reply.
func (s *Targets) Pack() (Answer, error) {
	if len(s.Records) == 0 || len(s.Records) > MaxRecords || len(s.Groups) > MaxRecords {
		return nil, errShape
	}
	a := head(shapeTargets, int(s.Flags), s.Lower)
	a.set(atCount, len(s.Records))
	a.set(atExtra, len(s.Groups))
	records := len(a)
	groups := records + recordEntry*len(s.Records)
	a = append(a, make([]byte, recordEntry*len(s.Records)+groupEntry*len(s.Groups))...)
	for i, r := range s.Records {
		if len(r.Record) <= targetAt || len(r.Record) > maxField || [2]byte(r.Record) != owner || r.Group < 0 || r.Group >= len(s.Groups) {
			return nil, errShape
		}
		e := a[records+recordEntry*i:]
		binary.LittleEndian.PutUint32(e, uint32(len(a)))
		binary.LittleEndian.PutUint16(e[4:], uint16(len(r.Record)))
		binary.LittleEndian.PutUint16(e[6:], uint16(r.Group))
		a = append(a, r.Record...)
	}
	a.set(atSize, min(s.size(len(owner), false), maxField))
	a.set(atPlain, min(s.size(0, true), maxField))
	for i, g := range s.Groups {
		e := a[groups+groupEntry*i:]
		binary.LittleEndian.PutUint32(e, uint32(len(a)))
		binary.LittleEndian.PutUint16(e[4:], uint16(len(g.Addresses)))
		binary.LittleEndian.PutUint16(e[6:], uint16(len(g.Texts)))
		for _, list := range [][][]byte{g.Addresses, g.Texts} {
			if len(list) > maxField {
				return nil, errShape
			}
			for _, r := range list {
				if len(r) > maxField {
					return nil, errShape
				}
				a = binary.LittleEndian.AppendUint16(a, uint16(len(r)))
				a = append(a, r...)
			}
		}
	}
	return a, nil
}

// size is that of all records, with owners of a length for the SRV records.
func (s *Targets) size(name int, plain bool) int {
	total := 0
	targets := make([]int, len(s.Groups))
	for _, r := range s.Records {
		total += len(r.Record) - len(owner) + name
		if targets[r.Group] = len(owner); plain {
			targets[r.Group] = len(r.Record) - targetAt
		}
	}
	for i, g := range s.Groups {
		for _, list := range [][][]byte{g.Addresses, g.Texts} {
			for _, r := range list {
				total += targets[i] + len(r)
			}
		}
	}
	return total
}

// Rcode is the reply's.
func (a Answer) Rcode() int { return a.field(atFlags) & 0xF }

// Bare reports whether the reply is nothing but an SOA record beside the question.
func (a Answer) Bare() bool {
	return a.field(atShape) == shapeStatic && a.field(atSerial) != noSerial && a.field(atCount) == 0 && a.field(atNs) == 1 && a.field(atExtra) == 0
}

// Write turns the question at the start of msg into its reply, and returns the
// reply's length; cut says that records were left out for size. Ok is false, and
// msg as it was, where the reply needs more thought than the packed bytes allow.
func (a Answer) Write(msg []byte, q *Query, r *Reply) (n int, cut, ok bool) {
	if a.field(atLower) != 0 && !q.Lower {
		return 0, false, false
	}
	switch a.field(atShape) {
	case shapeStatic:
		return a.writeStatic(msg, q, r)
	case shapeAddresses:
		return a.writeAddresses(msg, q, r)
	default:
		return a.writeTargets(msg, q, r)
	}
}

func (a Answer) writeStatic(msg []byte, q *Query, r *Reply) (n int, cut, ok bool) {
	size := a.field(atSize)
	if r.Room.Plain {
		size = a.field(atPlain)
	}
	body := a[atBody:]
	if size > r.Room.Size || a.field(atCount) > r.Room.Answers || q.End+len(body)+q.Tail() > len(msg) {
		return 0, false, false
	}
	q.begin(msg, r, uint16(a.field(atFlags)), a.field(atCount), a.field(atNs), a.field(atExtra))
	n = q.End + copy(msg[q.End:], body)
	if at := a.field(atSerial); at != noSerial {
		binary.BigEndian.PutUint32(msg[q.End+at:], r.Serial)
	}
	return q.finish(msg, n, r), false, true
}

func (a Answer) writeAddresses(msg []byte, q *Query, r *Reply) (n int, cut, ok bool) {
	count, width := a.field(atCount), a.field(atWidth)
	k := count
	if most := a.field(atMost); most > 0 {
		k = min(k, most)
	}
	if k > r.Room.Answers {
		k, cut = r.Room.Answers, true
	}
	each := width
	if r.Room.Plain {
		each += len(q.Name()) - len(owner)
	}
	if fit := (r.Room.Size - q.End) / each; k > fit {
		k, cut = fit, true
	}
	if k <= 0 || q.End+k*width+q.Tail() > len(msg) {
		return 0, false, false
	}
	flags := uint16(a.field(atFlags))
	if cut && r.TC {
		flags |= FlagTC
	}
	q.begin(msg, r, flags, k, 0, 0)
	n = q.End
	records := a[atBody:]
	if count == 1 {
		n += copy(msg[n:], records)
		return q.finish(msg, n, r), cut, true
	}
	for _, i := range r.Order.pick(count, k) {
		n += copy(msg[n:n+width], records[int(i)*width:])
	}
	return q.finish(msg, n, r), cut, true
}
