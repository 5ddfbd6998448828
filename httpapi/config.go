package httpapi

import (
	"fmt"
	"net/netip"
	"time"
)

// Config of the HTTP edge.
type Config struct {
	// Addrs to listen on, as "host:port".
	Addrs []string
	// SecureAddrs to listen on with TLS.
	SecureAddrs []string
	// HandshakeTimeout bounds a TLS handshake with the first header; 0 = as without TLS.
	HandshakeTimeout time.Duration
	// WriteFrom are the networks that may write; none = all.
	WriteFrom []netip.Prefix
	// Sockets to listen on beside them.
	Sockets []Socket
	// Datacenter and NodeName of this agent.
	Datacenter string
	NodeName   string
	// ResponseHeaders are set on every answer.
	ResponseHeaders map[string]string
	// BlockEndpoints are path prefixes that answer 403.
	BlockEndpoints []string
	// MaxConnsPerClient bounds the connections from one address; 0 = no bound.
	MaxConnsPerClient int
	// MaxHeaderBytes bounds a request's header; 0 = maxHeader.
	MaxHeaderBytes int
	// TranslateWANAddrs says that addresses of other datacenters are their WAN ones.
	TranslateWANAddrs bool
	// DiscoveryMaxStale lets any server answer reads that ask for no consistency,
	// as long as it heard from the leader within this time; 0 = the leader answers.
	DiscoveryMaxStale time.Duration
	// DefaultQueryTime is how long a blocking query waits that names no time.
	DefaultQueryTime time.Duration
	// MaxQueryTime is the longest that a blocking query may wait.
	MaxQueryTime time.Duration
	// EnableDebug opens /debug/pprof.
	EnableDebug bool
	// UI says whether the web page is served at /ui/.
	UI bool
}

const (
	// headerTimeout is the longest a client may take for its request's header.
	headerTimeout = 10 * time.Second
	// idleTimeout closes connections that ask nothing; longer than the 90 s after
	// which the official client drops its own, so that it never meets a closed one.
	idleTimeout = 120 * time.Second
	// maxHeader bounds a request's header; tokens and JWTs fit many times over.
	maxHeader = 64 << 10
	// maxConns bounds all connections of one door, below common limits on open files.
	maxConns = 8192
	// gzipFrom is the size from which an answer is compressed if the client takes
	// it: below, the answer fits one packet anyway.
	gzipFrom = 1400
)

// DefaultConfig gives the known defaults.
func DefaultConfig() Config {
	return Config{
		Addrs:             []string{"127.0.0.1:8500"},
		MaxConnsPerClient: 200,
		DefaultQueryTime:  5 * time.Minute,
		MaxQueryTime:      10 * time.Minute,
	}
}

// Validate says what is wrong with a configuration.
func (c *Config) Validate() error {
	if c.DefaultQueryTime <= 0 || c.MaxQueryTime <= 0 {
		return fmt.Errorf("default_query_time and max_query_time must be greater than 0")
	}
	return nil
}
