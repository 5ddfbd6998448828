package daemon

import (
	"iter"

	"consul.internal/internal/fault"
)

// Fire implements server.Pools: it sends an event to all members of the
// datacenter's pool.
func (p *pools) Fire(name string, payload []byte) error {
	pool := p.lan.Load()
	if pool == nil {
		return fault.Newf(fault.Unavailable, "this agent is starting; try again")
	}
	return pool.UserEvent(name, payload, false)
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
