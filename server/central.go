package server

import (
	"consul.internal/catalog"
	"consul.internal/configentry"
	"github.com/hashicorp/go-memdb"
)

// central puts what proxy-defaults and service-defaults say into registered proxies
// and gateways, and returns the index at which any of it changed last.
type central struct {
	s     *Server
	ws    memdb.WatchSet
	index uint64
}

func (c *central) entry(kind, name string) *configentry.Entry {
	index, e := c.s.store.State().ConfigEntries().Get(c.ws, kind, name)
	c.index = max(c.index, index)
	return e
}

func (c *central) instances(list []*catalog.Instance) []*catalog.Instance {
	out := make([]*catalog.Instance, len(list))
	for i, inst := range list {
		out[i] = inst
		if merged := configentry.Merge(inst.Service, c.entry); merged != inst.Service {
			other := *inst
			other.Service = merged
			out[i] = &other
		}
	}
	return out
}

func (c *central) services(list []*catalog.Service) []*catalog.Service {
	out := make([]*catalog.Service, len(list))
	for i, svc := range list {
		out[i] = configentry.Merge(svc, c.entry)
	}
	return out
}
