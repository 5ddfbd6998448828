package federation

import (
	"context"
	"errors"
	"io"
	"time"

	"consul.internal/internal/fault"
	"consul.internal/rpc"
	"consul.internal/rpc/remote"
)

// Stream begins a conversation with a server of this datacenter, or of the one
// that the context names. It implements rpc.Streamer.
func (r *Router) Stream(ctx context.Context, name string) (rpc.Conversation, error) {
	return r.StreamIn(ctx, rpc.DatacenterFrom(ctx), name)
}

// Relayed is what a conversation tells that is not with a server of the
// datacenter that it is for.
type Relayed interface{ Relayed() bool }

// StreamIn begins a conversation with a server of a datacenter ("" = the own
// one), or with one that hands it on. A server whose conversation fails is asked
// last the next time.
func (r *Router) StreamIn(ctx context.Context, datacenter, name string) (rpc.Conversation, error) {
	if r.away(datacenter) {
		ctx = rpc.ToDatacenter(ctx, datacenter)
		if r.deps.Local != nil {
			return r.streamAbroad(ctx, datacenter, name)
		}
	}
	set := r.own()
	err := fault.Newf(fault.NoLeader, "No known Consul servers")
	for _, sv := range set.candidates() {
		if ctx.Err() != nil {
			return nil, fault.With(fault.Unavailable, context.Cause(ctx))
		}
		talk, failed := r.begin(ctx, way{server: sv, set: set}, name)
		if failed == nil {
			return talk, nil
		}
		err = failed
	}
	return nil, err
}

// streamAbroad begins a conversation for another datacenter. Whether a server
// that hands on can do so shows only when it is spoken to; the next time another
// one is asked.
func (r *Router) streamAbroad(ctx context.Context, dc, name string) (rpc.Conversation, error) {
	ways, err := r.ways(dc, remote.Hop(ctx))
	if err != nil {
		return nil, err
	}
	err = fault.Newf(fault.Unavailable, "no server of datacenter %s can be reached", dc)
	for _, w := range ways {
		if ctx.Err() != nil {
			return nil, fault.With(fault.Unavailable, context.Cause(ctx))
		}
		hop := remote.Hop(ctx) + 1
		if w.hands {
			hop = max(hop, relayHop)
		}
		talk, failed := r.begin(remote.WithHop(ctx, hop), w, name)
		if failed == nil {
			return talk, nil
		}
		err = failed
	}
	return nil, err
}

// begin opens a conversation with one server. A server that cannot be reached
// costs no more than one bounded try.
func (r *Router) begin(ctx context.Context, w way, name string) (rpc.Conversation, error) {
	c, err := r.pool.get(w.server)
	if err != nil {
		return nil, err
	}
	life, cancel := context.WithCancelCause(ctx)
	late := time.AfterFunc(firstTry, func() { cancel(errTooLate) })
	talk, err := c.Stream(life, name)
	if !late.Stop() && err == nil {
		err = errors.Join(errTooLate, talk.Close())
	}
	if err != nil {
		cancel(err)
		if ctx.Err() == nil {
			r.judge(w.set, w.server, err)
		}
		return nil, err
	}
	return &watched{Conversation: talk, ctx: ctx, cancel: cancel, r: r, way: w, dc: rpc.DatacenterFrom(ctx)}, nil
}

var errTooLate = fault.Newf(fault.Unavailable, "the server did not take the conversation in time")

// watched is a conversation whose end is remembered.
type watched struct {
	rpc.Conversation
	ctx    context.Context
	cancel context.CancelCauseFunc
	r      *Router
	way    way
	dc     string
}

// Relayed reports whether the server only hands the conversation on.
func (w *watched) Relayed() bool { return w.way.hands }

// Peer names the server, for people.
func (w *watched) Peer() string {
	text := "server " + w.way.server.Name + " of " + w.way.server.Datacenter + " at " + w.way.server.Addr
	if w.way.hands {
		text += ", which hands on what another server says"
	}
	return text
}

// Recv waits for the next value.
func (w *watched) Recv(into any) error {
	err := w.Conversation.Recv(into)
	switch {
	case err == nil || errors.Is(err, io.EOF):
	case w.ctx.Err() == nil && !errors.Is(err, context.Canceled):
		w.r.judge(w.way.set, w.way.server, err)
		if w.way.hands {
			w.r.hand.bar(w.dc, w.way.server.ID) // it has no way there, for a while
		}
	case errors.Is(context.Cause(w.ctx), fault.Unavailable): // whoever listened has given the server up
		w.way.set.pass(w.way.server.ID, true)
	}
	return err
}

// Close ends the conversation.
func (w *watched) Close() error {
	err := w.Conversation.Close()
	w.cancel(context.Canceled)
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
