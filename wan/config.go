package wan

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

// Config of this server's part in the pool.
type Config struct {
	// Gossip holds addresses, timers, keys and files. Its name, node ID, tags and
	// label are set from Identity.
	Gossip   gossip.Config
	Identity roster.Identity // as in the pool of the datacenter

	RetryJoin     []string      // servers of other datacenters: addresses, host names or go-sockaddr templates
	RetryInterval time.Duration // between attempts, after a quick beginning
	RetryMax      int           // give up after that many intervals; 0 = never
	// ForgottenPath is the file that keeps which datacenters were removed; "" = memory only.
	ForgottenPath string
}

const (
	// DefaultPort of gossip between datacenters.
	DefaultPort = 8302
	// retryInterval is what users know.
	retryInterval = 30 * time.Second
	// label keeps the pools of an agent apart even if they have the same key.
	label = "wan"
	// indirectChecks: where datacenters see each other only through a third one,
	// few of the others can say that a member lives.
	indirectChecks = 8
	// floodInterval is how often it is looked for servers of the own datacenter that
	// are not in the pool; news of the datacenter's pool have it looked at once.
	floodInterval = 10 * time.Second
	// floodTimeout bounds one attempt to bring them in.
	floodTimeout = 10 * time.Second
	// maxForgotten bounds the list of removed datacenters.
	maxForgotten = 256
	// retell is how often at most the removed datacenters are told again to servers
	// that come back.
	retell = 10 * time.Second
)

// DefaultConfig is one with nothing to join.
func DefaultConfig() Config {
	c := Config{Gossip: gossip.DefaultWAN(), RetryInterval: retryInterval}
	c.Gossip.Timers.IndirectChecks = indirectChecks
	return c
}

// Validate tells everything that is wrong.
func (c Config) Validate() error {
	errs := []error{c.Identity.Validate(), c.gossip().Validate()}
	wrong := func(bad bool, text string) {
		if bad {
			errs = append(errs, fault.Newf(fault.Invalid, "%s", text))
		}
	}
	wrong(!c.Identity.Server, "only servers are in the pool of all servers")
	wrong(c.RetryInterval <= 0, "retry_interval_wan must be positive")
	wrong(c.RetryMax < 0, "retry_max_wan must not be negative")
	for _, item := range c.RetryJoin {
		errs = append(errs, roster.CheckTarget(item))
	}
	return errors.Join(errs...)
}

// name is what a server is called in the pool.
func (c Config) name() string { return c.Identity.Name + "." + c.Identity.Datacenter }

func (c Config) gossip() gossip.Config {
	g, id := c.Gossip, c.Identity
	id.WANPort = 0 // it stands in the member itself here
	g.Name, g.NodeID, g.Label, g.Tags = c.name(), id.ID, label, id.Tags()
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
	// Nearby lists the servers of the own datacenter, which are brought into the pool.
	Nearby func() []roster.Server
}
