package zone

import (
	"github.com/miekg/dns"
)

// node answers for a node's name.
func (q *query) node() Reply {
	n, st, err := q.z.src.Node(q.ctx, q.name.Datacenter, q.name.Label)
	if err != nil {
		return q.failed(err)
	}
	q.note(st)
	if n == nil {
		return q.missing()
	}
	ttl := q.z.nodeTTL
	text := func() []dns.RR { return textRRs(q.name.Owner, n.Node.Meta, ttl) }
	fam, ok := familyOf(q.qtype)
	switch {
	case q.qtype == dns.TypeTXT:
		if rrs := text(); len(rrs) > 0 {
			return Reply{Answer: rrs}
		}
		return q.nodata()
	case !ok:
		return q.nodata()
	}
	wan := q.z.opt.TranslateWANs && q.z.Remote(q.name)
	var r Reply
	e := nodeEndpoint(n.Node, fam, wan)
	switch {
	case e.addr.IsValid():
		r.Answer = []dns.RR{addrRR(q.name.Owner, e.addr, ttl)}
	case e.host != "" && !nodeEndpoint(n.Node, anyFamily, wan).addr.IsValid():
		r = q.alias(e.host, ttl)
	}
	switch {
	case q.qtype == dns.TypeANY:
		r.Answer = append(r.Answer, text()...)
	case len(r.Answer) > 0 && q.z.opt.NodeMetaTXT:
		r.Extra = text()
	}
	if len(r.Answer) == 0 {
		return q.nodata()
	}
	return r
}

// addr answers for a name that spells an address.
func (q *query) addr() Reply {
	fam, _ := familyOf(q.qtype)
	if !fam.has(q.name.Addr) {
		return q.nodata()
	}
	return Reply{Answer: []dns.RR{addrRR(q.name.Owner, q.name.Addr, q.z.nodeTTL)}}
}

// reverse answers for an address under arpa: the first node that has it by name,
// else a service. An address changes hands, so that the TTL is 0 unless a setting
// says otherwise.
func (q *query) reverse() Reply {
	a, st, err := q.z.src.Address(q.ctx, "", q.name.Addr)
	if err != nil {
		return q.failed(err)
	}
	q.note(st)
	if a == nil {
		return q.missing()
	}
	target := ""
	for _, n := range a.Nodes {
		if target = nodeName(n.Name, q.z.opt.Datacenter, q.z.primary.name); target != "" {
			break
		}
	}
	for k := 0; target == "" && k < len(a.Services); k++ {
		target = serviceName(a.Services[k].Service.Name, q.z.opt.Datacenter, q.z.primary.name)
	}
	switch {
	case target == "":
		return q.missing()
	case q.qtype != dns.TypePTR && q.qtype != dns.TypeANY:
		return q.nodata()
	}
	return Reply{Answer: []dns.RR{&dns.PTR{Hdr: header(q.name.Owner, dns.TypePTR, q.z.ptrTTL), Ptr: target}}}
}

// serviceName is the name of a service, or "" if no message can carry it.
func serviceName(service, datacenter, domain string) string {
	return sendable(escape(service) + "." + labelService + "." + datacenter + "." + domain)
}
