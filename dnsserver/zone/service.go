package zone

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/miekg/dns"

	"consul.internal/catalog"
	"consul.internal/view"
)

// service answers for a service's name, with or without a tag.
func (q *query) service() Reply {
	if all, several := q.grouped(); several {
		return q.everywhere(all)
	}
	f := resolved(q)
	if f.err != nil {
		return q.failed(f.err)
	}
	q.note(f.state)
	if len(f.instances) == 0 {
		return q.missing()
	}
	q.name.Datacenter = f.datacenter // where the instances are
	return q.endpoints(f.instances, ttlOf(f.instances, q.z.ttls.of(q.name.Label)))
}

// serviceText gives the metadata of instances, what several say being said once.
func serviceText(owner string, insts []*catalog.Instance, ttl uint32) []dns.RR {
	type attribute struct{ key, value string }
	seen := newSeenOf[attribute](len(insts))
	var out []dns.RR
	for _, i := range insts {
		for _, k := range slices.Sorted(maps.Keys(i.Service.Meta)) {
			if v := i.Service.Meta[k]; len(out) <= maxAnswers && seen.add(attribute{k, v}) {
				out = append(out, &dns.TXT{Hdr: header(owner, dns.TypeTXT, ttl), Txt: textOf(k, v)})
			}
		}
	}
	return out
}

// healthy returns the instances that may be answered, in a random order.
func (z *Zone) healthy(svc *view.Service, tag string) []*catalog.Instance {
	if svc == nil {
		return nil
	}
	out := make([]*catalog.Instance, 0, len(svc.Instances))
	for _, i := range svc.Instances {
		switch i.Status() {
		case catalog.Critical:
			continue
		case catalog.Warning:
			if z.opt.OnlyPassing {
				continue
			}
		}
		if tag == "" || i.HasTag(tag) {
			out = append(out, i)
		}
	}
	z.shuffle(len(out), func(a, b int) { out[a], out[b] = out[b], out[a] })
	return out
}

func (q *query) endpoint(i *catalog.Instance, fam family) endpoint {
	return instanceEndpoint(i, fam, q.z.opt.TranslateWANs && q.z.Remote(q.name), q.name.Owner)
}

// port is where an instance is reached, also by who comes over the WAN.
func (q *query) port(i *catalog.Instance) int {
	if q.z.opt.TranslateWANs && q.z.Remote(q.name) {
		if p := i.Service.TaggedAddresses[catalog.TaggedWAN].Port; p != 0 {
			return p
		}
	}
	return i.Service.Port
}

// addresses gives each address of the instances once.
func (q *query) addresses(insts []*catalog.Instance, fam family, ttl uint32) []dns.RR {
	limit := maxAnswers + 1 // one more than any message takes, so that Fit sees it
	if q.z.opt.ARecordLimit > 0 {
		limit = min(limit, q.z.opt.ARecordLimit)
	}
	if q.limit > 0 {
		limit = min(limit, q.limit)
	}
	var out []dns.RR
	seen := newSeenOf[netip.Addr](len(insts))
	for _, i := range insts {
		e := q.endpoint(i, fam)
		if !e.addr.IsValid() || !seen.add(e.addr) {
			continue
		}
		out = append(out, addrRR(q.name.Owner, e.addr, ttl))
		if len(out) == limit {
			break
		}
	}
	return out
}

// aliasOf returns the host name that stands for the service: one, and only if no
// instance has an IP address, since a name with a CNAME record has nothing else.
func (q *query) aliasOf(insts []*catalog.Instance) string {
	host := ""
	for _, i := range insts {
		e := q.endpoint(i, anyFamily)
		if e.addr.IsValid() {
			return ""
		}
		if host == "" {
			host = e.host
		}
	}
	return host
}

// alias answers with a CNAME record, and with what the name it points to has if
// that is one of the zone's.
func (q *query) alias(host string, ttl uint32) Reply {
	r := Reply{Answer: []dns.RR{&dns.CNAME{Hdr: header(q.name.Owner, dns.TypeCNAME, ttl), Target: host}}}
	more, end := q.follow(host, q.qtype, q.chain-1, ttl)
	for _, rr := range more {
		// A loop in the catalog comes back to where it began.
		if rr.Header().Rrtype == dns.TypeCNAME && slices.ContainsFunc(r.Answer, func(o dns.RR) bool { return dns.IsDuplicate(o, rr) }) {
			continue
		}
		r.Answer = append(r.Answer, rr)
	}
	if end == endNoData && q.qtype != dns.TypeCNAME {
		soa, err := q.soa(q.name.Zone)
		if err != nil {
			return Reply{Rcode: dns.RcodeServerFailure, Err: err}
		}
		r.Ns = []dns.RR{soa}
	}
	return r
}

// ending says how a chain of aliases ended.
type ending uint8

const (
	endOpen   ending = iota // elsewhere: the resolver has to ask on
	endFound                // at records of the type
	endNoData               // at a name of the zone without such records
)

