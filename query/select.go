package query

import (
	"slices"
	"strings"

	"consul.internal/catalog"
)

// Keeps reports whether an instance is one that the query wants.
func (s *Service) Keeps(i *catalog.Instance) bool {
	switch s.status(i) {
	case catalog.Critical:
		return false
	case catalog.Warning:
		if s.OnlyPassing {
			return false
		}
	}
	return s.tagged(i) && holds(i.Node.Meta, s.NodeMeta) && holds(i.Service.Meta, s.ServiceMeta)
}

// status is the worst state among the checks that count.
func (s *Service) status(i *catalog.Instance) catalog.Status {
	if len(s.IgnoreCheckIDs) == 0 {
		return i.Status()
	}
	worst := catalog.Passing
	for _, c := range i.Checks {
		if slices.Contains(s.IgnoreCheckIDs, c.CheckID) {
			continue
		}
		if w := catalog.Worst([]*catalog.Check{c}); w == catalog.Critical || w == catalog.Warning && worst == catalog.Passing {
			worst = w
		}
	}
	return worst
}

func (s *Service) tagged(i *catalog.Instance) bool {
	for _, tag := range s.Tags {
		unwanted, not := strings.CutPrefix(tag, "!")
		if not && i.HasTag(unwanted) || !not && !i.HasTag(tag) {
			return false
		}
	}
	return true
}

func holds(have, want map[string]string) bool {
	for k, v := range want {
		if got, ok := have[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// Wanted reports whether there is anywhere to fail over to.
func (f *Failover) Wanted() bool {
	return f.NearestN > 0 || len(f.Datacenters) > 0 || len(f.Targets) > 0
}

// Plan lists the datacenters to fail over to, in order, each once. known are all
// that there are, nearest first; what is not known is passed over.
func (f *Failover) Plan(local string, known []string) []string {
	var plan []string
	add := func(dc string) bool {
		at := slices.IndexFunc(known, func(k string) bool { return catalog.EqualFold(k, dc) })
		if at < 0 || catalog.EqualFold(dc, local) || slices.Contains(plan, known[at]) {
			return false
		}
		plan = append(plan, known[at])
		return true
	}
	if len(f.Targets) > 0 {
		for _, t := range f.Targets {
			if t.Peer == "" {
				add(t.Datacenter)
			}
		}
		return plan
	}
	nearest := 0
	for _, dc := range known {
		if nearest < f.NearestN && add(dc) {
			nearest++
		}
	}
	for _, dc := range f.Datacenters {
		add(dc)
	}
	return plan
}

// Brief leaves of instances' checks what they come to, so that what the checks
// said is not sent about.
func Brief(instances []*catalog.Instance) []*catalog.Instance {
	sum := map[catalog.Status][]*catalog.Check{}
	out := make([]*catalog.Instance, len(instances))
	for i, inst := range instances {
		status := inst.Status()
		if sum[status] == nil {
			sum[status] = []*catalog.Check{{Status: status}}
		}
		out[i] = &catalog.Instance{Node: inst.Node, Service: inst.Service, Checks: sum[status]}
	}
	return out
}
