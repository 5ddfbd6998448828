package server

import (
	"context"

	"consul.internal/rpc"
)

func (s *Server) statusLeader(_ context.Context, in *rpc.StatusRequest) (*rpc.LeaderReply, error) {
	if err := s.here(in.Target); err != nil {
		return nil, err
	}
	return &rpc.LeaderReply{Leader: s.store.LeaderAddr()}, nil
}

func (s *Server) statusPeers(_ context.Context, in *rpc.StatusRequest) (*rpc.PeersReply, error) {
	if err := s.here(in.Target); err != nil {
		return nil, err
	}
	peers, err := s.store.Peers()
	if err != nil {
		return nil, err
	}
	return &rpc.PeersReply{Peers: peers}, nil
}
