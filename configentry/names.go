package configentry

import "consul.internal/catalog"

// Names is what a resolver says of names, nil if nothing. Targets among peers are
// left out: there are none.
func (e *Entry) Names() *catalog.Resolver {
	r := e.Body.ServiceResolver
	if e.Kind != KindServiceResolver || r == nil {
		return nil
	}
	out := &catalog.Resolver{Service: e.Name, DefaultSubset: r.DefaultSubset}
	if to := r.Redirect; to != nil && to.Peer == "" && to.SamenessGroup == "" {
		out.Redirect = &catalog.Target{Service: to.Service, Subset: to.ServiceSubset, Datacenter: to.Datacenter}
	}
	for subset, f := range r.Failover {
		if targets := f.targets(); len(targets) > 0 {
			if out.Failover == nil {
				out.Failover = map[string][]catalog.Target{}
			}
			out.Failover[subset] = targets
		}
	}
	for name, s := range r.Subsets {
		if out.Subsets == nil {
			out.Subsets = map[string]catalog.Subset{}
		}
		out.Subsets[name] = catalog.Subset{Filter: s.Filter, OnlyPassing: s.OnlyPassing}
	}
	if out.Redirect == nil && len(out.Failover) == 0 && len(out.Subsets) == 0 {
		return nil
	}
	return out
}

// targets are those of a failover in turn.
func (f *Failover) targets() []catalog.Target {
	var out []catalog.Target
	for _, t := range f.Targets {
		if t.Peer == "" {
			out = append(out, catalog.Target{Service: t.Service, Subset: t.ServiceSubset, Datacenter: t.Datacenter})
		}
	}
	for _, dc := range f.Datacenters {
		out = append(out, catalog.Target{Service: f.Service, Subset: f.ServiceSubset, Datacenter: dc})
	}
	if len(out) == 0 && (f.Service != "" || f.ServiceSubset != "") {
		out = append(out, catalog.Target{Service: f.Service, Subset: f.ServiceSubset})
	}
	return out
}
