package httpapi

import (
	"cmp"
	"fmt"
	"net/netip"
	"time"

	"consul.internal/httpapi/charts"
	"consul.internal/httpapi/edge"
	"consul.internal/httpapi/ui"
)

// Config of the HTTP edge.
type Config struct {
	edge.Settings
	// Addrs to listen on, as "host:port".
	Addrs []string
	// SecureAddrs to listen on with TLS.
	SecureAddrs []string
	// HandshakeTimeout bounds a TLS handshake with the first header; 0 = as without TLS.
	HandshakeTimeout time.Duration
	// WriteFrom are the networks that may write; none = all.
	WriteFrom []netip.Prefix
	// AllowedHosts are names that requests may come under beside those of NodeName
	// and Domains: a name, "*.zone", or "*" for all.
	AllowedHosts []string
	// Domains are the zones that the agent answers.
	Domains []string
	// NoCache lets ?cached say nothing.
	NoCache bool
	// Sockets to listen on beside them.
	Sockets []Socket
	// ResponseHeaders are set on every answer.
	ResponseHeaders map[string]string
	// BlockEndpoints are path prefixes that answer 403.
	BlockEndpoints []string
	// MaxConnsPerClient bounds the connections from one address; 0 = no bound.
	MaxConnsPerClient int
	// MaxHeaderBytes bounds a request's header; 0 = maxHeader.
	MaxHeaderBytes int
	// EnableDebug opens /debug/pprof where there is no access control.
	EnableDebug bool
	// UI says whether the web pages are served, and Pages how.
	UI    bool
	Pages ui.Config
	// Metrics are requests that are passed on to where metrics are kept.
	Metrics charts.Config
}

const (
	// maxValue is the known limit of a key's value and of a transaction: what a raft
	// entry carries well.
	maxValue = 512 << 10
	// headerTimeout is the longest a client may take for its request's header.
	headerTimeout = 10 * time.Second
	// idleTimeout closes connections that ask nothing; longer than the 90 s after
	// which the official client drops its own, so that it never meets a closed one.
	idleTimeout = 120 * time.Second
	// maxHeader bounds a request's header; tokens and JWTs fit many times over.
	maxHeader = 64 << 10
	// maxConns bounds all connections together, and connParts says what part of the
	// files that the process may open they are at most.
	maxConns  = 8192
	connParts = 4
	// gzipFrom is the size from which an answer is compressed if the client takes
	// it: below, the answer fits one packet anyway.
	gzipFrom = 1400
	// lengthKnown is the size up to which net/http tells an answer's length itself; a
	// header of one more line costs a tenth of what waking a blocked query does.
	lengthKnown = 2048
)

// DefaultConfig gives the known defaults.
func DefaultConfig() Config {
	return Config{
		Addrs:             []string{"127.0.0.1:8500"},
		MaxConnsPerClient: 200,
		Settings: edge.Settings{
			DefaultQueryTime: 5 * time.Minute,
			MaxQueryTime:     10 * time.Minute,
			KVMaxValueSize:   maxValue,
			TxnMaxReqLen:     maxValue,
		},
	}
}

// Validate says what is wrong with a configuration.
func (c *Config) Validate() error {
	if c.DefaultQueryTime <= 0 || c.MaxQueryTime <= 0 {
		return fmt.Errorf("default_query_time and max_query_time must be greater than 0")
	}
	if c.KVMaxValueSize <= 0 || c.TxnMaxReqLen <= 0 {
		return fmt.Errorf("limits.kv_max_value_size and limits.txn_max_req_len must be greater than 0")
	}
	return cmp.Or(c.Pages.Validate(), c.Metrics.Validate())
}
