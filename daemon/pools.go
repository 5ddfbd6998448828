package daemon

import (
	"iter"

	"consul.internal/daemon/pools"
	"consul.internal/federation"
)

// newPools makes the pools, and wires what they tell to the parts, which are made later.
func newPools(d *Daemon) *pools.Pools {
	return pools.New(d.settings, d.nodeID, pools.Deps{
		Logger: d.log, Network: d.opts.Network, Lookup: d.opts.Lookup, Caller: elsewhere{d},
		Services:  func() iter.Seq2[string, []string] { return ownServices(d) },
		ClusterID: func() string { return d.store.ClusterID() },
		Mirrored:  func() []string { return d.views.world.Mirrored() },
		Tell: pools.Tell{
			Servers:     func(list []federation.Server) { d.router.SetServers(list) },
			Found:       func() { d.local.SyncNow() },
			Datacenters: func(names []string) { d.views.world.SetDatacenters(names) },
			GaveUp:      d.finish,
		},
	})
}

// ownServices are the names and tags of this agent's services, which events ask for.
func ownServices(d *Daemon) iter.Seq2[string, []string] {
	return func(yield func(string, []string) bool) {
		for _, s := range d.local.Services() {
			if !yield(s.Service, s.Tags) {
				return
			}
		}
	}
}
