package daemon

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"consul.internal/agent"
	"consul.internal/configs"
	"consul.internal/dnsserver"
	"consul.internal/httpapi"
	"consul.internal/internal/fault"
	"consul.internal/internal/metrics"
	"consul.internal/rpc"
	"consul.internal/server"
	"consul.internal/server/leader"
	"consul.internal/store"
	"consul.internal/view"
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

	store *store.Store // nil on a client
	local *agent.Local
	dns   *dnsserver.Server // nil if its port is off
	http  *httpapi.Server   // nil if its port is off

	cancel  context.CancelFunc
	wg      sync.WaitGroup
	closers []closer
	done    chan struct{} // closed when the process is to end
	end     sync.Once
	err     error // why, if not by a leave
	leaving sync.Once
	closing sync.Once
}

// closer is one step of closing, in the reverse order of opening.
type closer struct {
	name  string
	close func() error
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
	d := &Daemon{opts: opts, log: opts.Logger, settings: settings, latest: settings, done: make(chan struct{}), cancel: func() {}}
	var err error
	if d.nodeID, err = nodeID(settings); err != nil {
		return nil, fmt.Errorf("failed to setup node ID: %w", err)
	}
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
	dir := view.NewDirectory()
	var caller rpc.Caller = noServers{}
	if d.settings.Server.Enabled {
		srv, err := d.newServer(dir)
		if err != nil {
			return err
		}
		caller = srv
	}
	caller = newCounting(caller, d.opts.Metrics, d.settings.Server.Enabled)
	d.publish(dir)
	if d.local, err = agent.New(agentConfig(d.settings, d.nodeID), agent.Deps{Caller: caller, Logger: d.log}); err != nil {
		return err
	}
	if d.store != nil {
		if err := d.openStore(ctx, life, dir); err != nil {
			return err
		}
	}
	if err := d.local.Open(life); err != nil {
		return err
	}
	d.onClose("agent", d.local.Close)
	if err := d.openDNS(life, dir); err != nil {
		return err
	}
	return d.openHTTP(life, caller)
}

// newServer makes the store and the operations on it.
func (d *Daemon) newServer(dir *view.Directory) (*server.Server, error) {
	s, log := d.settings, d.log.Named("server")
	transport, err := store.ListenTCP(serverBind(s), serverAdvertise(s), log)
	if err != nil {
		return nil, err
	}
	d.store, err = store.New(storeConfig(s, d.nodeID), store.Deps{Logger: log, Transport: transport, Feed: dir.Apply})
	if err != nil {
		return nil, errors.Join(err, transport.Close())
	}
	d.onClose("store", d.store.Close)
	srv := server.New(serverConfig(s), d.store, log)
	reconciler := &leader.Reconciler{Caller: srv, Members: d.leaderMembers, Log: log}
	d.store.RunLeader(reconciler.Run)
	d.store.RunLeader(func(context.Context) { d.local.SyncNow() })
	return srv, nil
}

// openStore opens the store. What the replay gives is answered from then on; a
// name that it did not give is NXDOMAIN only once all is known, SERVFAIL until then.
func (d *Daemon) openStore(ctx, life context.Context, dir *view.Directory) error {
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
			dir.SetReady()
		}
	})
	return nil
}

func (d *Daemon) openDNS(ctx context.Context, dir *view.Directory) error {
	cfg, ok := dnsConfig(d.settings)
	if !ok {
		return nil
	}
	var err error
	d.dns, err = dnsserver.New(cfg, dnsserver.Deps{
		Source: view.NewLocal(d.settings.Node.Datacenter, dir), Logger: d.log.Named("dns"),
		Metrics: d.opts.Metrics,
	})
	if err != nil {
		return err
	}
	if err := d.dns.Open(ctx); err != nil {
		return err
	}
	d.onClose("DNS door", d.dns.Close)
	for _, a := range d.dns.Addrs() {
		d.log.Info("Started DNS server", zap.Stringer("address", a), zap.String("network", "tcp and udp"))
	}
	return nil
}

func (d *Daemon) openHTTP(ctx context.Context, caller rpc.Caller) error {
	cfg, ok := httpConfig(d.settings)
	if !ok {
		return nil
	}
	var err error
	d.http, err = httpapi.New(cfg, httpapi.Deps{
		Caller: caller, Local: d.local, Process: process{d}, Log: d.log.Named("http"),
		Metrics: d.opts.Metrics, Monitor: d.opts.Monitor,
	})
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
	for _, a := range d.http.Addrs() {
		d.log.Info("Starting server", zap.Stringer("address", a), zap.String("network", a.Network()), zap.String("protocol", "http"))
	}
	return nil
}

func (d *Daemon) onClose(name string, fn func() error) {
	d.closers = append(d.closers, closer{name, fn})
}

// finish tells the process to end.
func (d *Daemon) finish(err error) {
	d.end.Do(func() {
		d.err = err
		close(d.done)
	})
}

// Close ends every part in the reverse order of opening: the doors first. It may
// be called more than once.
func (d *Daemon) Close() error {
	var errs []error
	d.closing.Do(func() {
		for i := len(d.closers) - 1; i >= 0; i-- {
			if err := d.closers[i].close(); err != nil {
				errs = append(errs, fmt.Errorf("close %s: %w", d.closers[i].name, err))
			}
		}
		d.cancel()
		d.wg.Wait()
		d.finish(nil)
	})
	return errors.Join(errs...)
}

// Leave takes the agent out of the cluster and tells the process to end. A lone
// server has nobody to hand anything to and only its doors to close, which stay
// open for as long as the answer to the leave itself may be under way.
func (d *Daemon) Leave(ctx context.Context) error {
	d.leaving.Do(func() {
		d.log.Info("leaving: answering what is in flight, then closing")
		time.AfterFunc(leaveGrace, func() { d.finish(nil) })
	})
	return ctx.Err()
}

// noServers is the way to the servers of a client that knows none.
type noServers struct{}

func (noServers) Call(context.Context, string, any, any) error {
	return fault.Newf(fault.NoLeader, "No known Consul servers")
}
