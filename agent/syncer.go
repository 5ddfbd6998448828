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
	// blocked is what ACLs refuse, and of which that has been said. Only run uses it.
	blocked map[string]bool
}

func newSyncer(cfg Config, deps Deps) *Syncer {
	s := &Syncer{cfg: cfg, deps: deps, changes: make(chan struct{}, 1), now: make(chan struct{}, 1), blocked: map[string]bool{}}
	s.state = newState(cfg.node(cfg.NodeMeta), cfg.CheckUpdateInterval, deps.Rand, s.changed)
	s.state.tokens = deps.Tokens
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
		progress, err := s.sync(ctx, compare)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if progress {
				failures = 0 // the servers are there
			}
			failures++
			wait := s.backoff(failures)
			retry.Reset(wait)
			if errors.Is(err, fault.Denied) {
				break // that has been said
			}
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
// they do not know. It reports whether they took anything of it.
func (s *Syncer) sync(ctx context.Context, compare bool) (progress bool, err error) {
	var denied error
	if compare {
		err := s.compare(ctx)
		s.said(err, "Reading this node from the catalog", "node", s.cfg.NodeName)
		switch {
		case errors.Is(err, fault.Denied):
			denied = err // what has a token of its own is not to wait for the agent's
		case err != nil:
			return false, fmt.Errorf("read what the catalog holds of this node: %w", err)
		}
	}
	for _, j := range s.state.jobs() {
		err := s.perform(ctx, j)
		switch {
		case err == nil, errors.Is(err, fault.Denied), errors.Is(err, fault.Invalid), errors.Is(err, fault.NotFound):
			// Refused for good: others are not to wait for it. The next comparison tries again.
			s.log(err, j)
		default:
			return progress, err
		}
		progress = progress || err == nil
		s.state.done(j)
	}
	return progress, denied
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
		token = s.deps.Tokens.Agent()
	}
	return rpc.Target{Datacenter: s.cfg.Datacenter, Token: token}
}

func (s *Syncer) perform(ctx context.Context, j *job) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if j.dropService == "" && j.dropCheck == "" {
		_, err := rpc.Call(ctx, s.deps.Caller, rpc.CatalogRegister, &rpc.RegisterRequest{
			Target: s.target(j.token), Node: j.node, SkipNodeUpdate: j.skipNodeInfo, Service: j.service, Checks: j.checks,
		})
		return err
	}
	in := &rpc.DeregisterRequest{Target: s.target(j.token), Node: s.cfg.NodeName, ServiceID: j.dropService, CheckID: j.dropCheck}
	_, err := rpc.Call(ctx, s.deps.Caller, rpc.CatalogDeregister, in)
	if own := s.target(""); errors.Is(err, fault.Denied) && own != in.Target {
		in.Target = own // the token that it came with may be gone; the node is the agent's
		_, err = rpc.Call(ctx, s.deps.Caller, rpc.CatalogDeregister, in)
	}
	if errors.Is(err, fault.NotFound) {
		return nil // gone is gone
	}
	return err
}

// said reports whether ACLs refuse something, and says so once, until it is no
// longer refused.
func (s *Syncer) said(err error, what, key, id string) bool {
	mark := what + "\x00" + id
	if !errors.Is(err, fault.Denied) {
		delete(s.blocked, mark)
		return false
	}
	if !s.blocked[mark] {
		if len(s.blocked) >= maxBlocked {
			clear(s.blocked) // what is still refused is said again
		}
		s.blocked[mark] = true
		s.deps.Logger.Warn(what+" blocked by ACLs", zap.String(key, id), zap.Error(err))
	}
	return true
}

// log writes the lines that people look for, and why something was refused.
func (s *Syncer) log(err error, j *job) {
	say := func(done, what, key, id string) {
		switch {
		case s.said(err, what, key, id):
		case err == nil:
			s.deps.Logger.Info(done, zap.String(key, id))
		default:
			s.deps.Logger.Warn(what+" was refused", zap.String(key, id), zap.Error(err))
		}
	}
	switch {
	case j.dropService != "":
		say("Deregistered service", "Service deregistration", "service", j.dropService)
		return
	case j.dropCheck != "":
		say("Deregistered check", "Check deregistration", "check", j.dropCheck)
		return
	case !j.skipNodeInfo:
		say("Synced node info", "Node info update", "node", s.cfg.NodeName)
		return
	}
	if j.service != nil {
		say("Synced service", "Service registration", "service", j.service.ID)
	}
	for _, c := range j.checks {
		say("Synced check", "Check registration", "check", c.CheckID)
	}
}
