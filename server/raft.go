package server

import (
	"context"

	"consul.internal/acl"
	"consul.internal/internal/fault"
	"consul.internal/rpc"
	"consul.internal/store"
)

// pledge answers a server that wants to found a cluster with this one.
func (s raftOps) pledge(ctx context.Context, in *rpc.PledgeRequest) (*rpc.PledgeReply, error) {
	return s.store.Former().Answer(ctx, in)
}

func (s raftOps) stats(context.Context, *rpc.RaftStatsRequest) (*rpc.RaftStatsReply, error) {
	return s.store.Members().Stats()
}

// demote lets a damaged server heal.
func (s raftOps) demote(ctx context.Context, in *rpc.RaftDemoteRequest) (*rpc.RaftDemoteReply, error) {
	return s.store.Members().Heal(ctx, in)
}

// sum tells what this server's state came to at a checkpoint.
func (s raftOps) sum(ctx context.Context, in *rpc.RaftSumRequest) (*rpc.RaftSumReply, error) {
	return store.Comparer(s.store).Answer(ctx, in)
}

// compare compares the states of all servers.
func (s raftOps) compare(ctx context.Context, in *rpc.RaftCompareRequest) (*rpc.RaftCompareReply, error) {
	if err := s.operate(ctx, in.Target, acl.Read); err != nil {
		return nil, err
	}
	return store.Comparer(s.store).Compare(ctx)
}

// leave removes the server that asks; that it is not in the cluster is well.
func (s raftOps) leave(ctx context.Context, in *rpc.RaftPeerRequest) (*rpc.Empty, error) {
	err := s.store.Members().RemoveServer(ctx, in.ID)
	if err != nil && fault.Of(err) != fault.NotFound {
		return nil, err
	}
	return new(rpc.Empty), nil
}

// configuration is answered by the leader, which knows how far the others
// are, unless any server will do.
func (s raftOps) configuration(ctx context.Context, in *rpc.RaftConfigurationRequest) (*rpc.RaftConfigurationReply, error) {
	if err := s.settled(ctx, &in.ReadOptions); err != nil {
		return nil, err
	}
	if err := s.operate(ctx, in.Target, acl.Read); err != nil {
		return nil, err
	}
	return s.store.Members().Configuration(ctx)
}

func (s raftOps) removePeer(ctx context.Context, in *rpc.RaftPeerRequest) (*rpc.Empty, error) {
	if err := s.operate(ctx, in.Target, acl.Write); err != nil {
		return nil, err
	}
	return new(rpc.Empty), s.store.Members().RemovePeer(ctx, in.ID, in.Address)
}

func (s raftOps) transferLeader(ctx context.Context, in *rpc.RaftPeerRequest) (*rpc.RaftTransferReply, error) {
	if err := s.operate(ctx, in.Target, acl.Write); err != nil {
		return nil, err
	}
	if err := s.store.Members().TransferLeadership(ctx, in.ID); err != nil {
		return nil, err
	}
	return &rpc.RaftTransferReply{Success: true}, nil
}

func (s autopilotOps) get(ctx context.Context, in *rpc.AutopilotRequest) (*rpc.AutopilotConfig, error) {
	if err := s.settled(ctx, &in.ReadOptions); err != nil {
		return nil, err
	}
	if err := s.operate(ctx, in.Target, acl.Read); err != nil {
		return nil, err
	}
	c := s.store.Autopilot().Config()
	return &c, nil
}

func (s autopilotOps) set(ctx context.Context, in *rpc.AutopilotSetRequest) (*rpc.AutopilotSetReply, error) {
	if err := s.operate(ctx, in.Target, acl.Write); err != nil {
		return nil, err
	}
	set, err := s.store.Autopilot().SetConfig(ctx, in.Config, in.CAS)
	if err != nil {
		return nil, err
	}
	return &rpc.AutopilotSetReply{Set: set}, nil
}

func (s autopilotOps) health(ctx context.Context, in *rpc.AutopilotRequest) (*rpc.AutopilotHealthReply, error) {
	if err := s.led(ctx, in.Target); err != nil {
		return nil, err
	}
	if err := s.operate(ctx, in.Target, acl.Read); err != nil {
		return nil, err
	}
	return s.store.Autopilot().Health()
}

func (s autopilotOps) state(ctx context.Context, in *rpc.AutopilotRequest) (*rpc.AutopilotStateReply, error) {
	if err := s.led(ctx, in.Target); err != nil {
		return nil, err
	}
	if err := s.operate(ctx, in.Target, acl.Read); err != nil {
		return nil, err
	}
	return s.store.Autopilot().State()
}

// operate makes sure that an operation on the cluster is for this datacenter and
// that the token permits it.
func (s *Server) operate(ctx context.Context, t rpc.Target, want acl.Access) error {
	if err := s.here(t); err != nil {
		return err
	}
	if want == acl.Write {
		return s.MayWrite(ctx, t, acl.Operator, "")
	}
	return s.May(ctx, t, acl.Operator, "", want)
}

// settled makes sure that this server may answer a read of what is not in the
// tables: the leader may, and for a stale read anybody.
func (s *Server) settled(ctx context.Context, opts *rpc.ReadOptions) error {
	if opts.Consistency == rpc.Stale {
		return s.here(opts.Target)
	}
	return s.led(ctx, opts.Target)
}

// led makes sure that this server leads the datacenter that is asked for.
func (s *Server) led(ctx context.Context, t rpc.Target) error {
	if err := s.here(t); err != nil {
		return err
	}
	return s.verify(ctx)
}
