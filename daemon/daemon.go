package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"consul.internal/agent"
	"consul.internal/agent/tokens"
	"consul.internal/catalog"
	"consul.internal/configs"
	"consul.internal/daemon/pools"
	"consul.internal/dnsserver"
	"consul.internal/dnsserver/transfer"
	"consul.internal/federation"
	"consul.internal/httpapi"
	"consul.internal/httpapi/edge"
	"consul.internal/internal/metrics"
	"consul.internal/internal/tlsx"
	"consul.internal/internal/version"
	"consul.internal/rpc"
	"consul.internal/rpc/wire"
	"consul.internal/server"
	"consul.internal/server/leader"
	"consul.internal/store"
	"consul.internal/store/transport"
	"go.uber.org/zap"
)

// Options are what a process gives to its daemon.
type Options struct {
	Logger *zap.Logger
	// Reload is asked for over HTTP: it reads the configuration and calls Daemon.Reload.
	Reload func(context.Context) error
	// Metrics is where everything is counted; nil makes one out of the settings.
	Metrics *metrics.Registry
	// Monitor lets the API follow the log; nil is without.
	Monitor httpapi.Monitor
	// Network carries gossip, raft and calls; nil is that of the machine.
	Network Network
	// Lookup finds the addresses of a host to join; nil = the system's resolver.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
}

// Info is what is known of an agent before it is open.
type Info struct{ NodeID string }

// Daemon is one agent: a server or a client.
type Daemon struct {
	opts   Options
	log    *zap.Logger
	nodeID string

	settings *configs.Settings // of the start; they say who the agent is
	mu       sync.Mutex        // guards latest, and orders reloads
	latest   *configs.Settings // of the last reload

	access
	mux    *wire.Mux
	router *federation.Router
	pools  *pools.Pools
	views  views
	store  *store.Store   // nil on a client
	srv    *server.Server // nil on a client
	caller rpc.Caller     // counts, and asks the router
	local  *agent.Local
	dns    *dnsserver.Server // nil if its port is off
	// transfers give the zone to other name servers; nil on a client, which does not have it whole.
	transfers *transfer.Server
	http      *httpapi.Server // nil if its port is off
	watch     watches

	ending
}

// access is what tells who is let in.
type access struct {
	tls    *tlsx.Settings
	tokens *tokens.Store // that this agent has for itself
	guard  edge.Guard    // nil = there is no access control
	doors
}

const (
	// httpDrain is how long requests in flight may still take when the HTTP door closes.
	httpDrain = 5 * time.Second
	// leaveGrace lets the answer to a leave that came over HTTP arrive before a
	// door closes: longer than a round trip, shorter than anybody notices.
	leaveGrace = 200 * time.Millisecond
)

// New takes settings that configs found good. Open starts the agent.
func New(settings *configs.Settings, opts Options) (*Daemon, error) {
	if opts.Logger == nil {
		return nil, errors.New("daemon: a logger is needed")
	}
	if opts.Metrics == nil {
		opts.Metrics = metrics.New(MetricsConfig(settings))
	}
	d := &Daemon{
		opts: opts, log: opts.Logger, settings: settings, latest: settings,
		ending: ending{done: make(chan struct{}), left: make(chan struct{}), cancel: func() {}},
	}
	err := checkPresence(settings, time.Now())
	if err != nil {
		return nil, err
	}
	if d.nodeID, err = nodeID(settings); err != nil {
		return nil, fmt.Errorf("failed to setup node ID: %w", err)
	}
	if d.tls, err = tlsx.New(tlsConfig(settings)); err != nil {
		return nil, err
	}
	if d.tokens, err = tokens.New(agentTokens(settings.ACL.Enabled, settings), settings.Paths.DataDir, settings.ACL.Enabled && settings.ACL.TokenPersistence, opts.Logger); err != nil {
		return nil, err
	}
	for _, w := range d.tls.Warnings() {
		d.log.Warn(w)
	}
	if len(settings.Addresses.HTTPS) > 0 && !d.tls.HTTPS.Incoming() {
		return nil, errors.New("ports.https is open but there is no certificate for it: set cert_file and key_file in tls.https or tls.defaults")
	}
	if len(settings.Addresses.DNSTLS) > 0 && !d.tls.HTTPS.Incoming() {
		return nil, errors.New("ports.dns_tls is open but there is no certificate for it: set cert_file and key_file in tls.https or tls.defaults")
	}
	d.doors = newDoors(d)
	d.pools = newPools(d)
	return d, nil
}

