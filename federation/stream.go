package federation

import (
	"context"
	"errors"
	"io"

	"consul.internal/internal/fault"
	"consul.internal/rpc"
)

// Stream begins a conversation with a server of this datacenter. It implements
// rpc.Streamer.
func (r *Router) Stream(ctx context.Context, name string) (rpc.Conversation, error) {
	return r.StreamIn(ctx, "", name)
}

// StreamIn begins a conversation with a server of a datacenter ("" = the own
// one). A server whose conversation fails is asked last the next time.
func (r *Router) StreamIn(ctx context.Context, datacenter, name string) (rpc.Conversation, error) {
	if err := r.path(datacenter); err != nil {
		return nil, err
	}
	set := r.own()
	err := fault.Newf(fault.NoLeader, "No known Consul servers")
	for _, sv := range set.candidates() {
		if ctx.Err() != nil {
			return nil, fault.With(fault.Unavailable, context.Cause(ctx))
		}
		c, failed := r.pool.get(sv)
		if failed != nil {
			return nil, failed
		}
		talk, failed := c.Stream(ctx, name)
		if failed == nil {
			return &watched{Conversation: talk, ctx: ctx, r: r, set: set, server: sv}, nil
		}
		err = failed
		if ctx.Err() == nil {
			r.judge(set, sv, failed)
		}
	}
	return nil, err
}

// watched is a conversation whose end is remembered.
type watched struct {
	rpc.Conversation
	ctx    context.Context
	r      *Router
	set    *serverSet
	server Server
}

// Recv waits for the next value.
func (w *watched) Recv(into any) error {
	err := w.Conversation.Recv(into)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, context.Canceled) && w.ctx.Err() == nil {
		w.r.judge(w.set, w.server, err)
	}
	return err
}

// StreamTo begins a conversation with one certain server.
func (r *Router) StreamTo(ctx context.Context, id, name string) (rpc.Conversation, error) {
	sv, ok := r.own().find(id)
	if !ok {
		return nil, fault.Newf(fault.Unavailable, "no server has the node ID %q", id)
	}
	c, err := r.pool.get(sv)
	if err != nil {
		return nil, err
	}
	return c.Stream(ctx, name)
}
