package daemon

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"consul.internal/configs"
	"consul.internal/federation"
	"consul.internal/httpapi"
	"consul.internal/internal/fault"
	"consul.internal/internal/gossip"
	"consul.internal/internal/version"
	"consul.internal/lan"
	"consul.internal/lan/events"
	"consul.internal/rpc"
	"consul.internal/server/leader"
	"consul.internal/store"
	"consul.internal/wan"
	"go.uber.org/zap"
)

// pools is what this agent knows of the others, in the forms that the parts want.
type pools struct {
	d       *Daemon
	lan     atomic.Pointer[lan.Pool]              // nil until it is open
	servers atomic.Pointer[map[string]lan.Server] // by node ID
	wan     atomic.Pointer[wan.Pool]              // nil on clients, where it is off, and until it is open
	atlas   atlas
	changed chan struct{} // for the leader's duties
	opened  time.Time
	ready   chan struct{} // closed when opened is set and lan is there
	events  *events.Ring  // of users
}

func lanConfig(s *configs.Settings, nodeID string) lan.Config {
	cfg := lan.DefaultConfig()
	cfg.Identity = lan.Identity{
		Name: s.Node.Name, ID: nodeID, Datacenter: s.Node.Datacenter, Build: version.Build(),
		Server: s.Server.Enabled, ServerPort: s.Ports.Server, Bootstrap: s.Server.Bootstrap, Expect: s.Server.BootstrapExpect,
		ReadReplica: s.Server.ReadReplica,
	}
	if s.Server.Enabled {
		cfg.Identity.Level = store.CommandLevel
		cfg.Identity.WANPort = int(s.Addresses.SerfWAN.Port())
		if at := s.Addresses.SerfWAN.Addr(); !at.IsUnspecified() && at != s.Addresses.AdvertiseLAN {
			cfg.Identity.WANAddr = at
		}
	}
	cfg.RetryJoin, cfg.RetryInterval, cfg.RetryMax = s.Joining.LAN, s.Joining.Interval, s.Joining.Max
	g := &cfg.Gossip
	g.Bind = s.Addresses.SerfLAN
	g.Advertise = netip.AddrPortFrom(s.Addresses.AdvertiseLAN, s.Addresses.SerfLAN.Port())
	g.RejoinAfterLeave, g.ReconnectTimeout, g.AllowedCIDRs = s.Gossip.RejoinAfterLeave, s.Gossip.ReconnectTimeout, s.Gossip.AllowedCIDRs
	g.Encryption = gossip.Encryption{
		InMemory: s.Gossip.NoKeyringFile, VerifyIncoming: s.Gossip.VerifyIncoming, VerifyOutgoing: s.Gossip.VerifyOutgoing,
	}
	if s.Gossip.Key != "" {
		g.Encryption.Keys = []string{s.Gossip.Key}
	}
	if dir := s.Paths.DataDir; dir != "" && !s.Dev {
		g.SnapshotPath = filepath.Join(dir, "serf", "local.snapshot")
		g.Encryption.KeyringFile = filepath.Join(dir, "serf", "local.keyring")
	}
	pace(&g.Timers, s.Gossip.LAN)
	return cfg
}

// pace lays what the configuration says over a pool's own timers.
func pace(t *gossip.Timers, s configs.GossipTiming) {
	for _, one := range []struct {
		to   *time.Duration
		from time.Duration
	}{{&t.GossipInterval, s.GossipInterval}, {&t.ProbeInterval, s.ProbeInterval}, {&t.ProbeTimeout, s.ProbeTimeout}} {
		if one.from > 0 {
			*one.to = one.from
		}
	}
	for _, one := range []struct {
		to   *int
		from int
	}{{&t.GossipNodes, s.GossipNodes}, {&t.SuspicionMult, s.SuspicionMult}, {&t.RetransmitMult, s.RetransmitMult}} {
		if one.from > 0 {
			*one.to = one.from
		}
	}
}

// newPools makes what later opens; it knows nobody.
func newPools(d *Daemon) *pools {
	p := &pools{d: d, changed: make(chan struct{}, 1), ready: make(chan struct{})}
	p.events = events.NewRing(d.settings.Node.Name, func() iter.Seq2[string, []string] { return ownServices(d) })
	p.atlas.init()
	p.servers.Store(&map[string]lan.Server{})
	return p
}

// open joins the pool of the datacenter, in the background.
func (p *pools) open(ctx context.Context) error {
	d := p.d
	deps := lan.Deps{Logger: d.log, Lookup: d.opts.Lookup, Expand: configs.SystemHost().Expand}
	if d.opts.Network != nil {
		deps.Network = d.opts.Network
	}
	pool, err := lan.New(lanConfig(d.settings, d.nodeID), deps)
	if err != nil {
		return err
	}
	if err := pool.Open(ctx); err != nil {
		return err
	}
	p.opened = time.Now()
	p.lan.Store(pool)
	close(p.ready)
	d.onClose("pool of the datacenter", pool.Close)
	if err := p.openWAN(ctx); err != nil {
		return err
	}
	p.refresh()
	d.wg.Go(func() { p.follow(ctx, pool) })
	if d.store != nil {
		d.wg.Go(func() { p.tell(ctx, pool) })
	} else {
		d.wg.Go(func() { p.atlas.keep(ctx, p) })
	}
	return nil
}

