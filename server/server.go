package server

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"consul.internal/acl"
	"consul.internal/internal/fault"
	"consul.internal/kv"
	"consul.internal/rpc"
	"consul.internal/server/copied"
	"consul.internal/server/patience"
	"consul.internal/server/vet"
	"consul.internal/store"
	"consul.internal/view"
	"github.com/hashicorp/go-memdb"
	"go.uber.org/zap"
)

// Server performs operations on the store of this process.
type Server struct {
	*vet.Rights // of who asks

	cfg     Config
	deps    Deps
	store   *store.Store
	methods map[string]method
	streams map[string]stream
	moves   moves
	copying copying
	// progress is of all that is copied from the primary datacenter.
	progress copied.Progress
}

// method is an operation with its types forgotten.
type method func(ctx context.Context, in, out any) error

// stream holds a conversation until it ends.
type stream func(ctx context.Context, c rpc.Conversation) error

// Deps is what the operations work on.
type Deps struct {
	Store  *store.Store
	Feed   *view.Feed // of the store's changes
	Pools  Pools
	Abroad Abroad // other datacenters
	Log    *zap.Logger
	// Remote performs operations in other datacenters; nil = they cannot be reached.
	Remote rpc.Caller
	// Primary knows the tokens of the primary datacenter that are not copied to this
	// one; nil = this is the primary, or there is no access control.
	Primary *acl.Resolver
	// Names are the services of other datacenters as this server has them in memory;
	// nil = it has none.
	Names Names
	// Leases are this server's own while it leads; nil = no session needs renewing.
	Leases Leases
}

// New makes the operations.
func New(cfg Config, deps Deps) *Server {
	cfg.SessionTTLMin = cmp.Or(cfg.SessionTTLMin, kv.MinTTL)
	s := &Server{cfg: cfg, deps: deps, store: deps.Store, methods: map[string]method{}, streams: map[string]stream{}}
	s.Rights = vet.NewRights(vet.Config{
		Enabled: cfg.ACL.Enabled, Datacenter: cfg.Datacenter,
		Options: acl.Options{DefaultAllow: cfg.ACL.DefaultAllow, KeyListPolicy: cfg.ACL.KeyListPolicy},
	}, deps.Store, deps.Primary)
	s.enter()
	return s
}

// The operations of each noun, over one server.
type (
	catalogOps    struct{ *Server }
	coordinateOps struct{ *Server }
	healthOps     struct{ *Server }
	statusOps     struct{ *Server }
	poolOps       struct{ *Server }
	raftOps       struct{ *Server }
	autopilotOps  struct{ *Server }
	snapshotOps   struct{ *Server }
	queryOps      struct{ *Server }
	configOps     struct{ *Server }
)

