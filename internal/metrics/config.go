package metrics

import (
	"strings"
	"time"
)

// Config of a registry.
type Config struct {
	// Prefix is the first part of every name.
	Prefix string
	// Retention is how long a gauge is shown that a library has set and sets no
	// more; 0 turns Prometheus text off.
	Retention time.Duration
	Filter    Filter
}

// Filter chooses what is kept by the beginning of full names.
type Filter struct {
	Prefixes []string // "+consul.raft" keeps, "-consul.raft" drops; the longest wins, dropping if equal
	Default  bool     // whether names are kept that no prefix matches
}

const (
	// Interval is what the JSON form sums up, as it is known.
	Interval = 10 * time.Second
	// maxSeries bounds the registry whatever libraries and clients name: far more
	// than routes, query types and raft's names together, at most some 10 MB.
	maxSeries = 4096
	// maxValues bounds the values kept of one series and interval for quantiles.
	maxValues = 256
	// collectPause is how seldom gauges are asked for, so that scraping in a loop
	// costs little.
	collectPause = time.Second
)

// DefaultConfig gives the known defaults, with Prometheus text on.
func DefaultConfig() Config {
	return Config{Prefix: "consul", Retention: time.Minute, Filter: Filter{Default: true}}
}

// keeps reports whether a full name is kept.
func (f *Filter) keeps(name string) bool {
	keep, longest := f.Default, -1
	for _, p := range f.Prefixes {
		if p == "" {
			continue
		}
		rest, drop := p[1:], p[0] == '-'
		if len(rest) < longest || !strings.HasPrefix(name, rest) {
			continue
		}
		if len(rest) > longest || drop {
			keep, longest = !drop, len(rest)
		}
	}
	return keep
}
