package zone

import (
	"context"
	"errors"
	"net/netip"

	"github.com/miekg/dns"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/view"
)

// Source is where a zone reads the catalog. An empty datacenter is the own one.
//
// A name that does not exist is a nil value without an error. An error is
// fault.NotFound for a datacenter that nobody knows and fault.Denied for what
// may not be seen: both are as if the name did not exist. Every other error
// means that there is no answer now. A source that must fetch first gives up
// when ctx ends; one that has an old answer gives it, marked stale.
type Source interface {
	Service(ctx context.Context, datacenter, name string) (*view.Service, view.State, error)
	Node(ctx context.Context, datacenter, name string) (*view.Node, view.State, error)
	Address(ctx context.Context, datacenter string, a netip.Addr) (*view.Address, view.State, error)
	State(ctx context.Context, datacenter string) (view.State, error)
}

// Shuffle puts n things into a random order, as rand.Shuffle does.
type Shuffle func(n int, swap func(i, j int))

// Zone answers the names of one configuration. It is safe for concurrent use.
type Zone struct {
	opt     Options
	primary domain
	alt     domain
	ttls    ttls
	nodeTTL uint32
	ptrTTL  uint32
	src     Source
	shuffle Shuffle
}

// New returns a Zone over src.
func New(opt Options, src Source, shuffle Shuffle) *Zone {
	z := &Zone{
		opt:     opt,
		primary: newDomain(opt.Domain),
		ttls:    newTTLs(opt.ServiceTTL),
		nodeTTL: seconds(opt.NodeTTL),
		ptrTTL:  seconds(opt.PTRTTL),
		src:     src,
		shuffle: shuffle,
	}
	if opt.AltDomain != "" {
		z.alt = newDomain(opt.AltDomain)
	}
	return z
}

// With returns the same zone over another source and order.
func (z *Zone) With(src Source, shuffle Shuffle) *Zone {
	other := *z
	other.src, other.shuffle = src, shuffle
	return &other
}

// Reply is the answer to one question.
type Reply struct {
	Rcode         int
	Authoritative bool
	Answer        []dns.RR
	Ns            []dns.RR
	Extra         []dns.RR // without an OPT record
	Stale         bool     // made of data that may be behind
	Scoped        bool     // made for the asker, not for everybody
	Limited       bool     // instances may have been left out, since their definition says so
	Err           error    // why Rcode is SERVFAIL
}

// Answer answers the question for one name, as Parse read it, and type of class IN.
func (z *Zone) Answer(ctx context.Context, name Name, qtype uint16) Reply {
	return z.AnswerTo(ctx, name, qtype, netip.Addr{})
}

// AnswerTo is Answer for an asker whose address, or whose client's, is known.
func (z *Zone) AnswerTo(ctx context.Context, name Name, qtype uint16, client netip.Addr) Reply {
	if name.Kind == Outside {
		return Reply{Rcode: dns.RcodeRefused}
	}
	if qtype == dns.TypeAXFR {
		return Reply{Rcode: dns.RcodeNotImplemented, Authoritative: true}
	}
	q := &query{z: z, ctx: ctx, far: ctx, name: name, qtype: qtype, client: client, chain: maxChain}
	if limit := z.opt.LocalTimeout; limit > 0 && name.Kind != Query && !z.Remote(name) {
		near, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		q.ctx = near
	}
	r := q.answer()
	r.Scoped = name.Kind == Query
	r.Authoritative = true // also of a failure, as resolvers know it from here
	r.Stale, r.Limited = q.stale, q.limit > 0
	return r
}

// Remote reports whether a name is one of another datacenter.
func (z *Zone) Remote(n Name) bool {
	return n.Datacenter != "" && !catalog.EqualFold(n.Datacenter, z.opt.Datacenter)
}

// maxChain is how many names of the zone are followed from an alias, so that a
// loop in the catalog ends; longer chains do not occur on purpose.
const maxChain = 3

// query is one question on its way to a reply.
type query struct {
	z      *Zone
	ctx    context.Context
	far    context.Context // for what another datacenter has of it
	name   Name
	qtype  uint16
	client netip.Addr // invalid if not known
	chain  int        // names that may still be followed, this one included
	stale  bool       // some part of the reply is
	limit  int        // answers that the service's definition allows; 0 is all
}

func (q *query) answer() Reply {
	switch q.name.Kind {
	case Apex:
		return q.apex()
	case Nameserv:
		return q.nameserver()
	case Service:
		switch {
		case q.name.Instance != "":
			return instance(q)
		case q.name.SRVOnly && q.name.Tag == "" && q.qtype == dns.TypePTR:
			return instances(q)
		case q.name.SRVOnly && q.qtype != dns.TypeSRV:
			return q.missing()
		}
		return q.service()
	case Node:
		return q.node()
	case Addr:
		return q.addr()
	case Reverse:
		return q.reverse()
	case Empty:
		if _, several := q.grouped(); several {
			return q.nodata()
		}
		if _, err := q.z.src.State(q.ctx, q.name.Datacenter); err != nil {
			return q.failed(err)
		}
		return q.nodata()
	case Query:
		return q.prepared()
	case Browse:
		return browse(q)
	}
	return q.missing() // names of the mesh
}

// missing is the reply for a name that does not exist. Names of nothing but
// keywords are empty non-terminals, whatever else they could be read as.
func (q *query) missing() Reply {
	if q.name.Keywords {
		return q.nodata()
	}
	return q.negative(dns.RcodeNameError)
}

// nodata is the reply for a name that exists and has no record of the type
// (RFC 2308, section 2.2).
func (q *query) nodata() Reply { return q.negative(dns.RcodeSuccess) }

func (q *query) negative(rcode int) Reply {
	soa, err := q.soa(q.name.Zone)
	if err != nil {
		return Reply{Rcode: dns.RcodeServerFailure, Err: err}
	}
	return Reply{Rcode: rcode, Ns: []dns.RR{soa}}
}

// failed is the reply where the source could not tell.
func (q *query) failed(err error) Reply {
	if errors.Is(err, fault.NotFound) || errors.Is(err, fault.Denied) {
		return q.negative(dns.RcodeNameError)
	}
	return Reply{Rcode: dns.RcodeServerFailure, Err: err}
}

// note remembers how fresh a part of the reply is.
func (q *query) note(st view.State) { q.stale = q.stale || st.Stale }

// datacenterOf is the name of the one that a question is about.
func (z *Zone) datacenterOf(n Name) string {
	if z.Remote(n) {
		return n.Datacenter
	}
	return z.opt.Datacenter
}
