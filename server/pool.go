package server

import (
	"context"

	"consul.internal/acl"
	"consul.internal/rpc"
	"consul.internal/rpc/remote"
	"consul.internal/server/vet"
	"consul.internal/view"
	"github.com/hashicorp/go-memdb"
)

// Pools are the gossip pools as the operations use them.
type Pools interface {
	// Keyring does something with a key on all members of each pool that is asked for.
	Keyring(ctx context.Context, in *rpc.KeyringRequest) []rpc.KeyringPool
	// ForceLeave makes a failed member one that left. A member that is not known is fault.NotFound.
	ForceLeave(ctx context.Context, in *rpc.ForceLeaveRequest) error
	// Coordinates tells where the servers are, by datacenter.
	Coordinates() []rpc.CoordinateDatacenter
	// Fire sends an event to all members of the datacenter's pool.
	Fire(name string, payload []byte) error
}

// Abroad is what this server knows of other datacenters.
type Abroad interface {
	// Datacenters lists all that are known, the own one first, then the nearest.
	Datacenters() []string
	// ForgetDatacenter removes one for good.
	ForgetDatacenter(datacenter string) error
	// Follow gives the other side of a conversation a session about the names of
	// another datacenter; direct, only if this server follows that one itself.
	Follow(ctx context.Context, datacenter string, direct bool, c rpc.Conversation) error
}

func (s poolOps) forget(ctx context.Context, in *rpc.ForgetDatacenterRequest) (*rpc.Empty, error) {
	if in.Name == "" {
		return nil, required("datacenter")
	}
	if err := s.May(ctx, in.Target, acl.Operator, "", acl.Write); err != nil {
		return nil, err
	}
	return new(rpc.Empty), s.deps.Abroad.ForgetDatacenter(in.Name)
}

func (s poolOps) keyring(ctx context.Context, in *rpc.KeyringRequest) (*rpc.KeyringReply, error) {
	if err := s.here(in.Target); err != nil {
		return nil, err
	}
	want := acl.Write
	if in.Op == rpc.KeyringList {
		want = acl.Read
	}
	if err := s.May(ctx, in.Target, acl.Keyring, "", want); err != nil {
		return nil, err
	}
	return &rpc.KeyringReply{Pools: s.deps.Pools.Keyring(ctx, in)}, nil
}

func (s poolOps) forceLeave(ctx context.Context, in *rpc.ForceLeaveRequest) (*rpc.Empty, error) {
	if err := s.here(in.Target); err != nil {
		return nil, err
	}
	if err := s.May(ctx, in.Target, acl.Operator, "", acl.Write); err != nil {
		return nil, err
	}
	return new(rpc.Empty), s.deps.Pools.ForceLeave(ctx, in)
}

func (s catalogOps) usage(ctx context.Context, in *rpc.UsageRequest) (*rpc.UsageReply, error) {
	out := new(rpc.UsageReply)
	err := s.read(ctx, &in.ReadOptions, &out.ReadMeta, func(ws memdb.WatchSet, v *vet.Sight) (uint64, error) {
		if err := v.Need(acl.Operator, "", acl.Read); err != nil {
			return 0, err
		}
		nodesIndex, nodes := s.store.State().Nodes(ws)
		index, instances := s.store.State().Inventory(ws).Instances()
		out.Usage = map[string]rpc.Usage{s.cfg.Datacenter: rpc.CountUsage(len(nodes), instances)}
		return max(index, nodesIndex), nil
	})
	return out, err
}

// viewFollow serves an agent that follows names of this datacenter, or of another
// one that this server follows.
func (s *Server) viewFollow(ctx context.Context, c rpc.Conversation) error {
	if dc := rpc.DatacenterFrom(ctx); dc != "" && dc != s.cfg.Datacenter {
		return s.deps.Abroad.Follow(ctx, dc, remote.Hop(ctx) > 1, c)
	}
	return view.Serve(ctx, s.deps.Feed, c)
}