// Info tells who this agent is.
func (d *Daemon) Info() Info { return Info{NodeID: d.nodeID} }

// Done is closed when the process should end: after a leave, or when the store
// cannot go on (Err tells).
func (d *Daemon) Done() <-chan struct{} { return d.done }

// Err is why the daemon ended, nil after a leave. It counts once Done is closed.
func (d *Daemon) Err() error { return d.err }

// Open starts every part, the doors last, and returns when they are open. On an
// error everything that was opened is closed again.
func (d *Daemon) Open(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	d.cancel = cancel
	if err := d.openMux(life); err != nil {
		return err
	}
	if d.settings.Server.Enabled {
		err = d.openServer(ctx, life)
	} else {
		err = d.openClient(life)
	}
	if err != nil {
		return err
	}
	if err := d.pools.Open(life); err != nil {
		return err
	}
	d.onClose("pools", d.pools.Close)
	if err := d.local.Open(life); err != nil {
		return err
	}
	d.onClose("agent", d.local.Close)
	if !d.settings.Gossip.NoCoordinates {
		d.wg.Go(func() { placing{d}.send(life) })
	}
	d.wg.Go(func() { notePresence(life, presencePath(d.settings), d.log) })
	if !d.settings.Server.Enabled {
		err = d.openDNS(life)
	}
	if err != nil {
		return err
	}
	if d.dns != nil {
		d.onClose("DNS door", d.dns.Close) // after the agent and before the store, also where it was opened before both
	}
	if err := d.openHTTP(life); err != nil {
		return err
	}
	if err := d.openTelemetry(ctx, life); err != nil {
		return err
	}
	return d.watch.open(life, d)
}

