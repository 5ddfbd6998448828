package gossip

import (
	"bytes"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"
)

// Status of a member, counted as users of the HTTP API know it.
type Status int

// The states of a member.
const (
	StatusNone Status = iota
	StatusAlive
	StatusLeaving
	StatusLeft
	StatusFailed
)

func (s Status) String() string {
	names := []string{"none", "alive", "leaving", "left", "failed"}
	if s < 0 || int(s) >= len(names) {
		return "unknown"
	}
	return names[s]
}

// Member is one agent of the pool.
type Member struct {
	Name   string
	ID     string // the tag "id"
	Addr   netip.Addr
	Port   uint16
	Tags   map[string]string
	Status Status

	// Versions of the protocols that it understands and speaks.
	ProtocolMin, ProtocolMax, ProtocolCur uint8
	DelegateMin, DelegateMax, DelegateCur uint8
}

// AddrPort is where the member gossips.
func (m Member) AddrPort() netip.AddrPort { return netip.AddrPortFrom(m.Addr, m.Port) }

const (
	tagID = "id"
	// tagStart orders the lives of a node: of two addresses that a node ID is said
	// to have, the one of the later start holds. It is ours and not shown.
	tagStart = "_start"
	// tagMagic is serf's first byte of encoded tags.
	tagMagic = 255
)

// stamp is a start time as a tag. Base 36 keeps it short: tags have 512 bytes.
func stamp(t int64) string { return strconv.FormatInt(t, 36) }

func readStamp(tags map[string]string) int64 {
	t, err := strconv.ParseInt(tags[tagStart], 36, 64)
	if err != nil || t < 0 {
		return 0
	}
	return t
}

// nextStamp is the time, but always after what is known of earlier lives.
func nextStamp(known int64) int64 { return max(time.Now().UnixNano(), known+1) }

// decodeTags reads the tags of a member as serf encodes them; nil if they are not
// tags.
func decodeTags(meta []byte) map[string]string {
	if len(meta) < 2 || len(meta) > memberlist.MetaMaxSize || meta[0] != tagMagic {
		return nil
	}
	var tags map[string]string
	if err := codec.NewDecoder(bytes.NewReader(meta[1:]), &codec.MsgpackHandle{}).Decode(&tags); err != nil {
		return nil
	}
	return tags
}

func toAddr(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

// publicTags are the tags without ours.
func publicTags(tags map[string]string) map[string]string {
	out := maps.Clone(tags)
	delete(out, tagStart)
	return out
}

func fromSerf(m serf.Member) Member {
	return Member{
		Name: m.Name, ID: m.Tags[tagID], Addr: toAddr(m.Addr), Port: m.Port, Tags: publicTags(m.Tags), Status: Status(m.Status),
		ProtocolMin: m.ProtocolMin, ProtocolMax: m.ProtocolMax, ProtocolCur: m.ProtocolCur,
		DelegateMin: m.DelegateMin, DelegateMax: m.DelegateMax, DelegateCur: m.DelegateCur,
	}
}

func fromNode(n *memberlist.Node, tags map[string]string) Member {
	m := Member{
		Name: n.Name, ID: tags[tagID], Addr: toAddr(n.Addr), Port: n.Port, Tags: publicTags(tags),
		ProtocolMin: n.PMin, ProtocolMax: n.PMax, ProtocolCur: n.PCur, DelegateMin: n.DMin, DelegateMax: n.DMax, DelegateCur: n.DCur,
	}
	switch n.State {
	case memberlist.StateLeft:
		m.Status = StatusLeft
	case memberlist.StateDead:
		m.Status = StatusFailed
	default:
		m.Status = StatusAlive
	}
	return m
}

func sortMembers(ms []Member) {
	slices.SortFunc(ms, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
}