// follow answers for a name that records point to, if it is one of the zone's.
// All records get the TTL of what led to them.
func (q *query) follow(target string, qtype uint16, chain int, ttl uint32) ([]dns.RR, ending) {
	if chain <= 0 || qtype == dns.TypeCNAME {
		return nil, endOpen
	}
	name := q.z.Parse(target)
	switch name.Kind {
	case Service, Node, Addr, Nameserv:
	default:
		return nil, endOpen
	}
	sub := &query{z: q.z, ctx: q.ctx, far: q.far, name: name, qtype: qtype, chain: chain}
	r := sub.answer()
	if r.Rcode != dns.RcodeSuccess {
		return nil, endOpen
	}
	q.stale = q.stale || sub.stale
	end := endFound
	if len(r.Ns) > 0 { // only negative answers of these names have it
		end = endNoData
	}
	var out []dns.RR
	for _, rr := range r.Answer {
		h := rr.Header()
		switch {
		case h.Rrtype == dns.TypeCNAME, h.Rrtype == qtype,
			qtype == dns.TypeANY && (h.Rrtype == dns.TypeA || h.Rrtype == dns.TypeAAAA):
			h.Ttl = ttl
			out = append(out, rr)
		}
	}
	return out, end
}

// srv answers with an SRV record for each instance (RFC 2782), the addresses of
// their targets and the metadata of their nodes.
func (q *query) srv(insts []*catalog.Instance, ttl uint32) Reply {
	var r Reply
	type place struct {
		target string
		port   uint16
	}
	places := newSeenOf[place](len(insts))
	targets := newSeenOf[string](len(insts))
	nodes := newSeenOf[string](len(insts))
	for _, i := range insts {
		e := q.endpoint(i, anyFamily)
		target := q.target(i, e)
		p := place{target, clamp16(q.port(i))}
		if target == "" || !places.add(p) {
			continue
		}
		if len(r.Answer) > maxSRV || q.limit > 0 && len(r.Answer) == q.limit {
			break // one more than any message takes, so that Fit sees it
		}
		r.Answer = append(r.Answer, &dns.SRV{
			Hdr:      header(q.name.Owner, dns.TypeSRV, ttl),
			Priority: 1, // all instances are equal; weights tell them apart
			Weight:   clamp16(i.Weight()),
			Port:     p.port,
			Target:   target,
		})
		if owner := catalog.Fold(target); targets.add(owner) {
			if e.addr.IsValid() {
				r.Extra = append(r.Extra, addrRR(target, e.addr, ttl))
			} else if len(r.Extra) < maxExtra {
				more, _ := q.follow(target, dns.TypeANY, maxChain, ttl)
				r.Extra = appendOwners(r.Extra, more, owner, targets)
			}
		}
		if q.z.opt.NodeMetaTXT && len(i.Node.Meta) > 0 && len(r.Extra) < maxExtra {
			if owner := nodeName(i.Node.Name, q.z.datacenterOf(q.name), q.name.Domain); owner != "" && nodes.add(owner) {
				r.Extra = append(r.Extra, textRRs(owner, i.Node.Meta, ttl)...)
			}
		}
	}
	if len(r.Answer) == 0 {
		return q.nodata()
	}
	return r
}

// maxExtra is how many additional records there may be before no text is added
// and no target followed any more: twice what the largest answer has addresses.
const maxExtra = 2 * maxSRV

// appendOwners appends what following the target found, but for names whose
// records are there already, and adds the new names to them.
func appendOwners(extra, more []dns.RR, target string, names *seen[string]) []dns.RR {
	fresh := map[string]bool{target: true}
	for _, rr := range more {
		owner := catalog.Fold(rr.Header().Name)
		if names.add(owner) {
			fresh[owner] = true
		}
		if fresh[owner] && !(rr.Header().Rrtype == dns.TypeCNAME && slices.ContainsFunc(extra, func(o dns.RR) bool { return dns.IsDuplicate(o, rr) })) {
			extra = append(extra, rr)
		}
	}
	return extra
}

// target is the name in an SRV record: the node's if the instance is reached at
// its node's address, a name that spells the address, or the host name that the
// registration gives. Empty if it is reached nowhere.
func (q *query) target(i *catalog.Instance, e endpoint) string {
	if !e.addr.IsValid() {
		return e.host
	}
	if !e.own {
		if a, ok := parseIP(i.Node.Address); ok && a == e.addr {
			if name := nodeName(i.Node.Name, q.z.datacenterOf(q.name), q.name.Domain); name != "" {
				return name
			}
		}
	}
	return addrName(e.addr, q.z.datacenterOf(q.name), q.name.Domain)
}

func clamp16(n int) uint16 { return uint16(min(max(n, 0), 1<<16-1)) }

// seen is a set that is asked and filled at once. Few members are kept in a
// slice, which is cheaper than a map.
type seen[T comparable] struct {
	list []T
	set  map[T]struct{}
}

// smallSet is up to where a linear search beats hashing.
const smallSet = 16

func newSeenOf[T comparable](n int) *seen[T] {
	if n > smallSet {
		return &seen[T]{set: make(map[T]struct{}, n)}
	}
	return &seen[T]{}
}

// add reports whether v was not there before.
func (s *seen[T]) add(v T) bool {
	if s.set == nil {
		if slices.Contains(s.list, v) {
			return false
		}
		s.list = append(s.list, v)
		return true
	}
	if _, ok := s.set[v]; ok {
		return false
	}
	s.set[v] = struct{}{}
	return true
}
