package zone

import (
	"sort"

	"github.com/miekg/dns"

	"consul.internal/catalog"
)

// Room is what a reply may take up.
type Room struct {
	Size    int  // bytes, the OPT record left out
	Answers int  // records in the answer section
	Plain   bool // count names in full, as if nothing were compressed
}

// Sizes and counts of replies.
const (
	// PlainSize is a UDP message without EDNS (RFC 1035, section 4.2.1).
	PlainSize = 512
	// maxUDP is what an IPv4 datagram carries (65,507 bytes), less some room for
	// the options of tunnels.
	maxUDP = 65467
	// maxTCP is what the length field of TCP allows, less an OPT record.
	maxTCP = 65535 - 12
	// maxPlainAnswers caps udp_answer_limit: more never fit 512 bytes in the past,
	// and old stub resolvers count on few.
	maxPlainAnswers = 8
	// maxAnswers and maxSRV bound the work on one message; more records than that
	// do not fit 64 KiB (16 bytes for an A, 40 and more for an SRV record).
	maxAnswers = 4096
	maxSRV     = 1024
)

// RoomUDP is the room in a datagram for an asker that takes size bytes by its
// EDNS record, 0 being none. Limit is the answer limit for small messages, 0
// being none.
func RoomUDP(size, limit int) Room {
	r := Room{Size: min(max(size, PlainSize), maxUDP), Answers: maxAnswers, Plain: size == 0}
	if r.Size == PlainSize {
		r.Answers = maxPlainAnswers
		if limit > 0 {
			r.Answers = min(limit, maxPlainAnswers)
		}
	}
	return r
}

// RoomTCP is the room in a message over TCP.
func RoomTCP(qtype uint16) Room {
	if qtype == dns.TypeSRV {
		return Room{Size: maxTCP, Answers: maxSRV}
	}
	return Room{Size: maxTCP, Answers: maxAnswers}
}

// Fit leaves out of m what has no room, whole records only: first the authority
// section and text in the additional section, then answers with the addresses
// that belong to them. It reports whether answers were left out, and whether
// none is left for want of room, in which case the reply must not pass for a
// complete one.
func Fit(m *dns.Msg, room Room) (cut, empty bool) {
	if room.Plain {
		defer func(c bool) { m.Compress = c }(m.Compress)
		m.Compress = false
	}
	all, extra := m.Answer, m.Extra
	if len(all) > room.Answers {
		cut = true
		all = all[:room.Answers]
		m.Answer, m.Extra = all, addressesOf(all, extra)
	}
	if m.Len() <= room.Size {
		return cut, false
	}
	if len(all) > 0 {
		m.Ns = nil
	}
	if dropText(m, room.Size) {
		return cut, false
	}
	extra = m.Extra
	// The first number of answers that is too many.
	n := sort.Search(len(all), func(k int) bool {
		m.Answer, m.Extra = all[:k+1], addressesOf(all[:k+1], extra)
		return m.Len() > room.Size
	})
	if n > 0 {
		m.Answer, m.Extra = all[:n], addressesOf(all[:n], extra)
		return true, false
	}
	// Not even one with all its addresses: as many of them as there is room for.
	m.Answer = all[:min(1, len(all))]
	extra = addressesOf(m.Answer, extra)
	k := sort.Search(len(extra), func(k int) bool {
		m.Extra = extra[:k+1]
		return m.Len() > room.Size
	})
	if m.Extra = extra[:k]; m.Len() <= room.Size {
		return cut || len(all) > 1, false
	}
	m.Answer, m.Extra = nil, nil
	return true, true
}

// dropText takes text records off the end of the additional section until the
// message fits, and reports whether it does.
func dropText(m *dns.Msg, size int) bool {
	all, texts := m.Extra, 0
	for _, rr := range all {
		if rr.Header().Rrtype == dns.TypeTXT {
			texts++
		}
	}
	// The fewest that must go, all of them if that is not enough.
	drop := sort.Search(texts, func(drop int) bool {
		m.Extra = withTexts(all, texts-drop)
		return m.Len() <= size
	})
	m.Extra = withTexts(all, texts-drop)
	return m.Len() <= size
}

// withTexts returns the records with the first keep texts among them.
func withTexts(all []dns.RR, keep int) []dns.RR {
	out := make([]dns.RR, 0, len(all))
	for _, rr := range all {
		if rr.Header().Rrtype == dns.TypeTXT {
			if keep == 0 {
				continue
			}
			keep--
		}
		out = append(out, rr)
	}
	return out
}

// addressesOf returns the records of extra that the answers lead to: those of
// the targets, and of the names that the targets are aliases of. Text goes.
func addressesOf(answers, extra []dns.RR) []dns.RR {
	if len(extra) == 0 {
		return nil
	}
	wanted := make(map[string]bool, len(answers))
	for _, rr := range answers {
		switch rr := rr.(type) {
		case *dns.SRV:
			wanted[catalog.Fold(rr.Target)] = true
		case *dns.NS:
			wanted[catalog.Fold(rr.Ns)] = true
		case *dns.PTR:
			wanted[catalog.Fold(rr.Ptr)] = true
		case *dns.SVCB:
			wanted[catalog.Fold(rr.Target)] = true
		case *dns.HTTPS:
			wanted[catalog.Fold(rr.Target)] = true
		default:
			wanted[catalog.Fold(rr.Header().Name)] = true
		}
	}
	var out []dns.RR
	for _, rr := range extra {
		if rr.Header().Rrtype == dns.TypeTXT || !wanted[catalog.Fold(rr.Header().Name)] {
			continue
		}
		switch rr := rr.(type) {
		case *dns.CNAME:
			wanted[catalog.Fold(rr.Target)] = true
		case *dns.SRV:
			wanted[catalog.Fold(rr.Target)] = true
		}
		out = append(out, rr)
	}
	return out
}
