package zone

import (
	"context"
	"slices"
	"sync"

	"consul.internal/catalog"
	"consul.internal/view"
)

const (
	// maxRedirects bounds how often one service's name stands for another's, so that
	// a loop ends; longer chains do not occur on purpose.
	maxRedirects = 8
	// maxTargets bounds who is asked when a service has no healthy instance: more
	// than there are datacenters to fail over to.
	maxTargets = 32
)

// look finds the healthy instances that a service's name stands for in a
// datacenter, or those of a subset; empty is the default one. Redirects are
// followed as long as they stay there: a redirect elsewhere ends where it leads to.
// It changes nothing of the query, so that several can go on at once.
func (q *query) look(ctx context.Context, dc, service, subset string) found {
	f := found{datacenter: dc}
	for range maxRedirects {
		svc, st, err := q.z.src.Service(ctx, f.datacenter, service)
		if f.state.Stale = f.state.Stale || st.Stale; err != nil {
			f.err = err
			return f
		}
		f.rules = nil
		if svc != nil {
			f.rules = svc.Rules
		}
		if f.subset = subset; subset == "" {
			f.subset = f.rules.Default()
		}
		var to *catalog.Target
		if f.rules != nil && !f.away {
			to = f.rules.Redirect
		}
		if to != nil {
			other := to.Service != "" && !catalog.EqualFold(to.Service, service)
			if other {
				service = catalog.Fold(to.Service)
			}
			if to.Datacenter != "" && !q.z.same(to.Datacenter, f.datacenter) {
				f.datacenter, f.away = catalog.Fold(to.Datacenter), true
			}
			if other || f.away {
				subset = to.Subset
				if f.away {
					ctx = q.far
				}
				continue
			}
			if to.Subset != "" {
				f.subset = to.Subset
			}
		}
		here := *q
		here.name.Datacenter = f.datacenter
		f.instances = healthyOf(&here, within(svc, f.subset))
		return f
	}
	return f
}

// resolved is look for the name of the question. Where nothing is healthy, it is who
// the service's resolver names for that: those of its targets that have something
// healthy, the first in their order.
func resolved(q *query) found {
	home := q.look(q.ctx, q.name.Datacenter, q.name.Label, "")
	if home.err != nil || len(home.instances) > 0 || home.rules == nil || home.away {
		return home
	}
	targets, there := home.rules.Failover[home.subset]
	if !there {
		targets = home.rules.Failover["*"]
	}
	targets = targets[:min(len(targets), maxTargets)]
	all := make([]chan found, len(targets))
	ctx, cancel := context.WithCancel(q.far)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel() // who is not needed any more
	for i, t := range targets {
		all[i] = make(chan found, 1)
		dc, service := q.name.Datacenter, catalog.Fold(home.rules.Service)
		if t.Datacenter != "" {
			dc = catalog.Fold(t.Datacenter)
		}
		if t.Service != "" {
			service = catalog.Fold(t.Service)
		}
		wg.Go(func() {
			f := lookSafely(ctx, q, dc, service, t.Subset)
			all[i] <- f
		})
	}
	for _, next := range all {
		f := <-next
		if f.bug != nil {
			panic(f.bug)
		}
		if len(f.instances) > 0 {
			f.state.Stale = f.state.Stale || home.state.Stale
			return f
		}
		if f.err != nil {
			home.err = f.err // there might be something
		}
	}
	return home
}

// same reports whether two names of datacenters are of one; empty is the own one.
func (z *Zone) same(a, b string) bool {
	own := func(dc string) string {
		if dc == "" {
			return z.opt.Datacenter
		}
		return dc
	}
	return catalog.EqualFold(own(a), own(b))
}

// within is a service with the instances of a subset alone.
func within(svc *view.Service, subset string) *view.Service {
	if svc == nil || subset == "" {
		return svc
	}
	only := *svc
	only.Instances = slices.DeleteFunc(slices.Clone(svc.Instances), func(i *catalog.Instance) bool {
		return !svc.Rules.In(subset, i) || svc.Rules.OnlyPassing(subset) && i.Status() != catalog.Passing
	})
	return &only
}
