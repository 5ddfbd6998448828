package limit

import (
	"context"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"consul.internal/internal/door"
	"consul.internal/internal/fault"
	"consul.internal/internal/metrics"
	"consul.internal/rpc"
	"consul.internal/rpc/remote"
	"go.uber.org/zap"
)

// Mode says what becomes of requests above a rate.
type Mode string

const (
	Disabled   Mode = "disabled"   // nothing is counted
	Permissive Mode = "permissive" // they are performed, and told of
	Enforcing  Mode = "enforcing"  // they are refused
)

// Config of a server's limits. Rates are requests a second; below 0 = no limit. A
// second's worth may come at once.
type Config struct {
	Mode            Mode
	ReadRate        float64 // of all sources together
	WriteRate       float64
	SourceReadRate  float64 // of each source
	SourceWriteRate float64
}

// Deps of Requests.
type Deps struct {
	Log     *zap.Logger
	Metrics *metrics.Registry // nil = nothing is counted
	// Leads says whether this server is the leader.
	Leads func() bool
}

const (
	// tooMany and tooManyHere are the known texts for who asked too much: another
	// server may answer, or only this one could.
	tooMany     = "rate limit exceeded, try again later or against a different server"
	tooManyHere = "rate limit exceeded for operation that can only be performed by the leader, try again later"
	// linesPerSecond bounds the log: whoever floods the server must not flood that too.
	linesPerSecond = 10
)

// Requests are the limits of a server.
type Requests struct {
	deps  Deps
	lines *door.Rate
	now   atomic.Pointer[rates]
}

// rates are those of one configuration.
type rates struct {
	cfg         Config
	read, write class
}

// class is what is counted together.
type class struct {
	name    string
	all     *door.Rate
	sources *door.Sources
}

// NewRequests makes limits.
func NewRequests(cfg Config, deps Deps) *Requests {
	q := &Requests{deps: deps, lines: door.NewRate(linesPerSecond, 0)}
	q.Reload(cfg)
	return q
}

// Reload takes other limits over. What was counted under the same ones stays.
func (q *Requests) Reload(cfg Config) {
	if old := q.now.Load(); old != nil && old.cfg == cfg {
		return
	}
	q.now.Store(&rates{
		cfg:   cfg,
		read:  class{"read", door.NewRate(cfg.ReadRate, 0), door.NewSources(cfg.SourceReadRate)},
		write: class{"write", door.NewRate(cfg.WriteRate, 0), door.NewSources(cfg.SourceWriteRate)},
	})
}

// exempt reports whether an operation keeps the servers themselves going, or lets a
// person mend them.
func exempt(method string) bool {
	noun, _, _ := strings.Cut(method, ".")
	switch noun {
	case "Raft", "Status", "Pool", "Operator":
		return true
	}
	return false
}

// reads reports whether a request changes nothing.
func reads(method string, in any) bool {
	switch method {
	case "ACL.Resolve", "ACL.Permitted", "ACL.Replication", "Snapshot.Save":
		return true
	}
	return rpc.ReadOf(in) != nil
}

// Allow counts a request, and is an error if there were too many.
func (q *Requests) Allow(ctx context.Context, method string, in any) error {
	r := q.now.Load()
	if r.cfg.Mode != Permissive && r.cfg.Mode != Enforcing || exempt(method) {
		return nil
	}
	c := &r.write
	if reads(method, in) {
		c = &r.read
	}
	now, from := time.Now(), rpc.SourceFrom(ctx)
	var kind string
	switch { // a source beyond its own rate takes nothing from the others
	case !c.sources.Allow(from, now):
		kind = "source/" + c.name
	case !c.all.Allow(now):
		kind = "global/" + c.name
	default:
		return nil
	}
	q.tell(method, from, kind, r.cfg.Mode, now)
	if r.cfg.Mode == Permissive {
		return nil
	}
	opts := rpc.ReadOf(in)
	anyServer := opts != nil && (opts.Consistency == rpc.Stale || opts.Cached)
	if !anyServer && q.deps.Leads() {
		return fault.Newf(fault.Overloaded, tooManyHere)
	}
	return fault.Newf(fault.RateLimited, tooMany)
}

// tell counts a request above a rate and writes it down, but not every one of a flood.
func (q *Requests) tell(method string, from netip.Addr, kind string, mode Mode, now time.Time) {
	q.deps.Metrics.Counter(metrics.RPCLimitExceeded, metrics.Label{Name: "limit_type", Value: kind},
		metrics.Label{Name: "op", Value: method}, metrics.Label{Name: "mode", Value: string(mode)}).Inc()
	if !q.lines.Allow(now) {
		q.deps.Metrics.Counter(metrics.RPCLimitLogDropped).Inc()
		return
	}
	q.deps.Log.Debug("RPC exceeded allowed rate limit", zap.String("rpc", method), zap.Stringer("source_addr", from),
		zap.String("limit_type", kind), zap.Bool("limit_enforced", mode == Enforcing))
}

// Caller limits what goes to next.
func (q *Requests) Caller(next rpc.Caller) rpc.Caller { return caller{q, next} }

type caller struct {
	q    *Requests
	next rpc.Caller
}

func (c caller) Call(ctx context.Context, method string, in, out any) error {
	if err := c.q.Allow(ctx, method, in); err != nil {
		return err
	}
	return c.next.Call(ctx, method, in, out)
}

// Handler limits the calls that come to next over the wire. Conversations are few,
// long, and bounded by whoever holds them.
func (q *Requests) Handler(next remote.Handler) remote.Handler { return handler{next, q} }

type handler struct {
	remote.Handler
	q *Requests
}

func (h handler) Call(ctx context.Context, method string, in, out any) error {
	if err := h.q.Allow(ctx, method, in); err != nil {
		return err
	}
	return h.Handler.Call(ctx, method, in, out)
}
