package zone

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/miekg/dns"

	"consul.internal/catalog"
	"consul.internal/view"
)

// The words that stand in the place of a datacenter for several of them. A
// datacenter of that name goes first.
const (
	labelAny = "any" // the own one if it has healthy instances, else the nearest that has
	labelAll = "all"
)

// grouped reports whether a name is about several datacenters, and lists all
// that are known: the own one, then the nearest.
func (q *query) grouped() ([]string, bool) {
	dc := q.name.Datacenter
	if dc != labelAny && dc != labelAll || q.z.opt.Datacenters == nil || catalog.EqualFold(dc, q.z.opt.Datacenter) {
		return nil, false
	}
	list := q.z.opt.Datacenters()
	if slices.Contains(list, dc) {
		return nil, false
	}
	rest := slices.DeleteFunc(slices.Clone(list), func(dc string) bool { return catalog.EqualFold(dc, q.z.opt.Datacenter) })
	return append([]string{q.z.opt.Datacenter}, rest...), true
}

// found is what one datacenter has of a service.
type found struct {
	datacenter string
	away       bool // a redirect led there from another one
	rules      *view.Rules
	subset     string              // that the instances are of
	instances  []*catalog.Instance // healthy
	state      view.State          // Stale alone
	err        error
	bug        any // a panic of a goroutine of its own
}

// lookSafely is look for a goroutine of its own, which the recover of the question
// does not reach: the caller panics with found.bug instead.
func lookSafely(ctx context.Context, q *query, dc, service, subset string) (f found) {
	defer func() {
		if v := recover(); v != nil {
			f = found{bug: fmt.Sprintf("%v\n%s", v, debug.Stack())}
		}
	}()
	return q.look(ctx, dc, service, subset)
}

// everywhere answers for a service's name in several datacenters. They are asked
// at the same time, and those that cannot tell are left out.
func (q *query) everywhere(datacenters []string) Reply {
	here := q.look(q.ctx, datacenters[0], q.name.Label, "")
	if q.name.Datacenter == labelAny && len(here.instances) > 0 {
		return q.of(here)
	}
	all := make([]found, len(datacenters))
	all[0] = here
	var wg sync.WaitGroup
	for i, dc := range datacenters[1:] {
		wg.Go(func() { all[i+1] = lookSafely(q.ctx, q, dc, q.name.Label, "") })
	}
	wg.Wait()
	var some []Reply
	var failed error
	for _, f := range all {
		if f.bug != nil {
			panic(f.bug)
		}
		if f.err != nil {
			failed = f.err
		}
		if len(f.instances) == 0 {
			continue
		}
		r := q.of(f)
		if q.name.Datacenter == labelAny {
			return r
		}
		some = append(some, r)
	}
	if len(some) == 0 && failed != nil {
		return q.failed(failed)
	}
	if len(some) == 0 {
		return q.missing()
	}
	q.stale = q.stale || failed != nil
	return q.union(some)
}

// of answers with the instances of one datacenter.
func (q *query) of(f found) Reply {
	sub := &query{z: q.z, ctx: q.ctx, far: q.far, name: q.name, qtype: q.qtype, client: q.client, chain: q.chain}
	sub.name.Datacenter = catalog.Fold(f.datacenter)
	sub.note(f.state)
	r := sub.endpoints(f.instances, ttlOf(f.instances, q.z.ttls.of(q.name.Label)))
	q.stale = q.stale || sub.stale
	return r
}

// union puts the replies of several datacenters together. An alias has no place
// beside addresses, nor beside another one.
func (q *query) union(replies []Reply) Reply {
	var out Reply
	alias := func(r Reply) bool { return len(r.Answer) > 0 && r.Answer[0].Header().Rrtype == dns.TypeCNAME }
	plain := slices.DeleteFunc(slices.Clone(replies), func(r Reply) bool { return alias(r) || len(r.Answer) == 0 })
	if len(plain) == 0 {
		i := max(0, slices.IndexFunc(replies, alias))
		return replies[i]
	}
	seen := map[string]bool{}
	for _, r := range plain {
		for _, rr := range r.Answer {
			if text := rr.String(); !seen[text] && len(out.Answer) <= maxAnswers { // one more than any message takes
				seen[text] = true
				out.Answer = append(out.Answer, rr)
			}
		}
		out.Extra = append(out.Extra, r.Extra...)
	}
	q.z.shuffle(len(out.Answer), func(a, b int) { out.Answer[a], out.Answer[b] = out.Answer[b], out.Answer[a] })
	if limit := q.z.opt.ARecordLimit; limit > 0 && q.qtype != dns.TypeSRV && q.qtype != dns.TypeTXT && len(out.Answer) > limit {
		out.Answer = out.Answer[:limit]
	}
	return out
}
