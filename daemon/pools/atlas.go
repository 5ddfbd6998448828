package pools

import (
	"context"
	"slices"
	"sync"
	"time"

	"consul.internal/internal/fault"
	"consul.internal/rpc"
)

// atlas is a client's knowledge of which datacenters there are: what its servers
// say, since it is not in the pool of all servers.
type atlas struct {
	mu    sync.Mutex
	names []string             // nearest first, as last told
	seen  map[string]time.Time // when a server last told of it
	asked time.Time            // when a server last told
	busy  chan struct{}        // of one place: who holds it asks
}

const (
	// atlasEvery is how often a client asks for the datacenters.
	atlasEvery = 30 * time.Second
	// atlasSoon is how soon it asks again when it is still without servers.
	atlasSoon = time.Second
	// atlasFresh is how long a list tells that a datacenter does not exist. Who asks
	// for nonsense costs the servers one call in that time.
	atlasFresh = time.Second
	// atlasPatience is how long a name waits for servers to tell whether its datacenter
	// exists: what a question about another datacenter may take is 500 ms, a busy
	// machine included.
	atlasPatience = 450 * time.Millisecond
	// atlasMemory is how long a datacenter counts as known that no server tells of: a
	// server that has just started has not found the others yet.
	atlasMemory = 2 * time.Minute
)

func (a *atlas) init() {
	a.seen, a.busy = map[string]time.Time{}, make(chan struct{}, 1)
}

// keep asks for the datacenters now and then, until ctx ends.
func (a *atlas) keep(ctx context.Context, p *Pools) {
	for ctx.Err() == nil {
		wait := atlasEvery
		if a.ask(ctx, p) != nil {
			wait = atlasSoon
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
	}
}

// ask asks a server; only one at a time does.
func (a *atlas) ask(ctx context.Context, p *Pools) error {
	select {
	case a.busy <- struct{}{}:
		defer func() { <-a.busy }()
	case <-ctx.Done():
		return fault.With(fault.Unavailable, context.Cause(ctx))
	}
	if a.fresh() {
		return nil // somebody has just asked
	}
	out, err := rpc.Call(ctx, p.deps.Caller, rpc.CatalogDatacenters, &rpc.DatacentersRequest{})
	if err != nil {
		return err
	}
	now := time.Now()
	a.mu.Lock()
	a.names, a.asked = out.Datacenters, now
	for _, dc := range out.Datacenters {
		a.seen[dc] = now
	}
	for dc, at := range a.seen {
		if now.Sub(at) > atlasMemory {
			delete(a.seen, dc)
		}
	}
	known := make([]string, 0, len(a.seen))
	for dc := range a.seen {
		known = append(known, dc)
	}
	a.mu.Unlock()
	p.deps.Tell.Datacenters(known)
	return nil
}

func (a *atlas) fresh() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.asked.IsZero() && time.Since(a.asked) < atlasFresh
}

func (a *atlas) has(dc string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, ok := a.seen[dc]
	return ok
}

func (a *atlas) list() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.names)
}

// Known tells whether there is a datacenter. A client asks its servers for one
// that it has not heard of.
func (p *Pools) Known(ctx context.Context, dc string) (bool, error) {
	if p.cfg.Server.Enabled {
		return slices.Contains(p.datacenters(), dc), nil
	}
	if p.atlas.has(dc) {
		return true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, atlasPatience)
	defer cancel()
	if err := p.atlas.ask(ctx, p); err != nil {
		return false, err
	}
	return p.atlas.has(dc), nil
}

// Chart lists the datacenters, the own one first, then the nearest.
func (p *Pools) Chart() []string {
	if p.cfg.Server.Enabled {
		return p.datacenters()
	}
	if names := p.atlas.list(); len(names) > 0 {
		return names
	}
	return append([]string{p.cfg.Node.Datacenter}, p.deps.Mirrored()...)
}

// datacenters are those of the pool of all servers.
func (p *Pools) datacenters() []string {
	pool := p.wan.Load()
	if pool == nil {
		return []string{p.cfg.Node.Datacenter}
	}
	var names []string
	for _, dc := range pool.Datacenters() {
		names = append(names, dc.Name)
	}
	return names
}
