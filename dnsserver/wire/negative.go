package wire

import (
	"bytes"
	"encoding/binary"
	"strings"

	"consul.internal/internal/fault"
)

// Zone is what a Negative knows of a zone.
type Zone struct {
	// Domains are the zone's names, folded, with the dot at the end.
	Domains []string
	// Services and Nodes are what may stand between the name of a service or node
	// and the domain: "service", "service.dc1".
	Services, Nodes []string
	// Words are the labels that never are a plain name.
	Words []string
	// TTL is that of the SOA record; the rest is its content.
	TTL, Refresh, Retry, Expire, Minimum uint32
}

// Negative writes the replies for names of services and nodes that do not exist.
// It is never changed.
type Negative struct {
	suffixes []suffix
	words    [][]byte
	soa      [20]byte // its numbers
	ttl      uint32
}

type suffix struct {
	name   []byte // as in a message
	domain int    // length of the domain, which ends it
	node   bool
}

// Parts of the SOA record's names before the domain.
var (
	master = []byte("\x02ns")
	mail   = []byte("\x0ahostmaster")
)

// NewNegative returns a Negative.
func NewNegative(z Zone) (*Negative, error) {
	n := &Negative{ttl: z.TTL}
	for _, w := range z.Words {
		n.words = append(n.words, []byte(w))
	}
	for i, v := range []uint32{0, z.Refresh, z.Retry, z.Expire, z.Minimum} {
		binary.BigEndian.PutUint32(n.soa[4*i:], v)
	}
	for _, d := range z.Domains {
		domain, err := packName(d)
		if err != nil {
			return nil, err
		}
		add := func(before []string, node bool) error {
			for _, b := range before {
				name, err := packName(b + "." + d)
				if err != nil {
					return err
				}
				n.suffixes = append(n.suffixes, suffix{name, len(domain), node})
			}
			return nil
		}
		if err := add(z.Services, false); err != nil {
			return nil, err
		}
		if err := add(z.Nodes, true); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// packName is a name as in a message. It is one that Parse can read.
func packName(name string) ([]byte, error) {
	var out []byte
	for l := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		if l == "" || len(l) > 63 || len(out)+1+len(l) >= maxName {
			return nil, fault.Newf(fault.Invalid, "%.100q is no name of a zone", name)
		}
		out = append(append(out, byte(len(l))), l...)
	}
	return append(out, 0), nil
}

// Split finds in a question the name of a service or node whose absence would
// mean that the question's name does not exist. It is not ok for names of other
// forms, and where the reply depends on the case of letters.
func (n *Negative) Split(q *Query) (label []byte, node, ok bool) {
	name := q.Name()
	first := 1 + int(name[0])
	label = name[1:first]
	if i := n.find(name[first:]); i >= 0 {
		if label[0] == '_' || n.word(label) {
			return nil, false, false
		}
		return label, n.suffixes[i].node, true
	}
	if name[first] == 0 {
		return nil, false, false
	}
	second := first + 1 + int(name[first])
	i := n.find(name[second:])
	if i < 0 || n.suffixes[i].node {
		return nil, false, false
	}
	tag, label := label, name[first+1:second]
	switch {
	case n.word(tag) || n.word(label):
		return nil, false, false
	case tag[0] == '_' && label[0] == '_': // RFC 2782: _name._tag
		return tag[1:], false, len(tag) > 1
	case tag[0] == '_' || label[0] == '_':
		return nil, false, false
	}
	return label, false, true
}

func (n *Negative) find(rest []byte) int {
	for i := range n.suffixes {
		if bytes.Equal(n.suffixes[i].name, rest) {
			return i
		}
	}
	return -1
}

func (n *Negative) word(label []byte) bool {
	for _, w := range n.words {
		if bytes.Equal(w, label) {
			return true
		}
	}
	return false
}

// Write turns a question that Split has understood into the reply that there is
// no such name.
func (n *Negative) Write(msg []byte, q *Query, r *Reply) (length int, ok bool) {
	return n.WriteSOA(msg, q, r, rcodeNameError)
}

// WriteSOA turns a question for a name right below a service's or node's suffix
// into a reply with the SOA record alone.
func (n *Negative) WriteSOA(msg []byte, q *Query, r *Reply, rcode int) (length int, ok bool) {
	name := q.Name()
	domain := 0
	for at, tries := 0, 0; domain == 0; tries++ {
		if tries > 2 || name[at] == 0 {
			return 0, false
		}
		if i := n.find(name[at:]); i >= 0 {
			domain = n.suffixes[i].domain
			break
		}
		at += 1 + int(name[at])
	}
	// The record has the domain in lower case. Where the question has not, its name
	// stands there in full.
	asked := msg[headerLen+len(name)-domain:]
	own := []byte(nil)
	if !q.Lower && !bytes.Equal(asked[:domain], name[len(name)-domain:]) {
		if own = name[len(name)-domain:]; int(own[0])+2 < domain {
			return 0, false // a part of it may be spelled alike
		}
	}
	const rest = 2 + 2 + 4 + 2 + len(Negative{}.soa) // type, class, TTL, length, numbers
	first := len(owner)
	if own != nil {
		first = len(own)
	}
	size := q.End + first + len(master) + len(owner) + len(mail) + len(owner) + rest
	plain := q.End + domain + len(master) + domain + len(mail) + domain + rest
	if size > r.Room.Size || r.Room.Plain && plain > r.Room.Size || size+q.Tail() > len(msg) {
		return 0, false
	}
	q.begin(msg, r, FlagAA|uint16(rcode), 0, 1, 0)
	pointer := 0xC000 | uint16(headerLen+len(name)-domain)
	b := msg[q.End:q.End]
	if own != nil {
		b = append(b, own...)
		pointer = 0xC000 | uint16(q.End)
	} else {
		b = binary.BigEndian.AppendUint16(b, pointer)
	}
	b = append(b, 0, typeSOA, 0, classIN)
	b = binary.BigEndian.AppendUint32(b, n.ttl)
	b = binary.BigEndian.AppendUint16(b, uint16(len(master)+len(mail)+2*len(owner)+len(n.soa)))
	b = append(b, master...)
	b = binary.BigEndian.AppendUint16(b, pointer)
	b = append(b, mail...)
	b = binary.BigEndian.AppendUint16(b, pointer)
	b = binary.BigEndian.AppendUint32(b, r.Serial)
	b = append(b, n.soa[4:]...)
	return q.finish(msg, q.End+len(b), r), true
}

const (
	rcodeNameError = 3
	rcodeRefused   = 5
	typeSOA        = 6
)
