package zone

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/miekg/dns"

	"consul.internal/catalog"
	"consul.internal/view"
)

// String is a kind of names, for people.
func (k Kind) String() string {
	switch k {
	case Outside:
		return "outside"
	case Apex:
		return "apex"
	case Empty:
		return "empty"
	case Nameserv:
		return "nameserver"
	case Service:
		return "service"
	case Node:
		return "node"
	case Addr:
		return "address"
	case Query:
		return "query"
	case Mesh:
		return "mesh"
	case Reverse:
		return "reverse"
	case Browse:
		return "browse"
	}
	return "nothing"
}

// Dropped says why an instance is not among those that a name is answered with;
// it is empty for one that is.
func (z *Zone) Dropped(name Name, svc *view.Service, i *catalog.Instance) string {
	if r := svc.Rules; r != nil && name.Instance == "" {
		subset := r.DefaultSubset
		if to := r.Redirect; to != nil {
			if to.Service != "" && !catalog.EqualFold(to.Service, svc.Name) || to.Datacenter != "" && !z.same(to.Datacenter, name.Datacenter) {
				return "the service's resolver redirects the name elsewhere"
			}
			subset = cmp.Or(to.Subset, subset)
		}
		if len(within(&view.Service{Instances: []*catalog.Instance{i}, Rules: r}, subset).Instances) == 0 {
			return fmt.Sprintf("it is not in the subset %q, which the service's resolver has the name stand for", subset)
		}
	}
	for _, c := range i.Checks {
		if c.Status == catalog.Critical || c.Status == catalog.Warning && z.opt.OnlyPassing && i.Status() != catalog.Critical {
			return fmt.Sprintf("check %q is %s", c.CheckID, c.Status)
		}
	}
	q := &query{z: z, name: name}
	switch {
	case name.Tag != "" && !i.HasTag(name.Tag):
		return fmt.Sprintf("it does not have the tag %q", name.Tag)
	case name.Port != 0 && q.port(i) != int(name.Port):
		return fmt.Sprintf("it listens on port %d", q.port(i))
	case name.Instance != "" && !catalog.EqualFold(instanceName(i), name.Instance):
		return fmt.Sprintf("it is called %q", instanceName(i))
	}
	return ""
}

// Records are the answers that one instance alone would give.
func (z *Zone) Records(ctx context.Context, name Name, qtype uint16, i *catalog.Instance) []dns.RR {
	q := &query{z: z, ctx: ctx, far: ctx, name: name, qtype: qtype, chain: 1}
	return q.endpoints([]*catalog.Instance{i}, 0).Answer
}

// Verdict says whether an instance stands in a reply, and why.
func (z *Zone) Verdict(ctx context.Context, name Name, qtype uint16, svc *view.Service, i *catalog.Instance, r *dns.Msg, whole *Reply) (bool, string) {
	if why := z.Dropped(name, svc, i); why != "" {
		return false, why
	}
	records := z.Records(ctx, name, qtype, i)
	in := func(list []dns.RR) bool {
		return slices.ContainsFunc(records, func(rr dns.RR) bool {
			return slices.ContainsFunc(list, func(o dns.RR) bool { return dns.IsDuplicate(rr, o) })
		})
	}
	switch {
	case name.Instance != "" || qtype == dns.TypePTR:
		return len(r.Answer) > 0, "it is healthy"
	case len(records) == 0:
		return false, "it has no record of this type"
	case in(r.Answer):
		return true, "it is healthy"
	case records[0].Header().Rrtype == dns.TypeCNAME && !in(whole.Answer):
		return false, "a host name is given only where no instance has an IP address"
	case whole.Limited:
		return false, fmt.Sprintf("the service's definition allows %d answers; others were drawn", len(r.Answer))
	case r.Truncated || in(whole.Answer) && len(whole.Answer) > len(r.Answer):
		return false, fmt.Sprintf("the message has room for %d answers; others were drawn", len(r.Answer))
	}
	return false, fmt.Sprintf("a_record_limit allows %d answers; others were drawn", len(r.Answer))
}
