package server

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"consul.internal/internal/fault"
	"consul.internal/rpc"
	"consul.internal/store"
	"github.com/hashicorp/go-memdb"
	"go.uber.org/zap"
)

// Server performs operations on the store of this process.
type Server struct {
	cfg     Config
	store   *store.Store
	log     *zap.Logger
	methods map[string]method
}

// method is an operation with its types forgotten.
type method func(ctx context.Context, in, out any) error

// New makes the operations over a store.
func New(cfg Config, st *store.Store, log *zap.Logger) *Server {
	s := &Server{cfg: cfg, store: st, log: log, methods: map[string]method{}}
	handle(s, rpc.CatalogRegister, s.catalogRegister)
	handle(s, rpc.CatalogDeregister, s.catalogDeregister)
	handle(s, rpc.CatalogDatacenters, s.catalogDatacenters)
	handle(s, rpc.CatalogNodes, s.catalogNodes)
	handle(s, rpc.CatalogServices, s.catalogServices)
	handle(s, rpc.CatalogService, s.catalogService)
	handle(s, rpc.CatalogNode, s.catalogNode)
	handle(s, rpc.HealthService, s.healthService)
	handle(s, rpc.HealthNode, s.healthNode)
	handle(s, rpc.HealthChecks, s.healthChecks)
	handle(s, rpc.HealthState, s.healthState)
	handle(s, rpc.StatusLeader, s.statusLeader)
	handle(s, rpc.StatusPeers, s.statusPeers)
	return s
}

// handle enters an operation into the table.
func handle[Req, Resp any](s *Server, m rpc.Method[Req, Resp], fn func(context.Context, *Req) (*Resp, error)) {
	s.methods[m.Name] = func(ctx context.Context, in, out any) error {
		req, ok := in.(*Req)
		if !ok {
			return fault.Newf(fault.Invalid, "%s: request is %T, want %T", m.Name, in, req)
		}
		reply, ok := out.(*Resp)
		if !ok {
			return fault.Newf(fault.Invalid, "%s: reply is %T, want %T", m.Name, out, reply)
		}
		done, err := fn(ctx, req)
		if err != nil {
			return err
		}
		*reply = *done
		return nil
	}
}

// Call performs an operation in this process. It implements rpc.Caller.
func (s *Server) Call(ctx context.Context, name string, in, out any) error {
	m, ok := s.methods[name]
	if !ok {
		return fault.Newf(fault.NotFound, "unknown operation %q", name)
	}
	return m(ctx, in, out)
}

// here refuses what is for another datacenter: none is known yet.
func (s *Server) here(t rpc.Target) error {
	if t.Datacenter != "" && t.Datacenter != s.cfg.Datacenter {
		return fault.Newf(fault.NoRoute, "No path to datacenter")
	}
	return nil
}

// hold repeats fn while there is no leader, for up to RPCHoldTimeout: an election
// takes about a second, and callers should not notice.
func (s *Server) hold(ctx context.Context, fn func(context.Context) error) error {
	until := time.Now().Add(s.cfg.RPCHoldTimeout)
	held, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	for {
		err := fn(held)
		if ctx.Err() == nil && held.Err() != nil && fault.Of(err) != fault.Unknown && err != nil {
			return fault.With(fault.NoLeader, errors.New("No cluster leader"))
		}
		if !errors.Is(err, fault.NoLeader) && !errors.Is(err, fault.NotLeader) {
			return err
		}
		if time.Now().After(until) {
			return fault.With(fault.NoLeader, errors.New("No cluster leader"))
		}
		pause := time.NewTimer(holdPause + rand.N(holdPause))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return fault.With(fault.Unavailable, context.Cause(ctx))
		}
	}
}

// write performs a change, with patience for an election.
func (s *Server) write(ctx context.Context, apply func(context.Context) (uint64, error)) error {
	return s.hold(ctx, func(ctx context.Context) error {
		_, err := apply(ctx)
		return err
	})
}

// read performs a read with the consistency that it asks for, and again each
// time what it looked at changes until its index has passed opts.MinIndex or the
// time is over. run looks at the state through ws and returns the result's index.
func (s *Server) read(ctx context.Context, opts *rpc.ReadOptions, meta *rpc.ReadMeta, run func(ws memdb.WatchSet) (uint64, error)) error {
	if err := s.here(opts.Target); err != nil {
		return err
	}
	anyServer := opts.Cached || opts.Consistency == rpc.Stale &&
		(opts.MaxStale == 0 || s.store.LastContact() <= opts.MaxStale)
	if !anyServer {
		if err := s.hold(ctx, s.store.VerifyLeader); err != nil {
			return err
		}
	}
	wait, cancel := context.WithTimeout(ctx, s.waitFor(opts))
	defer cancel()
	for {
		ws := memdb.NewWatchSet()
		index, err := run(ws)
		if err != nil {
			return err
		}
		meta.Index = max(index, 1)
		if opts.MinIndex == 0 || meta.Index > opts.MinIndex {
			break
		}
		if ws.WatchCtx(wait) == nil {
			continue
		}
		if ctx.Err() != nil {
			return fault.With(fault.Unavailable, context.Cause(ctx))
		}
		meta.NotModified = true
		break
	}
	meta.Consistency = opts.Consistency
	meta.KnownLeader = s.store.LeaderAddr() != ""
	meta.LastContact = s.store.LastContact()
	return nil
}

func (s *Server) waitFor(opts *rpc.ReadOptions) time.Duration {
	if opts.MinIndex == 0 {
		return s.cfg.MaxQueryTime // does not wait at all
	}
	wait := opts.MaxWait
	if wait <= 0 {
		wait = s.cfg.DefaultQueryTime
	}
	wait = min(wait, s.cfg.MaxQueryTime)
	return wait + rand.N(wait/jitterFraction+1)
}

func hasMeta(have, want map[string]string) bool {
	for k, v := range want {
		if got, ok := have[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// required is the error for a request that leaves out what it cannot do without.
func required(what string) error {
	return fault.With(fault.Invalid, fmt.Errorf("Must provide %s", what))
}
