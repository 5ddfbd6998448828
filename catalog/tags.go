package catalog

import (
	"maps"
	"slices"
)

// TagsByService gives the names of services with the tags that any of their
// instances carries.
func TagsByService(instances []*Instance) map[string][]string {
	sets := map[string]map[string]struct{}{}
	for _, i := range instances {
		set := sets[i.Service.Name]
		if set == nil {
			set = map[string]struct{}{}
			sets[i.Service.Name] = set
		}
		for _, tag := range i.Service.Tags {
			set[tag] = struct{}{}
		}
	}
	out := make(map[string][]string, len(sets))
	for name, set := range sets {
		out[name] = slices.AppendSeq(make([]string, 0, len(set)), maps.Keys(set))
		slices.Sort(out[name])
	}
	return out
}
