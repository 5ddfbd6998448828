package lan

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"consul.internal/internal/fault"
	"consul.internal/internal/gossip"
	"consul.internal/internal/gossip/roster"
	"go.uber.org/zap"
)

// Config of this agent's part in the pool.
type Config struct {
	// Gossip holds addresses, timers, keys and files. Its name, node ID, tags and
	// label are set from Identity.
	Gossip   gossip.Config
	Identity Identity

	RetryJoin     []string      // addresses, host names or go-sockaddr templates, with or without a port
	RetryInterval time.Duration // between attempts, after a quick beginning
	RetryMax      int           // give up after that many intervals; 0 = never
}

const (
	// DefaultPort of gossip in a datacenter.
	DefaultPort = 8301
	// retryInterval is what users know.
	retryInterval = 30 * time.Second
	// label keeps the pools of an agent apart even if they have the same key.
	label = "lan"
)

// DefaultConfig is a client's with nothing to join.
func DefaultConfig() Config {
	return Config{Gossip: gossip.DefaultLAN(), RetryInterval: retryInterval}
}

// Validate tells everything that is wrong.
func (c Config) Validate() error {
	errs := []error{c.Identity.Validate(), c.gossip().Validate()}
	if c.RetryInterval <= 0 {
		errs = append(errs, fault.Newf(fault.Invalid, "retry_interval must be positive"))
	}
	if c.RetryMax < 0 {
		errs = append(errs, fault.Newf(fault.Invalid, "retry_max must not be negative"))
	}
	for _, item := range c.RetryJoin {
		errs = append(errs, roster.CheckTarget(item))
	}
	return errors.Join(errs...)
}

func (c Config) gossip() gossip.Config {
	g := c.Gossip
	g.Name, g.NodeID, g.Label, g.Tags = c.Identity.Name, c.Identity.ID, label, c.Identity.Tags()
	return g
}

// Deps are what the pool needs from outside.
type Deps struct {
	Logger  *zap.Logger
	Network gossip.Network // nil = the kernel's
	// Lookup finds a host's addresses; nil = the system's resolver.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// Expand replaces go-sockaddr templates; nil = they are an error.
	Expand func(text string) (string, error)
}
