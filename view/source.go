package view

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"strconv"
	"time"

	"consul.internal/catalog"
)

// Kind is what sort of thing a Subject names.
type Kind uint8

// The kinds of subjects.
const (
	KindService Kind = iota + 1
	KindNode
	KindAddress
	KindIndex // which names there are at all
)

func (k Kind) String() string {
	switch k {
	case KindService:
		return "service"
	case KindNode:
		return "node"
	case KindAddress:
		return "address"
	case KindIndex:
		return "index"
	}
	return "kind " + strconv.Itoa(int(k))
}

// Subject is what can be followed in one datacenter.
type Subject struct {
	Kind Kind
	Name string // folded; the textual IP of an address; empty for the index
}

func (s Subject) String() string { return s.Kind.String() + " " + s.Name }

// maxName bounds a subject's name: DNS ends at 255 bytes, HTTP registers longer names.
const maxName = 1024

// valid reports whether a subject that came from elsewhere can be followed.
func (s Subject) valid() bool {
	switch s.Kind {
	case KindService, KindNode:
		return s.Name != "" && len(s.Name) <= maxName && catalog.Fold(s.Name) == s.Name
	case KindAddress:
		a, ok := parseAddr(s.Name)
		return ok && a.String() == s.Name
	case KindIndex:
		return s.Name == ""
	}
	return false
}

// AddressSubject is the subject of an IP address.
func AddressSubject(a netip.Addr) Subject {
	return Subject{KindAddress, a.Unmap().WithZone("").String()}
}

// hash is a subject's place in the name index. It is the same in every process,
// and nobody can make a name that has the hash of another (SHA-256, cut).
func (s Subject) hash() uint64 { return hashOf(s.Kind, s.Name) }

func hashOf[T string | []byte](k Kind, name T) uint64 {
	var b [1 + 255]byte
	b[0] = byte(k)
	var sum [sha256.Size]byte
	if len(name) <= len(b)-1 {
		sum = sha256.Sum256(b[:1+copy(b[1:], name)])
	} else {
		sum = sha256.Sum256(append(b[:1:1], name...))
	}
	return binary.BigEndian.Uint64(sum[:])
}

// Token says up to where a follower knows its subject, so that it can go on
// there with any server of the same cluster. The zero Token knows nothing.
type Token struct {
	Cluster string
	Epoch   uint64 // grows when a user restores an older state
	Index   uint64 // all changes up to it are known
}

// sameLife reports whether the indexes of two tokens can be compared.
func (t Token) sameLife(o Token) bool { return t.Cluster == o.Cluster && t.Epoch == o.Epoch }

// before reports whether t is certainly older than o.
func (t Token) before(o Token) bool {
	return t.Cluster == o.Cluster && (t.Epoch < o.Epoch || t.Epoch == o.Epoch && t.Index < o.Index)
}

// raise makes t at least o. Another cluster begins anew.
func (t *Token) raise(o Token) {
	if t.Cluster != o.Cluster || t.before(o) {
		*t = o
	}
}

// Ask begins or ends following a subject.
type Ask struct {
	Subject Subject
	From    Token  // where to go on; zero for all of it
	Whole   bool   // nothing is known yet: From only says how much the source must know, so that no follower goes back
	Stop    bool   // ends it; nothing else counts then
	Secret  string // the token (ACL) in whose name it is followed
	Seq     uint64 // comes back in the events of this Ask, to tell them from those of an earlier one
}

// Event is what a source says of a subject, or of itself.
//
// What is too much for one event comes in parts: all but the last have no Token,
// and count only once the last is there.
type Event struct {
	Subject   Subject
	Heartbeat bool          // of the whole session: everything asked before and answered since is known up to Token
	Seq       uint64        // of the Ask
	Token     Token         // up to where the subject is known now
	LeaderAge time.Duration // how long ago the source heard of a leader; 0 on the leader
	Reset     bool          // all known of the subject is void, Changes hold it whole
	Changes   []catalog.Change
	Added     []uint64 // index: hashes of the names that came
	Removed   []uint64 // index: hashes of the names that went
	End       string   // the subject ends, and why: one of the End constants
}

// Why a source ends a subject.
const (
	EndDenied      = "denied"      // may not be seen: what was known of it must be forgotten
	EndUnavailable = "unavailable" // this source cannot tell now; another may
	EndLimit       = "limit"       // too many subjects in this session
)

// Session is one conversation with one server about all subjects of a
// datacenter. Send and Recv may be called at the same time, each by one
// goroutine; Close may be called by any and ends both.
type Session interface {
	Send(Ask) error
	Recv() (Event, error)
	Close() error
}

// Source opens sessions, each with one server; the next call should choose
// another server than one that just failed. A session ends with its context.
type Source interface {
	Session(ctx context.Context, datacenter string) (Session, error)
}

// sound reports whether a change that came from elsewhere can be held: readers
// rely on what it points to being there.
func sound(c catalog.Change) bool {
	switch c.Op {
	case catalog.NodeSet, catalog.NodeGone:
		return c.Node != nil
	case catalog.ResolverSet, catalog.ResolverGone:
		return c.Resolver != nil
	case catalog.InstanceSet, catalog.InstanceGone:
		i := c.Instance
		if i == nil || i.Node == nil || i.Service == nil {
			return false
		}
		for _, check := range i.Checks {
			if check == nil {
				return false
			}
		}
		return true
	}
	return false
}
