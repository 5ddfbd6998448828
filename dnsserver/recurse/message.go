package recurse

import (
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"consul.internal/catalog"
)

// Query is a question to forward.
type Query struct {
	Question dns.Question      // as it was asked, spelling included
	RD       bool              // without it nothing is remembered or looked up
	CD       bool              // do not check signatures
	DO       bool              // signatures are wanted
	Subnet   *dns.EDNS0_SUBNET // of the asker, or nil
	TCP      bool              // ask over TCP at once
	Alias    bool              // the first upstream that replies decides, whatever it says
	Waits    func()            // unless nil, called before an upstream is waited for; by several at a time
}

// ednsSize is what upstreams may send over UDP: what passes every path in one
// piece (DNS flag day 2020). Larger answers come over TCP.
const ednsSize = 1232

// Bits of a key.
const (
	keyCD = 1 << iota
	keyDO
	keyAlias
	keyTCP
	keyNoRD
)

// key names what an answer is the answer to. Answers to aliases are apart, since
// another upstream may have given them.
func (q *Query) key() string {
	var b strings.Builder
	name := catalog.Fold(q.Question.Name)
	b.Grow(len(name) + 24)
	b.WriteString(name)
	bits := byte(0)
	for _, f := range []struct {
		on  bool
		bit byte
	}{{q.CD, keyCD}, {q.DO, keyDO}, {q.Alias, keyAlias}} {
		if f.on {
			bits |= f.bit
		}
	}
	b.Write([]byte{0, byte(q.Question.Qtype >> 8), byte(q.Question.Qtype), byte(q.Question.Qclass >> 8), byte(q.Question.Qclass), bits})
	if s := q.Subnet; s != nil {
		b.Write([]byte{byte(s.Family), s.SourceNetmask})
		b.Write(s.Address)
	}
	return b.String()
}

// flightKey tells questions apart that cannot be asked as one.
func (q *Query) flightKey(epoch uint64, key string) string {
	bits := byte(0)
	if q.TCP {
		bits |= keyTCP
	}
	if !q.RD {
		bits |= keyNoRD
	}
	return key + string(binary.BigEndian.AppendUint64([]byte{bits}, epoch))
}

// message is the query to an upstream, with the name as spelled.
func (q *Query) message(id uint16, spelled string, edns bool) *dns.Msg {
	m := &dns.Msg{}
	m.Id = id
	m.RecursionDesired, m.CheckingDisabled = q.RD, q.CD
	m.AuthenticatedData = true // tell us; the asker's own wish decides what it sees (RFC 6840, section 5.7)
	m.Question = []dns.Question{{Name: spelled, Qtype: q.Question.Qtype, Qclass: q.Question.Qclass}}
	if !edns {
		return m
	}
	opt := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
	opt.SetUDPSize(ednsSize)
	if q.DO {
		opt.SetDo()
	}
	if s := q.Subnet; s != nil {
		opt.Option = append(opt.Option, &dns.EDNS0_SUBNET{
			Code: dns.EDNS0SUBNET, Family: s.Family, SourceNetmask: s.SourceNetmask, Address: s.Address,
		})
	}
	m.Extra = []dns.RR{opt}
	return m
}

