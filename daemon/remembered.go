package daemon

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"consul.internal/internal/fault"
	"consul.internal/rpc"
	"consul.internal/server"
	"consul.internal/view"
)

// remembered answers, on a client, what may come out of the agent's own memory
// (?cached): the health of a service, which is the same view that DNS answers
// from, with its checks. All else, and what is not known here, goes on.
type remembered struct {
	rpc.Caller
	names    *view.Mirror
	own      string // datacenter
	wait     time.Duration
	waitMost time.Duration
	// mayAll reports whether a token may see all that the names were followed for.
	mayAll func(token string) bool
}

// Call implements rpc.Caller.
func (r remembered) Call(ctx context.Context, method string, in, out any) error {
	req, isRead := in.(*rpc.ServiceRequest)
	reply, fits := out.(*rpc.InstancesReply)
	if method != rpc.HealthService.Name || !isRead || !fits || !r.may(req) {
		return r.Caller.Call(ctx, method, in, out)
	}
	err := r.health(ctx, req, reply)
	if fault.Of(err) == fault.Unavailable && ctx.Err() == nil {
		return r.Caller.Call(ctx, method, in, out) // not known here in time; the servers may answer
	}
	return err
}

// may says whether the view has all that a read asks for.
func (r remembered) may(in *rpc.ServiceRequest) bool {
	return in.Cached && (in.Datacenter == "" || in.Datacenter == r.own) && in.Service != "" &&
		!in.Connect && !in.Ingress && !in.Central && in.Near == "" && r.mayAll(in.Token)
}

func (r remembered) health(ctx context.Context, in *rpc.ServiceRequest, out *rpc.InstancesReply) error {
	waiting := ctx
	if in.MinIndex > 0 {
		wait := in.MaxWait
		if wait <= 0 {
			wait = r.wait
		}
		wait = min(wait, r.waitMost)
		var cancel context.CancelFunc
		// As at the servers: those that began together do not come back together.
		waiting, cancel = context.WithTimeout(ctx, wait+rand.N(wait/16+1))
		defer cancel()
	}
	svc, st, err := r.names.Follow(waiting, in.Service, in.MinIndex)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return fault.With(fault.Unavailable, context.Cause(ctx))
	}
	if svc != nil {
		if out.Instances, err = server.Choose(in, svc.Instances); err != nil {
			return err
		}
	} else if _, err := server.Choose(in, nil); err != nil {
		return err // a wrong filter is wrong also where there is nothing to filter
	}
	out.Index = max(st.Index, 1)
	out.KnownLeader, out.Consistency = !st.Stale, in.Consistency
	out.NotModified = in.MinIndex > 0 && out.Index <= in.MinIndex && errors.Is(waiting.Err(), context.DeadlineExceeded)
	if st.Stale {
		out.Age, out.LastContact = st.Age, st.Age
	}
	return nil
}
