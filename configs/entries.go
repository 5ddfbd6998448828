package configs

import (
	"fmt"

	"consul.internal/configentry"
)

// configEntries decodes and checks config_entries.bootstrap. Only the servers of
// the primary datacenter write them.
func (r *resolver) configEntries(used bool) []*configentry.Entry {
	const key = "config_entries.bootstrap"
	list := r.f.ConfigEntries.Bootstrap
	if len(list) > 0 && !used {
		r.warnf(key, "%s has no effect here: the servers of the primary datacenter write config entries", key)
	}
	var out []*configentry.Entry
	first := map[string]int{}
	for i, raw := range list {
		e, err := configentry.Decode(raw)
		if err == nil {
			err = e.Prepare()
		}
		if err != nil {
			r.errorf(key, "%s[%d]: %v", key, i, err)
			continue
		}
		name := e.Kind + "/" + e.Name
		if at, twice := first[name]; twice {
			r.errorf(key, "%s[%d]: %s stands at %s already", key, i, name, fmt.Sprintf("%s[%d]", key, at))
		}
		first[name] = i
		out = append(out, e)
	}
	return out
}
