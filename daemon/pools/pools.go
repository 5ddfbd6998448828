package pools

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"consul.internal/configs"
	"consul.internal/federation"
	"consul.internal/internal/gossip"
	"consul.internal/lan"
	"consul.internal/lan/events"
	"consul.internal/rpc"
	"consul.internal/wan"
	"go.uber.org/zap"
)

// Deps are what the pools are given by the agent that is in them.
type Deps struct {
	Logger  *zap.Logger
	Network gossip.Network // nil = the kernel's
	// Lookup finds a host's addresses; nil = the system's resolver.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// Services are the names and tags of this agent's services, which events ask for.
	Services func() iter.Seq2[string, []string]
	// ClusterID is that of this server's raft cluster, "" as long as there is none.
	ClusterID func() string
	// Caller asks the servers; only a client's pools do.
	Caller rpc.Caller
	// Mirrored are the datacenters of which names are known here.
	Mirrored func() []string
	Tell     Tell
}

// Tell is what an agent wants to be told, from Open on, by several goroutines.
type Tell struct {
	Servers     func([]federation.Server) // that can be called
	Found       func()                    // a server that was not there before
	Datacenters func([]string)            // that there are
	GaveUp      func(error)               // joining has failed for good
}

// Pools is what an agent knows of the others.
type Pools struct {
	cfg     *configs.Settings
	nodeID  string
	deps    Deps
	log     *zap.Logger
	lan     atomic.Pointer[lan.Pool]              // nil until it is open
	servers atomic.Pointer[map[string]lan.Server] // by node ID
	wan     atomic.Pointer[wan.Pool]              // nil on clients, where it is off, and until it is open
	atlas   atlas
	changed chan struct{} // for the leader's duties
	opened  time.Time
	ready   chan struct{} // closed when opened is set and lan is there
	events  *events.Ring  // of users
	cancel  context.CancelFunc
	wg      sync.WaitGroup
}

// New makes what Open opens; it knows nobody.
func New(s *configs.Settings, nodeID string, deps Deps) *Pools {
	p := &Pools{cfg: s, nodeID: nodeID, deps: deps, log: deps.Logger, changed: make(chan struct{}, 1), ready: make(chan struct{}), cancel: func() {}}
	p.events = events.NewRing(s.Node.Name, deps.Services)
	p.atlas.init()
	p.servers.Store(&map[string]lan.Server{})
	return p
}

// Open joins the pools, in the background.
func (p *Pools) Open(ctx context.Context) (err error) {
	ctx, p.cancel = context.WithCancel(ctx)
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	pool, err := lan.New(lanConfig(p.cfg, p.nodeID), lan.Deps{
		Logger: p.log, Network: p.deps.Network, Lookup: p.deps.Lookup, Expand: configs.SystemHost().Expand,
	})
	if err != nil {
		return err
	}
	if err := pool.Open(ctx); err != nil {
		return err
	}
	p.opened = time.Now()
	p.lan.Store(pool)
	close(p.ready)
	if err := p.openWAN(ctx); err != nil {
		return err
	}
	p.refresh()
	p.wg.Go(func() { p.follow(ctx, pool) })
	if p.cfg.Server.Enabled {
		p.wg.Go(func() { p.tell(ctx, pool) })
	} else {
		p.wg.Go(func() { p.atlas.keep(ctx, p) })
	}
	return nil
}

// Close closes the pools without a word to the others.
func (p *Pools) Close() error {
	var errs []error
	if w := p.wan.Load(); w != nil {
		if err := w.Close(); err != nil {
			errs = append(errs, fmt.Errorf("pool of all servers: %w", err))
		}
	}
	if pool := p.lan.Load(); pool != nil {
		if err := pool.Close(); err != nil {
			errs = append(errs, fmt.Errorf("pool of the datacenter: %w", err))
		}
	}
	p.cancel()
	p.wg.Wait()
	return errors.Join(errs...)
}

// LAN is the pool of the datacenter, nil until it is open.
func (p *Pools) LAN() *lan.Pool { return p.lan.Load() }