// enter fills the tables.
func (s *Server) enter() {
	catalog, health, status := catalogOps{s}, healthOps{s}, statusOps{s}
	handle(s, rpc.CatalogRegister, catalog.register)
	handle(s, rpc.CatalogDeregister, catalog.deregister)
	handle(s, rpc.CatalogDatacenters, catalog.datacenters)
	handle(s, rpc.CatalogNodes, catalog.nodes)
	handle(s, rpc.CatalogServices, catalog.services)
	handle(s, rpc.CatalogService, catalog.service)
	handle(s, rpc.CatalogNode, catalog.node)
	handle(s, rpc.CatalogInventory, catalog.inventory)
	handle(s, rpc.OperatorUsage, catalog.usage)
	handle(s, rpc.HealthService, health.service)
	handle(s, rpc.HealthNode, health.node)
	handle(s, rpc.HealthChecks, health.checks)
	handle(s, rpc.HealthState, health.state)
	coordinate := coordinateOps{s}
	handle(s, rpc.CoordinateUpdate, coordinate.update)
	handle(s, rpc.CoordinateNodes, coordinate.nodes)
	handle(s, rpc.CoordinateNode, coordinate.node)
	handle(s, rpc.CoordinateDatacenters, coordinate.datacenters)
	handle(s, rpc.StatusLeader, status.leader)
	handle(s, rpc.StatusPeers, status.peers)

	pool, raft, autopilot, snapshot := poolOps{s}, raftOps{s}, autopilotOps{s}, snapshotOps{s}
	handle(s, rpc.PoolKeyring, pool.keyring)
	handle(s, rpc.PoolForceLeave, pool.forceLeave)
	handle(s, rpc.ForgetDatacenter, pool.forget)
	handle(s, rpc.RaftPledge, raft.pledge)
	handle(s, rpc.RaftStats, raft.stats)
	handle(s, rpc.RaftDemote, raft.demote)
	handle(s, rpc.RaftLeave, raft.leave)
	handle(s, rpc.RaftSum, raft.sum)
	handle(s, rpc.RaftCompare, raft.compare)
	handle(s, rpc.RaftConfiguration, raft.configuration)
	handle(s, rpc.RaftRemovePeer, raft.removePeer)
	handle(s, rpc.RaftTransferLeader, raft.transferLeader)
	handle(s, rpc.AutopilotGet, autopilot.get)
	handle(s, rpc.AutopilotSet, autopilot.set)
	handle(s, rpc.AutopilotHealth, autopilot.health)
	handle(s, rpc.AutopilotState, autopilot.state)
	enterQueries(s, queryOps{s})
	enterKeys(s)
	enterConfig(s, configOps{s})
	enterACL(s, aclOps{s})
	s.streams[rpc.ViewFollow.Name] = s.viewFollow
	s.streams[rpc.SnapshotSave.Name] = snapshot.save
	s.streams[rpc.SnapshotRestore.Name] = snapshot.restore
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

// Converse holds a conversation until it ends.
func (s *Server) Converse(ctx context.Context, name string, c rpc.Conversation) error {
	hold, ok := s.streams[name]
	if !ok {
		return fault.Newf(fault.NotFound, "unknown stream %q", name)
	}
	return hold(ctx, c)
}

// here refuses what is for another datacenter: whoever sent it took a wrong way.
func (s *Server) here(t rpc.Target) error {
	if t.Datacenter != "" && t.Datacenter != s.cfg.Datacenter {
		return fault.Newf(fault.NoRoute, "No path to datacenter")
	}
	return nil
}

// write performs a change. It does not wait for a leader, only for its own entry,
// and not longer than a caller would wait for a leader.
func (s *Server) write(ctx context.Context, apply func(context.Context) (uint64, error)) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RPCHoldTimeout)
	defer cancel()
	_, err := apply(ctx)
	return err
}

// verify makes sure that this server leads, as a majority confirms. It waits no
// longer for that than a caller would wait for a leader.
func (s *Server) verify(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, s.cfg.RPCHoldTimeout)
	defer cancel()
	err := s.store.VerifyLeader(bounded)
	if err != nil && ctx.Err() != nil {
		return fault.With(fault.Unavailable, context.Cause(ctx))
	}
	return err
}

// LeaderID is the node ID of the leader, "" while none is known.
func (s *Server) LeaderID() string { return s.store.LeaderID() }

// read performs a read as watch does. run gives what v lets it see: that is what
// the token may see at each time that it runs.
func (s *Server) read(ctx context.Context, opts *rpc.ReadOptions, meta *rpc.ReadMeta, run func(ws memdb.WatchSet, v *vet.Sight) (uint64, error)) error {
	return s.watch(ctx, opts, meta, func(ws memdb.WatchSet) (uint64, error) {
		v, err := s.Sight(ctx, opts.Target)
		if err != nil {
			return 0, err
		}
		index, err := run(ws, v)
		meta.Filtered = v.Hidden && !v.Masked()
		return index, err
	})
}

// watch performs a read with the consistency that it asks for, and again each
// time what it looked at changes until its index has passed opts.MinIndex or the
// time is over. run looks at the state through ws and returns the result's index.
func (s *Server) watch(ctx context.Context, opts *rpc.ReadOptions, meta *rpc.ReadMeta, run func(ws memdb.WatchSet) (uint64, error)) error {
	if err := s.here(opts.Target); err != nil {
		return err
	}
	anyServer := opts.Cached || opts.Consistency == rpc.Stale &&
		(opts.MaxStale == 0 || s.store.LastContact() <= opts.MaxStale)
	if !anyServer {
		if err := s.verify(ctx); err != nil {
			return err
		}
	}
	wait := patience.Patience{Longest: s.waitFor(opts)}
	defer wait.Stop()
	for {
		ws := memdb.NewWatchSet()
		if s.cfg.ACL.Enabled {
			s.store.State().ACLs(ws).Stamp() // who waits loses what he may see at once
		}
		index, err := run(ws)
		if err != nil {
			return err
		}
		meta.Index = max(index, 1)
		if opts.MinIndex == 0 || meta.Index > opts.MinIndex {
			break
		}
		if wait.Until(ctx, ws) {
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
