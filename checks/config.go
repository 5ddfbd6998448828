package checks

import (
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"consul.internal/catalog"
)

const (
	// DefaultOutputMaxSize is how much of a check's output is kept: 4 KiB, as documented for check_output_max_size.
	DefaultOutputMaxSize = 4096
	// DefaultTimeout bounds a network probe that names no timeout: 10 s, as documented for HTTP and TCP checks.
	DefaultTimeout = 10 * time.Second
	// DefaultScriptTimeout bounds a script that names no timeout: 30 s, as documented for script checks.
	DefaultScriptTimeout = 30 * time.Second
	// MinInterval is the shortest interval between probes: 1 s keeps a typing error from becoming a load.
	MinInterval = time.Second
	// DefaultMaxProbes bounds network probes under way: each holds a socket, and 512 leave room under a limit of 1024 files.
	DefaultMaxProbes = 512
	// DefaultMaxScripts bounds scripts under way: each is a process, and a machine that runs 64 of them has no use for more at once.
	DefaultMaxScripts = 64
)

// Config says how a Runner works. The zero value is usable.
type Config struct {
	OutputMaxSize int // bytes of output kept for each check; 0 = DefaultOutputMaxSize
	MaxProbes     int // network probes under way; 0 = DefaultMaxProbes
	MaxScripts    int // scripts under way, commands in containers among them; 0 = DefaultMaxScripts
	Docker        Docker
	Systemd       Systemd
}

// Validate reports what is wrong with the configuration.
func (c *Config) Validate() error {
	if c.OutputMaxSize < 0 || c.MaxProbes < 0 || c.MaxScripts < 0 {
		return errors.New("check limits (check_output_max_size, probes and scripts at once) must not be negative")
	}
	return nil
}

func (c Config) withDefaults() Config {
	if c.OutputMaxSize == 0 {
		c.OutputMaxSize = DefaultOutputMaxSize
	}
	if c.MaxProbes == 0 {
		c.MaxProbes = DefaultMaxProbes
	}
	if c.MaxScripts == 0 {
		c.MaxScripts = DefaultMaxScripts
	}
	return c
}

// Sink is told each result. The id is the one given to Runner.Add. A Sink must
// not call the Runner from within UpdateCheck.
type Sink interface {
	UpdateCheck(id string, status catalog.Status, output string)
}

// Followed is what an alias check follows, as of an index.
type Followed struct {
	Checks []*catalog.Check // without the alias itself
	Found  bool             // the service (or node) exists
	Index  uint64           // to wait from in the next call
}

// FollowFunc gives an alias check the checks that it follows. It returns at once when
// last is 0, and otherwise once something newer than last may be known, or the context ends.
type FollowFunc func(ctx context.Context, id string, d *Definition, last uint64) (Followed, error)

// TLSFunc gives what connections of checks begin with: the certificate to show,
// whom to trust, the name to expect of those whose check names none. It is called for
// each connection, so that new certificates count, and its result is changed.
type TLSFunc func() *tls.Config

// Deps are what a Runner needs from outside.
type Deps struct {
	Sink   Sink
	Follow FollowFunc        // nil: alias checks are refused
	TLS    TLSFunc           // nil: checks show no certificate and trust the machine's authorities
	Logger *zap.Logger       // nil: no log
	Rand   func(int64) int64 // a number in [0, n); nil: math/rand/v2
}

func (d Deps) withDefaults() Deps {
	if d.Logger == nil {
		d.Logger = zap.NewNop()
	}
	if d.Rand == nil {
		d.Rand = rand.Int64N
	}
	if d.TLS == nil {
		d.TLS = func() *tls.Config { return new(tls.Config) }
	}
	return d
}