// WAN is the pool of all servers: nil on clients, where it is off, and until it is open.
func (p *Pools) WAN() *wan.Pool { return p.wan.Load() }

// Events are those of users that came to this agent.
func (p *Pools) Events() *events.Ring { return p.events }

// tell lets the other servers know to which raft cluster this one belongs, once
// its own state knows.
func (p *Pools) tell(ctx context.Context, pool *lan.Pool) {
	tick := time.NewTicker(clusterTick)
	defer tick.Stop()
	for ctx.Err() == nil {
		if id := p.deps.ClusterID(); id != "" {
			if err := pool.SetCluster(id); err != nil {
				p.log.Warn("the pool cannot be told of the raft cluster", zap.Error(err))
			}
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// clusterTick is how often it is looked whether there is a raft cluster: servers
// that come later should not try to found another.
const clusterTick = 250 * time.Millisecond

// follow takes the pool's news until ctx ends.
func (p *Pools) follow(ctx context.Context, pool *lan.Pool) {
	for {
		select {
		case e := <-pool.Events():
			if e.Kind == gossip.User {
				p.events.Take(e.User.Name, e.User.Payload, e.User.LTime)
				continue
			}
			p.refresh()
		case err := <-pool.GaveUp():
			p.deps.Tell.GaveUp(fmt.Errorf("joining the cluster failed as often as retry_max allows: %w", err))
		case <-ctx.Done():
			return
		}
	}
}

// refresh tells the parts who is there now.
func (p *Pools) refresh() {
	now := map[string]lan.Server{}
	var route []federation.Server
	for _, sv := range p.lan.Load().Servers() {
		if sv.Status == gossip.StatusAlive {
			route = append(route, federation.Server{ID: sv.ID, Name: sv.Name, Addr: sv.Addr.String(), Datacenter: sv.Datacenter})
		}
		now[sv.ID] = sv
	}
	before := *p.servers.Swap(&now)
	p.deps.Tell.Servers(append(route, p.abroad()...))
	if w := p.wan.Load(); w != nil {
		w.Nudge()
	}
	found := false
	for id, sv := range now {
		old, known := before[id]
		if sv.Status == gossip.StatusAlive && (!known || old.Status != sv.Status || old.Addr != sv.Addr) {
			p.log.Info(p.serverWords("Adding LAN server", "adding server"), zap.String("server", describe(sv)))
			found = true
		}
	}
	for id, sv := range before {
		if now, known := now[id]; (!known || now.Status != gossip.StatusAlive) && sv.Status == gossip.StatusAlive {
			p.log.Info(p.serverWords("Removing LAN server", "removing server"), zap.String("server", describe(sv)))
		}
	}
	if found {
		p.deps.Tell.Found()
	}
	select {
	case p.changed <- struct{}{}:
	default: // it lies there already
	}
}

// serverWords picks the text that people grep for on servers, or on clients.
func (p *Pools) serverWords(server, client string) string {
	if p.cfg.Server.Enabled {
		return server
	}
	return client
}

func describe(sv lan.Server) string {
	return fmt.Sprintf("%s (Addr: tcp/%s) (DC: %s)", sv.Name, sv.Addr, sv.Datacenter)
}

// Size is how many members the pool of the datacenter has.
func (p *Pools) Size() int { return len(p.members()) }

func (p *Pools) members() []lan.Member {
	if pool := p.lan.Load(); pool != nil {
		return pool.Members()
	}
	return nil
}

// Others counts the living members besides this agent.
func (p *Pools) Others() int {
	n := 0
	for _, m := range p.members() {
		if m.ID != p.nodeID && m.Status == gossip.StatusAlive {
			n++
		}
	}
	return n
}

// Alone reports that nobody else lives, here or in any other datacenter, as far as
// is known.
func (p *Pools) Alone() bool {
	return p.Others() == 0 && !slices.ContainsFunc(p.abroad(), func(sv federation.Server) bool { return !sv.Failed })
}
