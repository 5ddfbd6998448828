package agent

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"time"

	"go.uber.org/zap"

	"consul.internal/internal/fault"
	"consul.internal/rpc"
)

// Syncer brings the servers' catalog to the state of this machine
// (anti-entropy). It belongs to a Local.
type Syncer struct {
	cfg     Config
	deps    Deps
	state   *state
	changes chan struct{} // something changed here
	now     chan struct{} // compare with the catalog at once
}

func newSyncer(cfg Config, deps Deps) *Syncer {
	s := &Syncer{cfg: cfg, deps: deps, changes: make(chan struct{}, 1), now: make(chan struct{}, 1)}
	s.state = newState(cfg.node(cfg.NodeMeta), cfg.CheckUpdateInterval, deps.Rand, s.changed)
	return s
}

// changed and Now leave a note; one that lies there already is enough.
func (s *Syncer) changed() {
	select {
	case s.changes <- struct{}{}:
	default:
	}
}

// Now makes the Syncer compare with the catalog at once, for example when
// servers have been found or a leader has been elected.
func (s *Syncer) Now() {
	select {
	case s.now <- struct{}{}:
	default:
	}
}

// run synchronises until ctx ends. One call at a time goes to the servers, so
// that they see changes in their order.
func (s *Syncer) run(ctx context.Context) {
	full := time.NewTimer(s.cfg.SyncInterval)
	defer full.Stop()
	retry := time.NewTimer(time.Hour)
	retry.Stop()
	defer retry.Stop()
	failures, compare := 0, true // the first comparison comes before any change
	for {
		select { // what has come meanwhile goes out now
		case <-s.changes:
		default:
		}
		err := s.sync(ctx, compare)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			failures++
			wait := s.backoff(failures)
			retry.Reset(wait)
			s.deps.Logger.Warn("Syncing services and checks with the servers failed", zap.Duration("retry_in", wait), zap.Error(err))
		default:
			failures = 0
			retry.Stop()
			if compare {
				full.Reset(s.interval())
			}
			compare = false
		}
		due, ok := s.await(ctx, full.C, retry.C, failures > 0)
		if !ok {
			return
		}
		compare = compare || due
	}
}

// await waits for a reason to synchronise, false if ctx ended; full says that a
// comparison is due. After a failure changes wait for the retry.
func (s *Syncer) await(ctx context.Context, full, retry <-chan time.Time, failed bool) (compare, ok bool) {
	changes := s.changes
	if failed {
		changes = nil
	}
	select {
	case <-ctx.Done():
		return false, false
	case <-full:
		return true, true
	case <-s.now:
		return true, true
	case <-retry:
		return false, true
	case <-changes:
		return false, pause(ctx, coalesceTime)
	}
}

// pause waits, false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// backoff is the pause after the nth failure in a row, half of it random.
func (s *Syncer) backoff(n int) time.Duration {
	d := retryMax
	if n <= 6 { // 250 ms doubled six times reaches the maximum
		d = min(retryMin<<(n-1), retryMax)
	}
	return d/2 + time.Duration(s.deps.Rand(int64(d/2)))
}

// interval is the time to the next comparison: it grows with each doubling of
// the cluster beyond 128 nodes, as documented, and is spread by a quarter.
func (s *Syncer) interval() time.Duration {
	d := s.cfg.SyncInterval
	if n := s.deps.ClusterSize(); n > 128 {
		d *= time.Duration(bits.Len(uint((n-1)/128)) + 1)
	}
	return d + time.Duration(s.deps.Rand(int64(d/4)+1))
}

// sync compares with the catalog if asked to, and tells the servers all that
// they do not know.
func (s *Syncer) sync(ctx context.Context, compare bool) error {
	if compare {
		if err := s.compare(ctx); err != nil {
			return fmt.Errorf("read what the catalog holds of this node: %w", err)
		}
	}
	for _, j := range s.state.jobs() {
		err := s.perform(ctx, j)
		switch {
		case err == nil:
			s.log("", j)
		case errors.Is(err, fault.Denied), errors.Is(err, fault.Invalid), errors.Is(err, fault.NotFound):
			// Refused for good: others are not to wait for it. The next comparison tries again.
			s.log(err.Error(), j)
		default:
			return err
		}
		s.state.done(j)
	}
	return nil
}

func (s *Syncer) compare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	// The leader is asked: a server that lags would make us repeat or undo what was done just now.
	req := &rpc.NodeRequest{Node: s.cfg.NodeName, ReadOptions: rpc.ReadOptions{Target: s.target("")}}
	node, err := rpc.Call(ctx, s.deps.Caller, rpc.CatalogNode, req)
	if err != nil {
		return err
	}
	checks, err := rpc.Call(ctx, s.deps.Caller, rpc.HealthNode, req)
	if err != nil {
		return err
	}
	if n := node.Node; n != nil && n.ID != "" && !strings.EqualFold(n.ID, s.cfg.NodeID) {
		// Another node has this name: what is registered there is not ours to take
		// away. Registering our own tells who may have the name.
		s.state.compare(nil, nil, nil)
		return nil
	}
	s.state.compare(node.Node, node.Services, checks.Checks)
	return nil
}

func (s *Syncer) target(token string) rpc.Target {
	if token == "" {
		token = s.deps.Token()
	}
	return rpc.Target{Datacenter: s.cfg.Datacenter, Token: token}
}

func (s *Syncer) perform(ctx context.Context, j *job) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if j.dropService != "" || j.dropCheck != "" {
		_, err := rpc.Call(ctx, s.deps.Caller, rpc.CatalogDeregister, &rpc.DeregisterRequest{
			Target: s.target(j.token), Node: s.cfg.NodeName, ServiceID: j.dropService, CheckID: j.dropCheck,
		})
		if errors.Is(err, fault.NotFound) {
			return nil // gone is gone
		}
		return err
	}
	_, err := rpc.Call(ctx, s.deps.Caller, rpc.CatalogRegister, &rpc.RegisterRequest{
		Target: s.target(j.token), Node: j.node, SkipNodeUpdate: j.skipNodeInfo, Service: j.service, Checks: j.checks,
	})
	return err
}

// log writes the lines that people look for, and why something was refused.
func (s *Syncer) log(refused string, j *job) {
	say := func(done, failed string, fields ...zap.Field) {
		if refused == "" {
			s.deps.Logger.Info(done, fields...)
			return
		}
		s.deps.Logger.Warn(failed, append(fields, zap.String("error", refused))...)
	}
	switch {
	case j.dropService != "":
		say("Deregistered service", "Deregistering the service was refused", zap.String("service", j.dropService))
		return
	case j.dropCheck != "":
		say("Deregistered check", "Deregistering the check was refused", zap.String("check", j.dropCheck))
		return
	case !j.skipNodeInfo:
		say("Synced node info", "Syncing the node info was refused")
		return
	}
	if j.service != nil {
		say("Synced service", "Syncing the service was refused", zap.String("service", j.service.ID))
	}
	for _, c := range j.checks {
		say("Synced check", "Syncing the check was refused", zap.String("check", c.CheckID))
	}
}