// openServer opens the store and all that works on it.
func (d *Daemon) openServer(ctx, life context.Context) error {
	s, log := d.settings, d.log.Named("server")
	layer := raftLayer{d.mux.Raft(), netip.AddrPortFrom(s.Addresses.AdvertiseLAN, uint16(s.Ports.Server))}
	cluster := d.pools.Cluster()
	var err error
	d.store, err = store.New(storeConfig(s, d.nodeID), store.Deps{
		Logger: log, Transport: transport.New(layer, log), Feed: func(b catalog.Batch) { feed(d, b) },
		Address: func(id store.ServerID) (string, bool) { return cluster.Address(string(id)) },
		Pool:    cluster.Candidates, Peers: peers{d}, Forget: cluster.Forget, Metrics: d.opts.Metrics,
		Demote: func(ctx context.Context, in *rpc.RaftDemoteRequest) (*rpc.RaftDemoteReply, error) {
			return rpc.Call(ctx, d.router, rpc.RaftDemote, in)
		},
	})
	if err != nil {
		return err
	}
	d.views.serve(d)
	if err := newTransfers(d); err != nil {
		return err
	}
	d.onClose("store", d.store.Close)
	leases := &leader.Leases{Store: d.store, Log: log, Metrics: d.opts.Metrics}
	d.opts.Metrics.OnCollect(func() { d.opts.Metrics.Gauge(metrics.SessionActive).Set(float64(leases.Active())) })
	cfg := serverConfig(s)
	cfg.ACL.TakeReset = func() uint64 { return takeReset(d) }
	cfg.ACL.ReplicationToken = func() string { return d.tokens.Get(tokens.Replication) }
	primary, err := primaryTokens(d)
	if err != nil {
		return err
	}
	d.srv = server.New(cfg, server.Deps{
		Leases: leases,
		Store:  d.store, Feed: d.views.feed, Pools: d.pools.Operations(), Abroad: abroad{d.pools.Operations(), &d.views}, Log: log, Remote: elsewhere{d}, Names: names{d}, Primary: primary,
	})
	if err := d.newRouter(life, newPerforming(d.srv, d.opts.Metrics, d.store.IsLeader)); err != nil {
		return err
	}
	if err := d.views.beyond(life, d); err != nil {
		return err
	}
	if err := d.newLocal(life); err != nil {
		return err
	}
	d.store.RunLeader(func(ctx context.Context) {
		opened, ok := cluster.Opened(ctx)
		if !ok {
			return
		}
		pool := d.pools.LAN()
		r := &leader.Reconciler{
			Caller: d.srv.Own(), Self: d.nodeID, Cluster: d.store.Members(), ClusterID: d.store.ClusterID, Members: cluster.Members, Changed: cluster.Changed(),
			Reachable: cluster.Reachable, Doubts: pool.Doubts(), Silent: pool.Silent, Opened: opened, Forget: s.Gossip.ReconnectTimeout, Log: log,
		}
		r.Run(ctx)
	})
	d.store.RunLeader(d.store.Autopilot().Run)
	tidier := &leader.Tidier{Store: d.store, Log: log}
	d.store.RunLeader(leases.Run)
	d.store.RunLeader(tidier.Delays)
	d.store.RunLeader(tidier.Tombstones)
	d.store.RunLeader(d.srv.WriteCoordinates)
	d.store.RunLeader(d.srv.BootstrapConfig)
	d.store.RunLeader(d.srv.ReplicateConfig)
	d.store.RunLeader(d.srv.BootstrapACL)
	d.store.RunLeader(d.srv.ReapTokens)
	d.store.RunLeader(d.srv.ReplicateACL)
	d.store.RunLeader(func(context.Context) { d.local.SyncNow() })
	// Names are answered as soon as the first of them have been read: see state.Foretell.
	if err := d.openDNS(life); err != nil {
		return err
	}
	if d.dns != nil {
		d.onClose("DNS door", d.dns.Close)
	}
	if err := d.openStore(ctx, life); err != nil {
		return err
	}
	return d.serveCalls(life)
}

// openClient opens the way to the servers and the names that were learned before.
func (d *Daemon) openClient(life context.Context) error {
	if err := d.newRouter(life, nil); err != nil {
		return err
	}
	if err := d.views.mirror(life, d); err != nil {
		return err
	}
	return d.newLocal(life)
}

// newLocal makes the agent's own part, and the way of all edges to the servers.
func (d *Daemon) newLocal(ctx context.Context) (err error) {
	way := d.doors.way(d.router, d.settings.Server.Enabled)
	if d.views.names != nil {
		way = remembered{way, d.views.names, d.settings.Node.Datacenter, d.settings.Queries.DefaultTime, d.settings.Queries.MaxTime, func(token string) bool {
			// What is followed for DNS is what DNS's token may see.
			return !d.settings.ACL.Enabled || token == d.tokens.DNS()
		}}
	}
	d.caller = newAsking(way, d.opts.Metrics, d.settings.Server.Enabled, d.settings.Node.Datacenter)
	if err := d.views.prepare(ctx, d); err != nil {
		return err
	}
	d.publish()
	d.local, err = agent.New(agentConfig(d.settings, d.nodeID), agent.Deps{Caller: d.caller, Logger: d.log, Tokens: d.tokens, CheckTLS: checkTLS(d)})
	if err != nil {
		return err
	}
	d.tokens.Changed(func() { dnsTokenChanged(d) })
	return newGuard(d)
}

