package zone

import (
	"context"
	"fmt"

	"github.com/miekg/dns"

	"consul.internal/catalog"
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
func (z *Zone) Dropped(name Name, i *catalog.Instance) string {
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
	q := &query{z: z, ctx: ctx, name: name, qtype: qtype, chain: 1}
	return q.endpoints([]*catalog.Instance{i}, 0).Answer
}
