package zone

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"consul.internal/catalog"
)

// Kind says what a name asks about.
type Kind uint8

// The kinds of names.
const (
	Outside  Kind = iota // not in a zone that is served here
	Nothing              // in the zone, but no name has this form
	Apex                 // the domain itself
	Empty                // nothing itself, but names exist below it (RFC 8020)
	Nameserv             // ns.<domain>, which the SOA record names
	Service
	Node
	Addr    // an address spelled in the name
	Query   // a prepared query
	Mesh    // connect, virtual and ingress names
	Browse  // what DNS-SD asks to find service types and domains
	Reverse // an address under in-addr.arpa or ip6.arpa
)

// Name is a question's name, taken apart.
type Name struct {
	Kind       Kind
	Domain     string // the zone's name, spelled as the question does, with the dot
	Zone       string // the same, folded
	Label      string // service, node or query; folded
	Tag        string // of a service; folded
	Datacenter string // folded; empty is the own one
	Addr       netip.Addr
	Owner      string // the name that records get: as asked, but for Addr
	SRVOnly    bool   // the short RFC 2782 form, which has no other types
	Instance   string // of a service, as DNS-SD names it; folded
	Port       uint16 // of a service, as SVCB and HTTPS records are asked for; 0 is any
	Scheme     string // that is spoken there; folded, without its underscore
	Keywords   bool   // nothing but keywords stand before the domain
}

// The labels with a meaning of their own. The rightmost of them in a name
// divides what is asked for from where it is.
const (
	labelService = "service"
	labelNode    = "node"
	labelAddr    = "addr"
	labelQuery   = "query"
	labelDC      = "dc"
	labelNS      = "ns"
	labelTCP     = "_tcp"
)

func keyword(label string) Kind {
	switch label {
	case labelService:
		return Service
	case labelNode:
		return Node
	case labelAddr:
		return Addr
	case labelQuery:
		return Query
	case "connect", "virtual", "ingress":
		return Mesh
	}
	return Nothing
}

// IsKeyword reports whether a folded label has a meaning of its own in names.
func IsKeyword(label string) bool { return keyword(label) != Nothing }

// Parse takes a name apart. It is in presentation format with the dot at the
// end, as dns.Msg has it.
func (z *Zone) Parse(qname string) Name {
	labels := dns.SplitDomainName(qname)
	n := Name{Owner: qname}
	folded := make([]string, len(labels))
	for i, l := range labels {
		folded[i] = catalog.Fold(unescape(l))
	}
	d := z.domainOf(folded)
	if d == nil {
		if len(folded) > 0 && folded[len(folded)-1] == "arpa" {
			n.Kind, n.Zone, n.Domain = Nothing, z.primary.name, z.primary.name
			if a, ok := reverse(folded); ok {
				n.Kind, n.Addr = Reverse, a
			}
		}
		return n
	}
	left := len(labels) - len(d.labels)
	n.Kind, n.Zone = Nothing, d.name
	n.Domain = strings.Join(labels[left:], ".") + "."
	z.parseLeft(&n, folded[:left])
	if n.Kind == Addr {
		n.Owner = catalog.Fold(strings.Join(labels[:left], ".")) + "." + n.Domain
	}
	return n
}

// domainOf returns the longest of the zone's names that ends the labels, or nil.
func (z *Zone) domainOf(folded []string) *domain {
	var best *domain
	for _, d := range []*domain{&z.primary, &z.alt} {
		if len(d.labels) == 0 || len(d.labels) > len(folded) {
			continue
		}
		if slices.Equal(folded[len(folded)-len(d.labels):], d.labels) && (best == nil || len(d.labels) > len(best.labels)) {
			best = d
		}
	}
	return best
}

// parseLeft reads the labels before the domain.
func (z *Zone) parseLeft(n *Name, labels []string) {
	at := len(labels) - 1
	for at >= 0 && keyword(labels[at]) == Nothing {
		at--
	}
	if at < 0 {
		z.parseBare(n, labels)
		return
	}
	kind, what, where := keyword(labels[at]), labels[:at], labels[at+1:]
	n.Keywords = !slices.ContainsFunc(what, func(l string) bool { return keyword(l) == Nothing })
	if kind == Addr && len(what) > 0 {
		// What follows .addr is not looked at: an address is the same everywhere.
		if a, ok := parseHex(what); ok {
			n.Kind, n.Addr = Addr, a
		}
		return
	}
	dc, ok := parseLocality(where)
	if !ok {
		return
	}
	n.Datacenter = dc
	switch {
	case len(what) == 0:
		n.Kind = Empty
	case kind == Query:
		n.parseQuery(what, where)
	case kind == Service:
		n.Kind = Service
		n.setService(what)
	default:
		n.Kind, n.Label = kind, strings.Join(what, ".")
	}
}