// openStore opens the store. What the replay gives is answered from then on; a
// name that it did not give is NXDOMAIN only once all is known, SERVFAIL until then.
func (d *Daemon) openStore(ctx, life context.Context) error {
	if err := d.store.Open(ctx); err != nil {
		return err
	}
	d.wg.Go(func() {
		select {
		case err := <-d.store.Failed():
			d.finish(err)
		case <-life.Done():
		}
	})
	d.wg.Go(func() {
		if err := d.store.Ready(life); err == nil {
			d.views.dir.SetReady()
		}
	})
	return nil
}

func (d *Daemon) openDNS(ctx context.Context) error {
	cfg, ok := dnsConfig(d.settings)
	if !ok {
		return nil
	}
	near := newNearby(d.caller, placing{d}.now, d.tokens.DNS)
	d.wg.Go(func() { near.learn(ctx) })
	var err error
	d.dns, err = dnsserver.New(cfg, dnsserver.Deps{
		Source: d.views.source, Logger: d.log.Named("dns"),
		Metrics: d.opts.Metrics, Execute: d.views.queries.Execute, Datacenters: d.pools.Chart, Near: near.distances,
		Services: newServiceNames(d.caller, d.tokens.DNS).list, TLS: d.tls.HTTPS.Server("dot"), Transfer: d.transfers,
		Identity: d.settings.Node.Name, Version: "consul " + version.Human(),
	})
	if err != nil {
		return err
	}
	if err := d.dns.Open(ctx); err != nil {
		return err
	}
	for _, a := range dnsserver.TLSAddrs(d.dns) {
		d.log.Info("Started DNS server", zap.Stringer("address", a), zap.String("network", "tls"))
	}
	for _, a := range d.dns.Addrs() {
		d.log.Info("Started DNS server", zap.Stringer("address", a), zap.String("network", "tcp and udp"))
	}
	return nil
}

func (d *Daemon) httpDeps() httpapi.Deps {
	deps := httpapi.Deps{
		Caller: d.caller, Local: d.local, Process: process{d}, Pool: d.pools.Shown(), Snapshots: snapshots{d}, Events: d.pools.Events(), Log: d.log.Named("http"),
		Guard: d.guard, Tokens: d.tokens, Audit: d.audit, Metrics: d.opts.Metrics, Monitor: d.opts.Monitor, TLS: d.tls.HTTPS.Server("h2", "http/1.1"),
	}
	if d.dns != nil { // else the interface would hold a server that is none
		deps.DNS = dnsserver.NewDirect(d.dns)
	}
	return deps
}

func (d *Daemon) openHTTP(ctx context.Context) error {
	cfg, ok := httpConfig(d.settings)
	if !ok {
		return nil
	}
	err := openAudit(d)
	if err != nil {
		return err
	}
	d.http, err = httpapi.New(cfg, d.httpDeps())
	if err != nil {
		return err
	}
	if err := d.http.Open(ctx); err != nil {
		return err
	}
	d.onClose("HTTP door", func() error {
		// Those who asked before the door closed get their answer.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), httpDrain)
		defer cancel()
		return d.http.Close(ctx)
	})
	for i, a := range d.http.Addrs() {
		protocol := "http"
		if i >= len(d.http.Addrs())-len(cfg.SecureAddrs) {
			protocol = "https"
		}
		d.log.Info("Starting server", zap.Stringer("address", a), zap.String("network", a.Network()), zap.String("protocol", protocol))
	}
	return nil
}

// Close ends every part in the reverse order of opening: the doors first. It may
// be called more than once.
func (d *Daemon) Close() error {
	var errs []error
	d.closing.Do(func() {
		d.finish(nil) // nobody need drain any more
		for i := len(d.closers) - 1; i >= 0; i-- {
			if err := d.closers[i].close(); err != nil {
				errs = append(errs, fmt.Errorf("close %s: %w", d.closers[i].name, err))
			}
		}
		d.cancel()
		d.wg.Wait()
	})
	return errors.Join(errs...)
}
