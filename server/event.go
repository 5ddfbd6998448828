package server

import (
	"context"

	"consul.internal/acl"
	"consul.internal/internal/fault"
	"consul.internal/kv"
	"consul.internal/lan/events"
	"consul.internal/rpc"
	"github.com/hashicorp/go-uuid"
)

// eventOps are the operations on users' events.
type eventOps struct{ *Server }

// fire sends an event to this datacenter's pool. No leader is needed.
func (s eventOps) fire(ctx context.Context, in *rpc.EventFireRequest) (*rpc.EventFireReply, error) {
	if err := s.here(in.Target); err != nil {
		return nil, err
	}
	if err := s.May(ctx, in.Target, acl.Event, in.Event.Name, acl.Write); err != nil {
		return nil, err
	}
	e := in.Event
	if _, err := e.Filter(); err != nil {
		return nil, err
	}
	id, err := uuid.GenerateUUID()
	if err != nil {
		return nil, fault.With(fault.Unavailable, err)
	}
	e.ID, e.Version = id, kv.EventVersion
	name, payload, err := events.Encode(&e)
	if err != nil {
		return nil, err
	}
	if err := s.deps.Pools.Fire(name, payload); err != nil {
		return nil, err
	}
	return &rpc.EventFireReply{Event: e}, nil
}
