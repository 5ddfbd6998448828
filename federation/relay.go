package federation

import (
	"context"
	"errors"
	"time"

	"consul.internal/internal/fault"
	"consul.internal/rpc"
	"consul.internal/rpc/remote"
	"go.uber.org/zap"
)

// Relay performs what comes over the wire: at the server in this process or, for
// others who cannot reach the leader, by handing it on. It never waits for a
// leader, so that whoever asked can try the next server.
func (r *Router) Relay() remote.Handler { return relay{r} }

type relay struct{ r *Router }

// Call performs an operation here or at the leader.
func (h relay) Call(ctx context.Context, method string, in, out any) error {
	local := h.r.deps.Local
	if local == nil {
		return fault.Newf(fault.NotFound, "unknown operation %q", method)
	}
	if dc := rpc.DatacenterOf(in); h.r.away(dc) {
		return h.r.onward(ctx, dc, method, in, out)
	}
	err := local.Call(ctx, method, in, out)
	if !errors.Is(err, fault.NotLeader) || remote.Hop(ctx) >= remote.MaxHop {
		return err
	}
	return h.forward(ctx, local.LeaderID(), method, in, out)
}

// forward hands a call on to the leader.
func (h relay) forward(ctx context.Context, id, method string, in, out any) error {
	leader, ok := h.r.own().find(id)
	if !ok {
		return fault.Newf(fault.NoLeader, "No cluster leader")
	}
	h.r.deps.Logger.Debug("a call is handed on to the leader", zap.String("method", method), zap.String("leader", leader.Name), zap.Int("hop", remote.Hop(ctx)))
	c, err := h.r.pool.get(leader)
	if err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(float64(time.Until(deadline))*forwardShare))
		defer cancel()
	}
	if op := h.r.deps.Contract[method]; op.Idempotent && !waits(in) {
		led, done := h.r.whileLeads(ctx, id)
		defer done()
		ctx = led
	}
	err = c.Call(remote.WithHop(ctx, remote.MaxHop), method, in, out)
	if remote.Lost(err) && errors.Is(err, fault.Unavailable) || errors.Is(err, fault.NotLeader) {
		return fault.With(fault.NoLeader, err) // not performed; another server may know better
	}
	return err
}

// Converse holds a conversation here, or carries it on to where it belongs.
func (h relay) Converse(ctx context.Context, name string, c rpc.Conversation) error {
	if h.r.deps.Local == nil {
		return fault.Newf(fault.NotFound, "unknown stream %q", name)
	}
	if begin, there := h.elsewhere(ctx, name); there {
		return handOn(ctx, c, begin)
	}
	return h.r.deps.Local.Converse(ctx, name, c)
}
