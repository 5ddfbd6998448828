package zone

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/view"
)

// Ask names a prepared query to be executed.
type Ask struct {
	Datacenter string     // whose query it is; folded, empty is the own one
	Name       string     // or ID; folded
	Client     netip.Addr // who wants to know; invalid if that is not known
}

// Result is what a prepared query led to.
type Result struct {
	Service    string // that the instances are of
	Datacenter string // that they are in
	TTL        time.Duration
	HasTTL     bool                // else the service's own counts
	Instances  []*catalog.Instance // in the order of the answer
	Stale      bool
}

// Execute executes a prepared query. Its errors are those of a Source: one that
// does not exist is fault.NotFound.
type Execute func(context.Context, Ask) (Result, error)

// prepared answers for a prepared query's name. Which instances are good enough is
// the query's business, not that of the options.
func (q *query) prepared() Reply {
	if q.z.opt.Execute == nil {
		return q.missing()
	}
	res, err := q.z.opt.Execute(q.ctx, Ask{Datacenter: q.name.Datacenter, Name: q.name.Label, Client: q.client})
	switch {
	case errors.Is(err, fault.NotFound), errors.Is(err, fault.Denied):
		return q.missing()
	case err != nil:
		return q.failed(err)
	}
	q.note(view.State{Stale: res.Stale})
	if st, err := q.z.src.State(q.ctx, ""); err == nil {
		q.note(st) // whoever executed it hears of no more changes than the view does
	}
	if len(res.Instances) == 0 {
		return q.missing()
	}
	ttl := ttlOf(res.Instances, q.z.ttls.of(catalog.Fold(res.Service)))
	if res.HasTTL {
		ttl = seconds(res.TTL)
	}
	q.name.Datacenter = catalog.Fold(res.Datacenter) // where the instances are
	return q.endpoints(res.Instances, ttl)
}

// endpoints answers with instances, in their order.
func (q *query) endpoints(insts []*catalog.Instance, ttl uint32) Reply {
	if !q.z.opt.Whole {
		q.limit = limitOf(insts)
	}
	if q.name.Port != 0 && !isBinding(q.qtype) {
		return q.nodata()
	}
	if q.qtype == dns.TypeSRV {
		return q.srv(insts, ttl)
	}
	if fam, ok := familyOf(q.qtype); ok {
		if rrs := q.addresses(insts, fam, ttl); len(rrs) > 0 {
			return Reply{Answer: rrs}
		}
	}
	// A name that is an alias is one for every type (RFC 1034, section 3.6.2).
	if host := q.aliasOf(insts); host != "" {
		return q.alias(host, ttl)
	}
	if isBinding(q.qtype) {
		return bindings(q, insts, ttl)
	}
	if q.qtype == dns.TypeTXT {
		if rrs := serviceText(q.name.Owner, insts, ttl); len(rrs) > 0 {
			return Reply{Answer: rrs}
		}
	}
	return q.nodata()
}

// parseQuery reads what stands on both sides of the keyword: a name that may hold
// dots, or _name._protocol, whose protocol is not looked at; and a datacenter, but
// not in its long form.
func (n *Name) parseQuery(what, where []string) {
	if len(where) > 1 {
		return
	}
	n.Kind, n.Label = Query, strings.Join(what, ".")
	if len(what) > 1 && rfc2782([]string{what[0], what[len(what)-1]}) {
		n.Label = strings.Join(what[:len(what)-1], ".")[1:]
	}
	if n.Label == "" {
		n.Kind = Nothing
	}
}
