package agent

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"time"

	"go.uber.org/zap"

	"consul.internal/agent/tokens"
	"consul.internal/catalog"
	"consul.internal/checks"
	"consul.internal/internal/fault"
	"consul.internal/rpc"
)

const (
	// DefaultCheckUpdateInterval is how long a change of a check's output alone may stay here: 5 min, as documented for check_update_interval.
	DefaultCheckUpdateInterval = 5 * time.Minute
	// DefaultSyncInterval is the time between full comparisons with the catalog in small clusters: 1 min, as documented for anti-entropy.
	DefaultSyncInterval = time.Minute
	// coalesceTime lets changes that come together (a service and its maintenance, a hundred registrations) go out together; nobody notices 5 ms.
	coalesceTime = 5 * time.Millisecond
	// retryMin and retryMax bound the pause after a failed synchronisation: quick for an election that takes a second, easy on servers that are down for long.
	retryMin = 250 * time.Millisecond
	retryMax = 15 * time.Second
	// callTimeout bounds one call to the servers, so that a silent one does not end the synchronisation for ever.
	callTimeout = 30 * time.Second
	// maxBlocked bounds what is remembered of refusals that have been logged: more than one machine runs.
	maxBlocked = 1024
	// reapInterval is how often critical services are looked at for deregistration: 30 s, as documented.
	reapInterval = 30 * time.Second
	// minDeregisterAfter is the shortest time after which a critical service is deregistered: 1 min, as documented.
	minDeregisterAfter = time.Minute
	// stateFlushTime collects heartbeats of TTL checks before they are written: a restart that loses 1 s of them loses nothing.
	stateFlushTime = time.Second
	// maxKept bounds how long a saved state is good, so that no TTL is too long to add to: nobody restarts after a century.
	maxKept = 100 * 365 * 24 * time.Hour
	// versionMetaKey is the node metadata that tells the version of the agent.
	versionMetaKey = "consul-version"
	// segmentMetaKey is the node metadata that names the network segment.
	segmentMetaKey = "consul-network-segment"
)

// Config describes this machine and how its checks are kept.
type Config struct {
	NodeName        string
	NodeID          string
	Datacenter      string
	Address         string            // what other machines reach this one by
	TaggedAddresses map[string]string // nil = lan and wan, both Address
	NodeMeta        map[string]string
	Version         string // shown in the node's metadata
	DataDir         string // "" = nothing is persisted

	// EnableScriptChecks permits commands in all definitions,
	// EnableLocalScriptChecks only in those of configuration files.
	EnableScriptChecks      bool
	EnableLocalScriptChecks bool
	CheckUpdateInterval     time.Duration  // 0 = a change of output alone is sent at once
	CheckOutputMaxSize      int            // bytes; 0 = checks.DefaultOutputMaxSize
	SyncInterval            time.Duration  // 0 = DefaultSyncInterval
	Systemd                 checks.Systemd // what os_service checks ask

	Set Set // what the configuration files define; see Local.Reload
}

// Set is what configuration files define and a reload may change.
type Set struct {
	Services           []ServiceDefinition
	Checks             []checks.Definition
	NodeMeta           map[string]string // replaces Config.NodeMeta on reload; nil = as it is
	DiscardCheckOutput bool
}

// DefaultConfig returns the documented defaults.
func DefaultConfig() Config {
	return Config{
		Datacenter:          "dc1",
		CheckUpdateInterval: DefaultCheckUpdateInterval,
		CheckOutputMaxSize:  checks.DefaultOutputMaxSize,
		SyncInterval:        DefaultSyncInterval,
	}
}

// Validate reports what is wrong with the configuration, its Set included.
func (c *Config) Validate() error {
	switch {
	case c.NodeName == "":
		return errors.New("node_name must not be empty")
	case c.Address == "":
		return errors.New("the advertised address of the node must not be empty")
	case c.CheckUpdateInterval < 0:
		return errors.New("check_update_interval must not be negative")
	case c.CheckOutputMaxSize < 0:
		return errors.New("check_output_max_size must be positive")
	case c.SyncInterval < 0:
		return errors.New("the interval of anti-entropy must not be negative")
	}
	_, err := c.plan(&c.Set)
	return err
}

func (c Config) withDefaults() Config {
	if c.SyncInterval == 0 {
		c.SyncInterval = DefaultSyncInterval
	}
	if c.CheckOutputMaxSize == 0 {
		c.CheckOutputMaxSize = checks.DefaultOutputMaxSize
	}
	if c.TaggedAddresses == nil {
		c.TaggedAddresses = map[string]string{catalog.TaggedLAN: c.Address, catalog.TaggedWAN: c.Address}
		switch addressFamily(c.Address) {
		case 4:
			c.TaggedAddresses[catalog.TaggedLANIPv4], c.TaggedAddresses[catalog.TaggedWANIPv4] = c.Address, c.Address
		case 6:
			c.TaggedAddresses[catalog.TaggedLANIPv6], c.TaggedAddresses[catalog.TaggedWANIPv6] = c.Address, c.Address
		}
	}
	return c
}

// node is the catalog's entry of this machine.
func (c *Config) node(meta map[string]string) *catalog.Node {
	all := make(map[string]string, len(meta)+2)
	for k, v := range meta {
		all[k] = v
	}
	all[segmentMetaKey] = "" // there is one segment, without a name
	if c.Version != "" {
		all[versionMetaKey] = c.Version
	}
	return &catalog.Node{
		ID: c.NodeID, Name: c.NodeName, Address: c.Address, Datacenter: c.Datacenter,
		TaggedAddresses: c.TaggedAddresses, Meta: all,
	}
}

// permitCommand says whether a definition from the source may start a command.
func (c *Config) permitCommand(from source) error {
	switch {
	case c.EnableScriptChecks, from == fromFile && c.EnableLocalScriptChecks:
		return nil
	case from == fromFile:
		return fault.Newf(fault.Invalid, "Scripts are disabled on this agent; to enable, configure 'enable_script_checks' or 'enable_local_script_checks' to true")
	default:
		return fault.Newf(fault.Invalid, "Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true")
	}
}

// addressFamily is 4 or 6 for an IP address and 0 for anything else.
func addressFamily(addr string) int {
	ip, err := netip.ParseAddr(addr)
	switch {
	case err != nil:
		return 0
	case ip.Is4() || ip.Is4In6():
		return 4
	default:
		return 6
	}
}

// Deps are what a Local needs from outside.
type Deps struct {
	Caller      rpc.Caller        // the way to the servers
	Logger      *zap.Logger       // nil: no log
	Rand        func(int64) int64 // a number in [0, n); nil: math/rand/v2
	Tokens      *tokens.Store     // for requests of definitions without a token; nil: none
	ClusterSize func() int        // members of the datacenter; nil: a small cluster
	CheckTLS    checks.TLSFunc    // what checks over TLS begin with; nil: they show no certificate
}

func (d Deps) withDefaults() Deps {
	if d.Logger == nil {
		d.Logger = zap.NewNop()
	}
	if d.Rand == nil {
		d.Rand = rand.Int64N
	}
	if d.Tokens == nil {
		d.Tokens = new(tokens.Store)
	}
	if d.ClusterSize == nil {
		d.ClusterSize = func() int { return 1 }
	}
	return d
}
