package zone

import (
	"cmp"
	"encoding/base64"
	"math"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"consul.internal/catalog"
	"consul.internal/view"
)

// What the metadata of a service says about how it is spoken to (RFC 9460). A
// service with none of it has no such records, as before.
const (
	metaALPN     = "svcb-alpn"     // protocols parted by commas, as h2,http/1.1
	metaPriority = "svcb-priority" // 1 to 65535; the lowest is tried first
	metaECH      = "svcb-ech"      // Encrypted Client Hello, in base64
)

// https is the scheme that HTTPS records are for; all others have SVCB records.
const https = "https"

func isBinding(qtype uint16) bool { return qtype == dns.TypeSVCB || qtype == dns.TypeHTTPS }

// parsePort reads _port._scheme, which stand before a service's name in the
// questions for SVCB and HTTPS records (RFC 9460, section 2.3), and returns what
// is left.
func (n *Name) parsePort(labels []string) []string {
	if len(labels) < 2 || !rfc2782(labels[:2]) {
		return labels
	}
	port, err := strconv.ParseUint(labels[0][1:], 10, 16)
	if err != nil || port == 0 {
		return labels
	}
	n.Port, n.Scheme = uint16(port), labels[1][1:]
	return labels[2:]
}

// healthyOf returns the instances that a name is about and that may be answered.
func healthyOf(q *query, svc *view.Service) []*catalog.Instance {
	insts := q.z.healthy(svc, q.name.Tag)
	if q.name.Port != 0 {
		insts = slices.DeleteFunc(insts, func(i *catalog.Instance) bool { return q.port(i) != int(q.name.Port) })
	}
	nearestFirst(q, insts)
	return insts
}

// nearestFirst puts the instances of the own datacenter in order, if that is wished.
func nearestFirst(q *query, insts []*catalog.Instance) {
	if q.z.opt.Near == nil || len(insts) < 2 || q.z.Remote(q.name) {
		return
	}
	near := q.z.opt.Near()
	if near == nil {
		return
	}
	distance := func(i *catalog.Instance) float64 {
		if d, known := near(catalog.Fold(i.Node.Name)); known {
			return d
		}
		return math.Inf(1)
	}
	slices.SortStableFunc(insts, func(a, b *catalog.Instance) int { return cmp.Compare(distance(a), distance(b)) })
}

// bindings answers with an SVCB or HTTPS record for each instance that says how it
// is spoken to, and the addresses of their targets.
func bindings(q *query, insts []*catalog.Instance, ttl uint32) Reply {
	if q.name.Scheme != "" && (q.name.Scheme == https) != (q.qtype == dns.TypeHTTPS) {
		return q.nodata()
	}
	var r Reply
	records := newSeenOf[string](len(insts))
	targets := newSeenOf[string](len(insts))
	for _, i := range insts {
		if len(r.Answer) > maxSRV || q.limit > 0 && len(r.Answer) == q.limit {
			break // one more than any message takes, so that Fit sees it
		}
		e := q.endpoint(i, anyFamily)
		target := q.target(i, e)
		b, ok := binding(q, i, target, ttl)
		if target == "" || !ok {
			continue
		}
		var rr dns.RR = b
		if q.qtype == dns.TypeHTTPS {
			rr = &dns.HTTPS{SVCB: *b}
		}
		if !records.add(rr.String()) {
			continue
		}
		r.Answer = append(r.Answer, rr)
		if e.addr.IsValid() && targets.add(catalog.Fold(target)) {
			r.Extra = append(r.Extra, addrRR(target, e.addr, ttl))
		}
	}
	if len(r.Answer) == 0 {
		return q.nodata()
	}
	return r
}

// binding is the record of one instance; not ok if its metadata asks for none, or
// for what no record can say.
func binding(q *query, i *catalog.Instance, target string, ttl uint32) (*dns.SVCB, bool) {
	meta := i.Service.Meta
	alpn, priority, ech := meta[metaALPN], meta[metaPriority], meta[metaECH]
	if alpn == "" && priority == "" && ech == "" {
		return nil, false
	}
	b := &dns.SVCB{Hdr: header(q.name.Owner, q.qtype, ttl), Priority: 1, Target: target}
	if n, err := strconv.ParseUint(priority, 10, 16); err == nil && n > 0 {
		b.Priority = uint16(n) // 0 would make it an alias
	}
	var protocols []string
	for p := range strings.SplitSeq(alpn, ",") {
		if p = strings.TrimSpace(p); p != "" && len(p) <= maxString {
			protocols = append(protocols, p)
		}
	}
	// In the order of their numbers, as they are sent.
	if len(protocols) > 0 {
		b.Value = append(b.Value, &dns.SVCBAlpn{Alpn: protocols})
	}
	if port := clamp16(q.port(i)); port != 0 {
		b.Value = append(b.Value, &dns.SVCBPort{Port: port})
	}
	if a := q.endpoint(i, ipv4).addr; a.IsValid() {
		b.Value = append(b.Value, &dns.SVCBIPv4Hint{Hint: []net.IP{ipOf(a)}})
	}
	if list, err := base64.StdEncoding.DecodeString(ech); err == nil && len(list) > 0 {
		b.Value = append(b.Value, &dns.SVCBECHConfig{ECH: list})
	}
	if a := q.endpoint(i, ipv6).addr; a.IsValid() {
		b.Value = append(b.Value, &dns.SVCBIPv6Hint{Hint: []net.IP{ipOf(a)}})
	}
	return b, true
}

func ipOf(a netip.Addr) net.IP { return net.IP(a.AsSlice()) }