// canonical spells a name's escapes as names from the wire have them.
func canonical(name string) string {
	if !strings.Contains(name, `\`) {
		return name
	}
	var buf [256]byte
	n, err := dns.PackDomainName(name, buf[:], 0, nil, false)
	if err != nil {
		return name
	}
	out, _, err := dns.UnpackDomainName(buf[:n], 0)
	if err != nil {
		return name
	}
	return out
}

// spell gives a name's letters a random case (draft-vixie-dnsext-dns0x20): whoever
// makes up a reply has to guess it too, and a question of ours that comes back is
// known by it. letters is how many there are.
func spell(name string, coin func() bool) (spelled string, letters int) {
	b := []byte(name)
	upper := 0
	for i := 0; i < len(b); i++ {
		c := b[i]
		if c == '\\' { // what is escaped stays as it is
			i++
			if i < len(b) && '0' <= b[i] && b[i] <= '9' {
				i += 2
			}
			continue
		}
		if lower := c | 0x20; 'a' <= lower && lower <= 'z' {
			letters++
			if b[i] = lower; coin() {
				b[i] = lower &^ 0x20
				upper++
			}
		}
	}
	return string(b), letters
}

// answers reports whether m is a reply to ask. exact is whether the name came
// back as it was spelled.
func answers(m, ask *dns.Msg) (ok, exact bool) {
	if !m.Response || m.Id != ask.Id || m.Opcode != dns.OpcodeQuery {
		return false, false
	}
	if len(m.Question) == 0 {
		// Who cannot read a query says so without the question.
		return m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError, true
	}
	if len(m.Question) != 1 {
		return false, false
	}
	got, want := m.Question[0], ask.Question[0]
	if got.Qtype != want.Qtype || got.Qclass != want.Qclass || !catalog.EqualFold(got.Name, want.Name) {
		return false, false
	}
	return true, got.Name == want.Name
}

// final reports a reply after which no other upstream is asked.
func final(m *dns.Msg) bool {
	return m.Rcode == dns.RcodeSuccess || m.Rcode == dns.RcodeNameError
}

// badEDNS reports a reply of a server too old for the OPT record of the query.
func badEDNS(m *dns.Msg) bool {
	switch m.Rcode {
	case dns.RcodeFormatError, dns.RcodeNotImplemented:
		return m.IsEdns0() == nil
	case dns.RcodeBadVers:
		return true
	}
	return false
}

// maxWireTTL is the largest TTL; larger values count as 0 (RFC 2181, section 8).
const maxWireTTL = 1<<31 - 1

func ttlOf(h *dns.RR_Header) uint32 {
	if h.Ttl > maxWireTTL {
		return 0
	}
	return h.Ttl
}

// lifetime is how long an answer may be given again; 0 is not at all.
func lifetime(m *dns.Msg, l *Limits) time.Duration {
	if m.Truncated || !final(m) || len(m.Question) != 1 {
		return 0
	}
	qtype := m.Question[0].Qtype
	positive := m.Rcode == dns.RcodeSuccess && slices.ContainsFunc(m.Answer, func(rr dns.RR) bool {
		return rr.Header().Rrtype == qtype || qtype == dns.TypeANY
	})
	least := uint32(maxWireTTL)
	if positive {
		each(m, func(rr dns.RR) { least = min(least, ttlOf(rr.Header())) })
		return min(time.Duration(least)*time.Second, l.MaxTTL)
	}
	// A negative answer is kept for as long as the zone's SOA record says, and
	// without one not at all (RFC 2308, section 5).
	found := false
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			found = true
			least = min(least, ttlOf(&soa.Hdr), soa.Minttl)
		}
	}
	if !found {
		return 0
	}
	for _, rr := range m.Answer {
		least = min(least, ttlOf(rr.Header()))
	}
	return min(time.Duration(least)*time.Second, l.MaxNegative)
}

// each calls f for every record but OPT, which is none.
func each(m *dns.Msg, f func(dns.RR)) {
	for _, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range section {
			if rr.Header().Rrtype != dns.TypeOPT {
				f(rr)
			}
		}
	}
}

// strip takes the records off a reply that belong to the hop it came by, and
// returns its OPT record.
func strip(m *dns.Msg) *dns.OPT {
	opt := m.IsEdns0()
	m.Extra = slices.DeleteFunc(m.Extra, func(rr dns.RR) bool {
		t := rr.Header().Rrtype
		return t == dns.TypeOPT || t == dns.TypeTSIG || t == dns.TypeSIG && rr.Header().Name == "."
	})
	return opt
}

// respell puts the asker's spelling in the place of ours, also where other names
// point into the question, and lets TTLs run down by age; fixed replaces them.
func respell(m *dns.Msg, name string, age uint32, fixed *uint32) {
	r := speller{from: labels(m.Question[0].Name), to: labels(name)}
	each(m, func(rr dns.RR) {
		h := rr.Header()
		h.Name = r.name(h.Name)
		switch {
		case fixed != nil:
			h.Ttl = *fixed
		default:
			ttl := ttlOf(h)
			h.Ttl = ttl - min(age, ttl)
		}
		switch rr := rr.(type) {
		case *dns.CNAME:
			rr.Target = r.name(rr.Target)
		case *dns.DNAME:
			rr.Target = r.name(rr.Target)
		case *dns.NS:
			rr.Ns = r.name(rr.Ns)
		case *dns.PTR:
			rr.Ptr = r.name(rr.Ptr)
		case *dns.MX:
			rr.Mx = r.name(rr.Mx)
		case *dns.SRV:
			rr.Target = r.name(rr.Target)
		case *dns.SOA:
			rr.Ns, rr.Mbox = r.name(rr.Ns), r.name(rr.Mbox)
		}
	})
	m.Question[0].Name = name
}

// speller replaces the end of names that is spelled as a question was.
type speller struct{ from, to []string }

func labels(name string) []string { return dns.SplitDomainName(name) }

func (s *speller) name(name string) string {
	if len(s.from) != len(s.to) || len(s.from) == 0 {
		return name
	}
	l := labels(name)
	n := 0
	for n < len(l) && n < len(s.from) && l[len(l)-1-n] == s.from[len(s.from)-1-n] {
		n++
	}
	// The question's own name is the asker's, however an upstream spells it.
	if len(l) == len(s.from) && slices.EqualFunc(l, s.from, catalog.EqualFold) {
		n = len(l)
	}
	if n == 0 {
		return name
	}
	copy(l[len(l)-n:], s.to[len(s.to)-n:])
	return strings.Join(l, ".") + "."
}
