package roster

import (
	"context"
	"errors"
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

// Search is what a Joiner looks for.
type Search struct {
	Kind  string        // "LAN" or "WAN", for the log
	Self  string        // this member's name
	Names []string      // addresses, host names or go-sockaddr templates, with or without a port
	Every time.Duration // between attempts, after a quick beginning
	Max   int           // give up after that many intervals; 0 = never
	// Apart makes the names worth joining also while other members are known, as
	// where those are of the own datacenter only.
	Apart func() bool
	// Refused tells addresses that are not to be joined; nil = none.
	Refused func(netip.AddrPort) bool
}

// Joiner looks for the pool until it is found, and again when this agent has lost
// all others.
type Joiner struct {
	Search
	pool   *gossip.Pool
	log    *zap.Logger
	find   Resolver
	gaveUp chan error

	began  time.Time // of this search; zero while others are known
	pause  time.Duration
	found  bool
	warned time.Time
}

// NewJoiner makes a Joiner that does nothing yet.
func NewJoiner(pool *gossip.Pool, find Resolver, s Search, log *zap.Logger) *Joiner {
	return &Joiner{Search: s, pool: pool, log: log, find: find, gaveUp: make(chan error, 1)}
}

// GaveUp has the reason when as many attempts have failed as may.
func (j *Joiner) GaveUp() <-chan error { return j.gaveUp }

// Join exchanges states with the given agents, written as in Names, and returns
// with how many that went well; an error only if with none.
func (j *Joiner) Join(ctx context.Context, items []string) (int, error) {
	addrs, err := j.find.all(ctx, items)
	if len(addrs) == 0 {
		return 0, err
	}
	targets := make([]string, len(addrs))
	for i, a := range addrs {
		targets[i] = a.String()
	}
	n, jerr := j.pool.Join(ctx, targets, true)
	if n > 0 {
		return n, nil
	}
	return 0, errors.Join(err, jerr)
}

// Run ends with ctx, or when it gives up.
func (j *Joiner) Run(ctx context.Context) {
	if len(j.Names) > 0 {
		j.log.Info("Joining cluster...", zap.String("cluster", j.Kind), zap.Strings("retry_join", j.Names))
	}
	for {
		err := j.attempt(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && j.exhausted() {
			j.gaveUp <- fault.Newf(fault.Unavailable, "no agent of retry_join could be joined for %v (retry_max %d times retry_interval %v): %w",
				time.Since(j.began).Round(time.Second), j.Max, j.Every, err)
			return
		}
		if !j.rest(ctx, j.next()) {
			return
		}
	}
}

// lookEvery is how soon it is noticed that this agent has lost the others.
const lookEvery = time.Second

// rest waits for the next attempt, which is due at once when those are lost who
// were there. It reports false if ctx ended.
func (j *Joiner) rest(ctx context.Context, d time.Duration) bool {
	until := time.Now().Add(d)
	for {
		left := time.Until(until)
		if left <= 0 {
			return true
		}
		if j.began.IsZero() && len(j.Names) > 0 && left < d {
			if _, alone := j.known(); alone || j.apart() {
				return true
			}
		}
		select {
		case <-time.After(min(left, lookEvery)):
		case <-ctx.Done():
			return false
		}
	}
}

// attempt joins all addresses that are not known members. An error means that this
// agent is alone though it should not be.
func (j *Joiner) attempt(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	known, alone := j.known()
	alone = alone || j.apart()
	if alone && j.began.IsZero() {
		j.began, j.pause = time.Now(), quickRetry
	}
	addrs, err := j.find.all(ctx, j.Names)
	own := len(addrs) > 0
	if alone {
		addrs = append(addrs, j.pool.Previous()...)
	}
	var targets []string
	seen := map[netip.AddrPort]bool{}
	for _, a := range addrs {
		if !known[a] && !seen[a] && (j.Refused == nil || !j.Refused(a)) {
			seen[a] = true
			targets = append(targets, a.String())
		}
	}
	n := 0
	if len(targets) > 0 {
		n, err = j.pool.Join(ctx, targets, true)
	} else if own || len(j.Names) == 0 {
		err = nil // only this agent itself is named: there is nobody to wait for
	}
	_, alone = j.known()
	alone = alone || j.apart()
	switch {
	case !alone:
		if n > 0 && !j.found {
			j.log.Info("Join cluster completed. Synced with initial agents", zap.String("cluster", j.Kind), zap.Int("num_agents", n))
		}
		j.began, j.found = time.Time{}, true
		return nil
	case err == nil || len(j.Names) == 0:
		return nil
	}
	if now := time.Now(); now.Sub(j.warned) >= warnPause {
		j.warned = now
		j.log.Warn("Join cluster failed, will retry", zap.String("cluster", j.Kind), zap.Duration("retry_interval", j.Every), zap.Error(err))
	}
	return err
}

// known are the addresses that need not be joined: this agent and living members.
func (j *Joiner) known() (map[netip.AddrPort]bool, bool) {
	at := map[netip.AddrPort]bool{j.pool.Advertised(): true}
	alone := true
	for _, m := range j.pool.Members() {
		if m.Status == gossip.StatusAlive && m.Name != j.Self {
			at[m.AddrPort()] = true
			alone = false
		}
	}
	return at, alone
}

func (j *Joiner) apart() bool { return j.Apart != nil && len(j.Names) > 0 && j.Apart() }

func (j *Joiner) next() time.Duration {
	if j.began.IsZero() {
		return j.Every // those of retry_join who are not there may come
	}
	if time.Since(j.began) >= quickPhase {
		j.pause *= 2
	}
	j.pause = min(j.pause, max(j.Every, quickRetry))
	return min(j.pause, j.Every)
}

func (j *Joiner) exhausted() bool {
	return j.Max > 0 && !j.found && !j.began.IsZero() && time.Since(j.began) >= time.Duration(j.Max)*j.Every
}