// parseBare reads a name without a keyword: the apex, ns, the short RFC 2782
// form, and the datacenter labels that stand in other names.
func (z *Zone) parseBare(n *Name, labels []string) {
	switch {
	case len(labels) == 0:
		n.Kind = Apex
	case len(labels) == 1 && labels[0] == labelNS:
		n.Kind = Nameserv
	case n.parseBrowse(labels):
	case len(labels) >= 2 && rfc2782(labels[:2]):
		if dc, ok := parseLocality(labels[2:]); ok {
			n.Kind, n.Datacenter, n.SRVOnly = Service, dc, true
			n.setService(labels[:2])
		}
	case len(labels) == 1 && (labels[0] == labelDC || labels[0] == labelTCP):
		n.Kind = Empty
	default:
		if dc, ok := parseLocality(labels); ok {
			n.Kind, n.Datacenter = Empty, dc
		}
	}
}

func (n *Name) setService(what []string) {
	last := what[len(what)-1]
	switch {
	case len(what) == 2 && rfc2782(what):
		n.Label, n.Tag = what[0][1:], what[1][1:]
		if n.Tag == "tcp" {
			n.Tag = "" // the protocol that every service speaks
		}
		if n.Label == "" {
			n.Kind = Nothing
		}
	case len(what) == 1 && last == labelTCP:
		n.Kind = Empty
	default:
		n.Label, n.Tag = last, strings.Join(n.parsePort(what[:len(what)-1]), ".")
	}
}

// rfc2782 reports whether two labels have the form _service._proto.
func rfc2782(labels []string) bool {
	return strings.HasPrefix(labels[0], "_") && strings.HasPrefix(labels[1], "_")
}

// parseLocality reads what stands between a keyword and the domain: nothing,
// <dc> or <dc>.dc.
func parseLocality(labels []string) (dc string, ok bool) {
	switch {
	case len(labels) == 0:
		return "", true
	case len(labels) == 1, len(labels) == 2 && labels[1] == labelDC:
		return labels[0], true
	}
	return "", false
}

// parseHex reads the address that the one label before .addr spells: 8 digits
// for IPv4, 32 for IPv6.
func parseHex(what []string) (netip.Addr, bool) {
	if len(what) != 1 {
		return netip.Addr{}, false
	}
	raw, err := hex.DecodeString(what[0])
	if err != nil {
		return netip.Addr{}, false
	}
	return netip.AddrFromSlice(raw) // 4 or 16 bytes, else not ok
}

// reverse reads a whole reverse name; labels are folded.
func reverse(labels []string) (netip.Addr, bool) {
	if len(labels) < 2 {
		return netip.Addr{}, false
	}
	digits := labels[:len(labels)-2]
	switch labels[len(labels)-2] {
	case "in-addr":
		var b [4]byte
		if len(digits) != len(b) {
			return netip.Addr{}, false
		}
		for i, l := range digits {
			v, err := strconv.ParseUint(l, 10, 8)
			if err != nil || len(l) > 1 && l[0] == '0' {
				return netip.Addr{}, false
			}
			b[3-i] = byte(v)
		}
		return netip.AddrFrom4(b), true
	case "ip6":
		if len(digits) != 32 {
			return netip.Addr{}, false
		}
		var b [16]byte
		for i, l := range digits {
			v, err := strconv.ParseUint(l, 16, 4)
			if err != nil || len(l) != 1 {
				return netip.Addr{}, false
			}
			b[15-i/2] |= byte(v) << (4 * (i % 2))
		}
		return netip.AddrFrom16(b), true
	}
	return netip.Addr{}, false
}

// unescape turns a label of the presentation format into its bytes.
func unescape(label string) string {
	if strings.IndexByte(label, '\\') < 0 {
		return label
	}
	b := make([]byte, 0, len(label))
	for i := 0; i < len(label); i++ {
		c := label[i]
		if c != '\\' || i+1 == len(label) {
			b = append(b, c)
			continue
		}
		if i+3 < len(label) {
			if v, err := strconv.ParseUint(label[i+1:i+4], 10, 8); err == nil {
				b = append(b, byte(v))
				i += 3
				continue
			}
		}
		i++
		b = append(b, label[i])
	}
	return string(b)
}

// escape turns a name's bytes into presentation format; dots stay separators.
func escape(name string) string {
	plain := func(c byte) bool {
		return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.'
	}
	i := 0
	for i < len(name) && plain(name[i]) {
		i++
	}
	if i == len(name) {
		return name
	}
	var b strings.Builder
	for i := range len(name) {
		if c := name[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('\\')
			b.WriteByte('0' + c/100)
			b.WriteByte('0' + c/10%10)
			b.WriteByte('0' + c%10)
		}
	}
	return b.String()
}

// sendable returns a name in presentation format if a message can carry it
// (RFC 1035, section 2.3.4), and "" if not.
func sendable(name string) string {
	if _, ok := dns.IsDomainName(name); !ok || strings.HasPrefix(name, ".") || strings.Contains(name, "..") {
		return ""
	}
	return name
}
