package zone

import (
	"errors"
	"net/netip"

	"github.com/miekg/dns"

	"consul.internal/catalog"
	"consul.internal/view"
)

// maxNS is how many name servers are named at most: three records and their
// addresses fit a message of 512 bytes (RFC 1035, section 4.2.1).
const maxNS = 3

// soa is the SOA record of one of the zone's names. The serial is the catalog's
// index: it grows with every change and never goes back, on any server.
func (q *query) soa(zone string) (dns.RR, error) {
	st, err := q.z.src.State(q.ctx, "")
	if err != nil {
		return nil, err
	}
	q.note(st)
	s := &q.z.opt.SOA
	return &dns.SOA{
		Hdr:     header(zone, dns.TypeSOA, s.MinTTL),
		Ns:      labelNS + "." + zone,
		Mbox:    "hostmaster." + zone,
		Serial:  uint32(st.Index), // serial numbers wrap around (RFC 1982)
		Refresh: s.Refresh,
		Retry:   s.Retry,
		Expire:  s.Expire,
		Minttl:  s.MinTTL,
	}, nil
}

// apex answers for the domain itself.
func (q *query) apex() Reply {
	switch q.qtype {
	case dns.TypeSOA:
		// One zone under two names: the SOA asked for is always the primary name's.
		soa, err := q.soa(q.z.primary.name)
		if err != nil {
			return Reply{Rcode: dns.RcodeServerFailure, Err: err}
		}
		ns, glue, err := q.nameservers()
		if err != nil {
			return q.failed(err)
		}
		return Reply{Answer: []dns.RR{soa}, Ns: ns, Extra: glue}
	case dns.TypeNS:
		ns, glue, err := q.nameservers()
		if err != nil {
			return q.failed(err)
		}
		return Reply{Answer: ns, Extra: glue}
	}
	return q.nodata()
}

// servers returns the healthy instances of the servers' own service, shuffled.
func (q *query) servers() ([]*catalog.Instance, error) {
	svc, st, err := q.z.src.Service(q.ctx, "", catalog.ServiceConsul)
	if err != nil {
		return nil, err
	}
	q.note(st)
	return q.z.healthy(svc, ""), nil
}

// nameservers returns NS records for some of the servers, and their addresses.
// Servers whose names are no host names cannot be named in an NS record.
func (q *query) nameservers() (ns, glue []dns.RR, err error) {
	servers, err := q.servers()
	if errors.Is(err, view.ErrNoSight) {
		return nil, nil, nil // the zone is there, whoever may see its servers
	}
	if err != nil {
		return nil, nil, err
	}
	seen := map[string]bool{}
	for _, i := range servers {
		name := catalog.Fold(i.Node.Name)
		if seen[name] || !catalog.ValidDNSLabel(name) {
			continue
		}
		seen[name] = true
		target := name + "." + labelNode + "." + q.z.opt.Datacenter + "." + q.name.Zone
		ns = append(ns, &dns.NS{Hdr: header(q.name.Domain, dns.TypeNS, q.z.nodeTTL), Ns: target})
		if e := nodeEndpoint(i.Node, anyFamily, false); e.addr.IsValid() {
			glue = append(glue, addrRR(target, e.addr, q.z.nodeTTL))
		}
		if len(ns) == maxNS {
			break
		}
	}
	return ns, glue, nil
}

// nameserver answers for ns.<domain>, the primary master that the SOA names: it
// is all servers of the datacenter.
func (q *query) nameserver() Reply {
	fam, ok := familyOf(q.qtype)
	if !ok {
		return q.nodata()
	}
	servers, err := q.servers()
	if err != nil {
		return q.failed(err)
	}
	var r Reply
	seen := newSeenOf[netip.Addr](len(servers))
	for _, i := range servers {
		if e := nodeEndpoint(i.Node, fam, false); e.addr.IsValid() && seen.add(e.addr) {
			r.Answer = append(r.Answer, addrRR(q.name.Owner, e.addr, q.z.nodeTTL))
		}
	}
	if len(r.Answer) == 0 {
		return q.nodata()
	}
	return r
}
