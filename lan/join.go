package lan

import (
	"context"
	"net/netip"
	"time"

	"consul.internal/internal/fault"
	"consul.internal/internal/gossip"
	"go.uber.org/zap"
)

const (
	// quickRetry while the datacenter is probably just starting, whatever
	// retry_interval is: agents start in any order and shall find each other at once.
	quickRetry = time.Second
	// quickPhase is how long that lasts; then the pause doubles up to retry_interval.
	quickPhase = 30 * time.Second
	// attemptTimeout bounds one attempt, so that an address that answers slowly does
	// not keep the next attempt from other ones.
	attemptTimeout = 15 * time.Second
	// warnPause between lines about attempts that failed.
	warnPause = 10 * time.Second
)

// joiner looks for the pool until it is found, and again when this agent has lost
// all others.
type joiner struct {
	pool   *Pool
	log    *zap.Logger
	names  []string
	find   resolver
	every  time.Duration
	max    int
	gaveUp chan error

	began  time.Time // of this search; zero while others are known
	pause  time.Duration
	found  bool
	warned time.Time
}

// run ends with ctx, or when it gives up.
func (j *joiner) run(ctx context.Context) {
	if len(j.names) > 0 {
		j.log.Info("Joining cluster...", zap.String("cluster", "LAN"), zap.Strings("retry_join", j.names))
	}
	for {
		err := j.attempt(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && j.exhausted() {
			j.gaveUp <- fault.Newf(fault.Unavailable, "no agent of retry_join could be joined for %v (retry_max %d times retry_interval %v): %w",
				time.Since(j.began).Round(time.Second), j.max, j.every, err)
			return
		}
		select {
		case <-time.After(j.next()):
		case <-ctx.Done():
			return
		}
	}
}

// attempt joins all addresses that are not known members. An error means that this
// agent is alone though it should not be.
func (j *joiner) attempt(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	known, alone := j.known()
	if alone && j.began.IsZero() {
		j.began, j.pause = time.Now(), quickRetry
	}
	addrs, err := j.find.all(ctx, j.names)
	own := len(addrs) > 0
	if alone {
		addrs = append(addrs, j.pool.gossip.Previous()...)
	}
	var targets []string
	seen := map[netip.AddrPort]bool{}
	for _, a := range addrs {
		if !known[a] && !seen[a] {
			seen[a] = true
			targets = append(targets, a.String())
		}
	}
	n := 0
	if len(targets) > 0 {
		n, err = j.pool.gossip.Join(ctx, targets, true)
	} else if own || len(j.names) == 0 {
		err = nil // only this agent itself is named: there is nobody to wait for
	}
	_, alone = j.known()
	switch {
	case !alone:
		if n > 0 && !j.found {
			j.log.Info("Join cluster completed. Synced with initial agents", zap.String("cluster", "LAN"), zap.Int("num_agents", n))
		}
		j.began, j.found = time.Time{}, true
		return nil
	case err == nil || len(j.names) == 0:
		return nil
	}
	if now := time.Now(); now.Sub(j.warned) >= warnPause {
		j.warned = now
		j.log.Warn("Join cluster failed, will retry", zap.String("cluster", "LAN"), zap.Duration("retry_interval", j.every), zap.Error(err))
	}
	return err
}

// known are the addresses that need not be joined: this agent and living members.
func (j *joiner) known() (map[netip.AddrPort]bool, bool) {
	at := map[netip.AddrPort]bool{j.pool.gossip.Advertised(): true}
	alone := true
	for _, m := range j.pool.gossip.Members() {
		if m.Status == gossip.StatusAlive && m.Name != j.pool.cfg.Identity.Name {
			at[m.AddrPort()] = true
			alone = false
		}
	}
	return at, alone
}

func (j *joiner) next() time.Duration {
	if j.began.IsZero() {
		return j.every // those of retry_join who are not there may come
	}
	if time.Since(j.began) >= quickPhase {
		j.pause *= 2
	}
	j.pause = min(j.pause, max(j.every, quickRetry))
	return min(j.pause, j.every)
}

func (j *joiner) exhausted() bool {
	return j.max > 0 && !j.found && !j.began.IsZero() && time.Since(j.began) >= time.Duration(j.max)*j.every
}
