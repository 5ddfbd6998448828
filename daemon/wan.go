package daemon

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"consul.internal/configs"
	"consul.internal/federation"
	"consul.internal/internal/fault"
	"consul.internal/internal/gossip"
	"consul.internal/internal/gossip/roster"
	"consul.internal/rpc"
	"consul.internal/wan"
	"go.uber.org/zap"
)

func wanConfig(s *configs.Settings, nodeID string) wan.Config {
	cfg := wan.DefaultConfig()
	cfg.Identity = lanConfig(s, nodeID).Identity
	cfg.RetryJoin, cfg.RetryInterval, cfg.RetryMax = s.Joining.WAN, s.Joining.IntervalWAN, s.Joining.MaxWAN
	g, local := &cfg.Gossip, lanConfig(s, nodeID).Gossip
	g.Bind = s.Addresses.SerfWAN
	g.Advertise = netip.AddrPortFrom(s.Addresses.AdvertiseWAN, s.Addresses.SerfWAN.Port())
	g.RejoinAfterLeave, g.ReconnectTimeout, g.AllowedCIDRs = s.Gossip.RejoinAfterLeave, s.Gossip.ReconnectWAN, s.Gossip.AllowedWAN
	g.Encryption = local.Encryption
	if dir := s.Paths.DataDir; dir != "" && !s.Dev {
		g.SnapshotPath = filepath.Join(dir, "serf", "remote.snapshot")
		g.Encryption.KeyringFile = filepath.Join(dir, "serf", "remote.keyring")
		cfg.ForgottenPath = filepath.Join(dir, "serf", "forgotten.json")
	}
	pace(&g.Timers, s.Gossip.WAN)
	return cfg
}

// distanceTick is how often the distances to other datacenters are looked at:
// they are learned slowly, and only order who is asked.
const distanceTick = 15 * time.Second

// openWAN joins the pool of all servers, in the background.
func (p *pools) openWAN(ctx context.Context) error {
	d := p.d
	if !d.settings.Server.Enabled || d.settings.Addresses.SerfWAN.Port() == 0 {
		return nil
	}
	deps := wan.Deps{
		Logger: d.log, Lookup: d.opts.Lookup, Expand: configs.SystemHost().Expand,
		Nearby: func() []roster.Server { return p.lan.Load().Servers() },
	}
	if d.opts.Network != nil {
		deps.Network = d.opts.Network
	}
	pool, err := wan.New(wanConfig(d.settings, d.nodeID), deps)
	if err != nil {
		return err
	}
	if err := pool.Open(ctx); err != nil {
		return fmt.Errorf("pool of all servers: %w", err)
	}
	p.wan.Store(pool)
	d.onClose("pool of all servers", pool.Close)
	d.wg.Go(func() { p.followWAN(ctx, pool) })
	return nil
}

func (p *pools) followWAN(ctx context.Context, pool *wan.Pool) {
	tick := time.NewTicker(distanceTick)
	defer tick.Stop()
	for {
		p.charted(pool)
		select {
		case e := <-pool.Events():
			if s, err := roster.ParseServer(e.Member); err == nil && s.Datacenter != p.d.settings.Node.Datacenter {
				p.d.log.Info(wanWords(e.Kind), zap.String("server", e.Member.Name), zap.String("dc", s.Datacenter))
			}
			p.refresh()
		case <-tick.C:
			p.refresh()
		case err := <-pool.GaveUp():
			p.d.finish(fmt.Errorf("joining the other datacenters failed as often as retry_max_wan allows: %w", err))
		case <-ctx.Done():
			return
		}
	}
}

func wanWords(k gossip.Kind) string {
	switch k {
	case gossip.Joined:
		return "Handled event for server in area: member-join"
	case gossip.Updated:
		return "Handled event for server in area: member-update"
	case gossip.Failed:
		return "Handled event for server in area: member-failed"
	case gossip.Left:
		return "Handled event for server in area: member-leave"
	}
	return "Handled event for server in area: member-" + k.String()
}

// charted tells the views which datacenters there are.
func (p *pools) charted(pool *wan.Pool) {
	var names []string
	for _, dc := range pool.Datacenters() {
		names = append(names, dc.Name)
	}
	p.d.views.world.SetDatacenters(names)
}

// abroad are the servers of other datacenters. Those that the pool holds for failed
// are among them: when a line that was cut is back, calls are there before gossip.
func (p *pools) abroad() (out []federation.Server) {
	pool := p.wan.Load()
	if pool == nil {
		return nil
	}
	for _, m := range pool.Members() {
		if sv := m.Server; sv != nil && (m.Status == gossip.StatusAlive || m.Status == gossip.StatusFailed) && sv.Datacenter != p.d.settings.Node.Datacenter {
			out = append(out, federation.Server{
				ID: sv.ID, Name: sv.Name, Addr: sv.Addr.String(), Datacenter: sv.Datacenter, RTT: pool.RTT(m.Name),
				Failed: m.Status == gossip.StatusFailed,
			})
		}
	}
	return out
}

// alone reports whether nobody lives in any other datacenter, as far as is known.
func (p *pools) alone() bool {
	return !slices.ContainsFunc(p.abroad(), func(sv federation.Server) bool { return !sv.Failed })
}

// Datacenters implements server.Pools: the own one first, then the nearest.
func (p *pools) Datacenters() []string {
	pool := p.wan.Load()
	if pool == nil {
		return []string{p.d.settings.Node.Datacenter}
	}
	var names []string
	for _, dc := range pool.Datacenters() {
		names = append(names, dc.Name)
	}
	return names
}

// ForgetDatacenter implements server.Pools.
func (p *pools) ForgetDatacenter(dc string) error {
	pool := p.wan.Load()
	if pool == nil {
		return fault.Newf(fault.Unavailable, "this server is not in the pool of all servers")
	}
	return pool.Forget(dc)
}

// Follow implements server.Abroad.
func (p *pools) Follow(ctx context.Context, dc string, direct bool, c rpc.Conversation) error {
	return p.d.views.world.Serve(ctx, dc, direct, c)
}

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
func (a *atlas) keep(ctx context.Context, p *pools) {
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
func (a *atlas) ask(ctx context.Context, p *pools) error {
	select {
	case a.busy <- struct{}{}:
		defer func() { <-a.busy }()
	case <-ctx.Done():
		return fault.With(fault.Unavailable, context.Cause(ctx))
	}
	if a.fresh() {
		return nil // somebody has just asked
	}
	out, err := rpc.Call(ctx, p.d.router, rpc.CatalogDatacenters, &rpc.DatacentersRequest{})
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
	p.d.views.world.SetDatacenters(known)
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

// known tells whether there is a datacenter. A client asks its servers for one
// that it has not heard of.
func (p *pools) known(ctx context.Context, dc string) (bool, error) {
	if p.d.settings.Server.Enabled {
		return slices.Contains(p.Datacenters(), dc), nil
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

// chart lists the datacenters, the own one first, then the nearest.
func (p *pools) chart() []string {
	if p.d.settings.Server.Enabled {
		return p.Datacenters()
	}
	if names := p.atlas.list(); len(names) > 0 {
		return names
	}
	return append([]string{p.d.settings.Node.Datacenter}, p.d.views.world.Mirrored()...)
}
