package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"consul.internal/checks"
)

// Local holds this machine's services and checks. Its methods may be called by
// any number of goroutines; those that read never wait for the disk.
type Local struct {
	cfg    Config
	deps   Deps
	state  *state
	reg    *registrar
	syncer *Syncer
	ttl    *ttlStates

	mu       sync.Mutex // guards cancel and stopSync
	cancel   context.CancelFunc
	stopSync context.CancelFunc
	wg       sync.WaitGroup
}

// New makes a Local from a valid configuration. Nothing runs before Open.
func New(cfg Config, deps Deps) (*Local, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Caller == nil {
		return nil, errors.New("agent: no way to the servers given")
	}
	cfg, deps = cfg.withDefaults(), deps.withDefaults()
	l := &Local{cfg: cfg, deps: deps, syncer: newSyncer(cfg, deps), cancel: func() {}}
	l.state = l.syncer.state
	l.reg = &registrar{cfg: &l.cfg, log: deps.Logger, state: l.state, files: &files{dir: cfg.DataDir, log: deps.Logger}}
	l.ttl = newTTLStates(l.reg)
	follower := &follower{node: cfg.NodeName, state: l.state, caller: deps.Caller, target: l.syncer.target}
	runner, err := checks.New(checks.Config{OutputMaxSize: cfg.CheckOutputMaxSize, Systemd: cfg.Systemd},
		checks.Deps{Sink: l.ttl, Follow: follower.follow, TLS: deps.CheckTLS, Logger: deps.Logger, Rand: deps.Rand})
	if err != nil {
		return nil, err
	}
	l.reg.runner = runner
	return l, nil
}

// Open loads what is persisted, starts the checks and the synchronisation, and
// returns without waiting for a server. What runs ends with ctx or with Close.
func (l *Local) Open(ctx context.Context) error {
	plan, err := l.cfg.plan(&l.cfg.Set)
	if err != nil {
		return err
	}
	if err := l.reg.files.open(); err != nil {
		return err
	}
	l.reg.mu.Lock()
	defer l.reg.mu.Unlock()
	if err := l.reg.load(plan, &l.cfg.Set); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	l.mu.Lock()
	l.cancel = cancel
	l.mu.Unlock()
	syncing, stop := context.WithCancel(ctx)
	l.mu.Lock()
	l.stopSync = stop
	l.mu.Unlock()
	l.wg.Go(func() { l.syncer.run(syncing) })
	l.wg.Go(func() { l.reap(ctx) })
	l.wg.Go(func() { l.ttl.run(ctx) })
	return nil
}

// Close ends checks and synchronisation and waits for them. What is registered
// stays in the catalog: an agent that restarts is to find it there.
func (l *Local) Close() error {
	l.mu.Lock()
	cancel := l.cancel
	l.mu.Unlock()
	cancel()
	err := l.reg.runner.Close()
	l.state.close()
	l.wg.Wait()
	return err
}

// StopSync ends the synchronisation, so that an agent that leaves does not put
// back what it has taken out of the catalog. Checks go on.
func (l *Local) StopSync() {
	l.mu.Lock()
	stop := l.stopSync
	l.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// SyncNow makes the Syncer compare with the catalog at once.
func (l *Local) SyncNow() { l.syncer.Now() }

// reap deregisters services that have been critical for as long as their check allows.
func (l *Local) reap(ctx context.Context) {
	tick := time.NewTicker(reapInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for service, check := range l.state.overdue(time.Now()) {
			if err := l.DeregisterService(service); err != nil {
				l.deps.Logger.Warn("A service that has been critical for too long could not be deregistered",
					zap.String("service", service), zap.String("check", check), zap.Error(err))
				continue
			}
			l.deps.Logger.Info("Check has been critical for too long, deregistered its service",
				zap.String("service", service), zap.String("check", check))
		}
	}
}
