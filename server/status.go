package server

import (
	"context"

	"consul.internal/internal/fault"
	"consul.internal/rpc"
)

func (s statusOps) leader(_ context.Context, in *rpc.StatusRequest) (*rpc.LeaderReply, error) {
	if err := s.here(in.Target); err != nil {
		return nil, err
	}
	out := &rpc.LeaderReply{Leader: s.store.LeaderAddr(), ID: s.store.LeaderID()}
	if in.Awaited && out.ID == "" {
		return nil, fault.Newf(fault.NoLeader, "No cluster leader")
	}
	return out, nil
}

func (s statusOps) peers(_ context.Context, in *rpc.StatusRequest) (*rpc.PeersReply, error) {
	if err := s.here(in.Target); err != nil {
		return nil, err
	}
	peers, err := s.store.Peers()
	if err != nil {
		return nil, err
	}
	return &rpc.PeersReply{Peers: peers}, nil
}