// tell lets the other servers know to which raft cluster this one belongs, once
// its own state knows.
func (p *pools) tell(ctx context.Context, pool *lan.Pool) {
	tick := time.NewTicker(clusterTick)
	defer tick.Stop()
	for ctx.Err() == nil {
		if id := p.d.store.ClusterID(); id != "" {
			if err := pool.SetCluster(id); err != nil {
				p.d.log.Warn("the pool cannot be told of the raft cluster", zap.Error(err))
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
func (p *pools) follow(ctx context.Context, pool *lan.Pool) {
	for {
		select {
		case e := <-pool.Events():
			if e.Kind == gossip.User {
				p.events.Take(e.User.Name, e.User.Payload, e.User.LTime)
				continue
			}
			p.refresh()
		case err := <-pool.GaveUp():
			p.d.finish(fmt.Errorf("joining the cluster failed as often as retry_max allows: %w", err))
		case <-ctx.Done():
			return
		}
	}
}

// refresh tells the parts who is there now.
func (p *pools) refresh() {
	d := p.d
	now := map[string]lan.Server{}
	var route []federation.Server
	for _, sv := range p.lan.Load().Servers() {
		if sv.Status == gossip.StatusAlive {
			route = append(route, federation.Server{ID: sv.ID, Name: sv.Name, Addr: sv.Addr.String(), Datacenter: sv.Datacenter})
		}
		now[sv.ID] = sv
	}
	before := *p.servers.Swap(&now)
	d.router.SetServers(append(route, p.abroad()...))
	if w := p.wan.Load(); w != nil {
		w.Nudge()
	}
	found := false
	for id, sv := range now {
		old, known := before[id]
		if sv.Status == gossip.StatusAlive && (!known || old.Status != sv.Status || old.Addr != sv.Addr) {
			d.log.Info(p.serverWords("Adding LAN server", "adding server"), zap.String("server", describe(sv)))
			found = true
		}
	}
	for id, sv := range before {
		if now, known := now[id]; (!known || now.Status != gossip.StatusAlive) && sv.Status == gossip.StatusAlive {
			d.log.Info(p.serverWords("Removing LAN server", "removing server"), zap.String("server", describe(sv)))
		}
	}
	if found && d.local != nil {
		d.local.SyncNow()
	}
	select {
	case p.changed <- struct{}{}:
	default: // it lies there already
	}
}

// serverWords picks the text that people grep for on servers, or on clients.
func (p *pools) serverWords(server, client string) string {
	if p.d.settings.Server.Enabled {
		return server
	}
	return client
}

func describe(sv lan.Server) string {
	return fmt.Sprintf("%s (Addr: tcp/%s) (DC: %s)", sv.Name, sv.Addr, sv.Datacenter)
}

func (p *pools) members() []lan.Member {
	if pool := p.lan.Load(); pool != nil {
		return pool.Members()
	}
	return nil
}

// address is where a server is now, for raft.
func (p *pools) address(id string) (string, bool) {
	sv, ok := (*p.servers.Load())[id]
	if !ok {
		return "", false
	}
	return sv.Addr.String(), true
}

// candidates are the servers as the store judges them.
func (p *pools) candidates() []store.Candidate {
	servers := *p.servers.Load()
	out := make([]store.Candidate, 0, len(servers))
	for _, sv := range servers {
		out = append(out, store.Candidate{
			ID: sv.ID, Name: sv.Name, Address: sv.Addr.String(), Expect: sv.Expect, Version: sv.Build, Status: sv.Status.String(), ClusterID: sv.Cluster, NonVoter: sv.NonVoter,
			Level: uint16(min(max(sv.Level, 0), math.MaxUint16)),
		})
	}
	return out
}

// forLeader are the members as the leader's duties take them.
func (p *pools) forLeader() []leader.Member {
	members := p.members()
	out := make([]leader.Member, 0, len(members))
	for _, m := range members {
		lm := leader.Member{ID: m.ID, Name: m.Name, Address: m.Addr.String()}
		switch m.Status {
		case gossip.StatusAlive:
			lm.Status = leader.Alive
		case gossip.StatusFailed:
			lm.Status = leader.Failed
		case gossip.StatusLeaving:
			lm.Status = leader.Leaving
		default:
			lm.Status = leader.Left
		}
		if sv := m.Server; sv != nil {
			lm.Server = &leader.ServerInfo{Port: int(sv.Addr.Port()), NonVoter: sv.NonVoter, Version: versionOf(sv.Build), Cluster: sv.Cluster}
		}
		out = append(out, lm)
	}
	return out
}

// versionOf cuts the revision from a member's build.
func versionOf(build string) string {
	for i := range len(build) {
		if build[i] == ':' {
			return build[:i]
		}
	}
	return build
}

// probeTime bounds the leader's own look at a member that the pool reports as
// failed: one lost packet is answered by the next, and a dead machine costs no
// more than this until its services are out of every answer.
const probeTime = 500 * time.Millisecond

// reachable probes a member directly. Where its machine lives and says that
// nobody listens any more, there is nothing to wait for.
func (p *pools) reachable(ctx context.Context, m leader.Member) bool {
	pool := p.lan.Load()
	if pool == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	at := ""
	for _, known := range pool.Members() {
		if known.Name == m.Name {
			at = known.AddrPort().String()
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		c, err := p.dial(ctx, at)
		switch {
		case err == nil:
			_ = c.Close() // that it was taken was all
		case errors.Is(err, syscall.ECONNREFUSED):
			cancel()
		}
	})
	_, err := pool.Ping(ctx, m.Name)
	cancel()
	wg.Wait()
	return err == nil
}

func (p *pools) dial(ctx context.Context, addr string) (net.Conn, error) {
	if n := p.d.opts.Network; n != nil {
		return n.Dial(ctx, addr)
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}

// others counts the living members besides this agent.
func (p *pools) others() int {
	n := 0
	for _, m := range p.members() {
		if m.ID != p.d.nodeID && m.Status == gossip.StatusAlive {
			n++
		}
	}
	return n
}

// Keyring implements server.Pools.
func (p *pools) Keyring(ctx context.Context, in *rpc.KeyringRequest) []rpc.KeyringPool {
	op := map[rpc.KeyringOp]gossip.KeyOp{
		rpc.KeyringList: gossip.ListKeys, rpc.KeyringInstall: gossip.InstallKey, rpc.KeyringUse: gossip.UseKey, rpc.KeyringRemove: gossip.RemoveKey,
	}[in.Op]
	var out []rpc.KeyringPool
	ask := func(pool keyed, isWAN bool) {
		one := rpc.KeyringPool{Datacenter: p.d.settings.Node.Datacenter, WAN: isWAN}
		res, err := pool.Keyring(ctx, op, in.Key, in.RelayFactor)
		one.Keys, one.PrimaryKeys, one.Messages, one.NumNodes = res.Keys, res.PrimaryKeys, res.Messages, res.NumNodes
		if err != nil {
			one.Error = err.Error()
		}
		out = append(out, one)
	}
	if w := p.wan.Load(); w != nil && !in.LocalOnly {
		ask(w, true)
	}
	if pool := p.lan.Load(); pool != nil {
		ask(pool, false)
	}
	return out
}

// keyed is a pool that may have gossip keys.
type keyed interface {
	Keyring(ctx context.Context, op gossip.KeyOp, key string, relay uint8) (gossip.KeyResult, error)
}

// ForceLeave implements server.Pools.
func (p *pools) ForceLeave(_ context.Context, in *rpc.ForceLeaveRequest) error {
	pool, w := p.lan.Load(), p.wan.Load()
	if pool == nil || in.WAN && w == nil {
		return fault.Newf(fault.Unavailable, "this agent has no such gossip pool yet")
	}
	known := func(members []lan.Member, name string) bool {
		return slices.ContainsFunc(members, func(m lan.Member) bool { return m.Name == name })
	}
	found := false
	// A server that is gone is gone from both pools, unless only one is meant.
	if !in.WAN && known(pool.Members(), in.Node) {
		found = true
		if err := pool.ForceLeave(in.Node, in.Prune); err != nil {
			return err
		}
	}
	if w != nil {
		for _, name := range []string{in.Node, in.Node + "." + p.d.settings.Node.Datacenter} {
			if known(w.Members(), name) {
				return w.ForceLeave(name, in.Prune)
			}
		}
	}
	if !found {
		return fault.Newf(fault.NotFound, "agent: No node found with name '%s'", in.Node)
	}
	return nil
}

// forget takes a server out of the pool that autopilot has removed from raft.
func (p *pools) forget(c store.Candidate) {
	if pool := p.lan.Load(); pool != nil {
		if err := pool.ForceLeave(c.Name, false); err != nil {
			p.d.log.Warn("a dead server cannot be taken out of the pool", zap.String("server", c.Name), zap.Error(err))
		}
	}
}

// shown is a member as the HTTP API has it.
func shown(m gossip.Member) httpapi.Member {
	return httpapi.Member{
		Name: m.Name, Addr: m.Addr.String(), Port: m.Port, Tags: m.Tags, Status: int(m.Status),
		ProtocolMin: m.ProtocolMin, ProtocolMax: m.ProtocolMax, ProtocolCur: m.ProtocolCur,
		DelegateMin: m.DelegateMin, DelegateMax: m.DelegateMax, DelegateCur: m.DelegateCur,
	}
}

// serfStats are the pool's figures.
func (p *pools) serfStats() map[string]string {
	if pool := p.lan.Load(); pool != nil {
		return pool.Stats()
	}
	return map[string]string{"members": strconv.Itoa(0)}
}
