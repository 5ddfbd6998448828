package server

import (
	"context"
	"errors"
	"time"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/query"
	"consul.internal/rpc"
	"consul.internal/server/vet"
	"consul.internal/view"
	"go.uber.org/zap"
)

// Names gives services of other datacenters out of memory, as zone.Source does.
type Names interface {
	Service(ctx context.Context, datacenter, name string) (*view.Service, view.State, error)
}

const (
	// failoverTimeout bounds what one datacenter may take in a failover where the
	// asker sets no limit: several tries at its servers, each with a round trip around
	// the earth.
	failoverTimeout = 3 * time.Second
	// failoverShare is the part of the asker's time that failing over may take, so
	// that the answer still arrives in time.
	failoverShare = 0.8
	// rememberTimeout bounds the look at what is remembered of a datacenter that did
	// not answer: memory needs no time.
	rememberTimeout = 50 * time.Millisecond
)

// failOver asks other datacenters, in the order of the query's plan, if this one
// has no instance.
func (s queryOps) failOver(ctx context.Context, q *query.Query, in *rpc.QueryExecuteRequest, out *rpc.QueryExecuteReply) {
	if len(out.Instances) > 0 || !q.Service.Failover.Wanted() {
		return
	}
	known, err := catalogOps(s).datacenters(ctx, &rpc.DatacentersRequest{ReadOptions: rpc.ReadOptions{Target: rpc.Target{Token: in.Token}}})
	if err != nil {
		s.deps.Log.Warn("a prepared query does not fail over: the datacenters are not known", zap.String("query", in.Query), zap.Error(err))
		return
	}
	plan := q.Service.Failover.Plan(s.cfg.Datacenter, known.Datacenters)
	for i, dc := range plan {
		out.Failovers++
		tried, cancel := share(ctx, len(plan)-i)
		found, err := s.there(tried, dc, q, in)
		cancel()
		if err != nil {
			s.deps.Log.Debug("a prepared query got no answer from a datacenter that it fails over to",
				zap.String("query", in.Query), zap.String("datacenter", dc), zap.Error(err))
			continue
		}
		out.Datacenter, out.Instances, out.Stale = dc, found.Instances, found.Stale
		if len(out.Instances) > 0 {
			return
		}
	}
}

// share bounds one of so many tries that are left.
func share(ctx context.Context, left int) (context.Context, context.CancelFunc) {
	limit := failoverTimeout
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Duration(float64(time.Until(deadline))*failoverShare)/time.Duration(left))
	}
	return context.WithTimeout(ctx, limit)
}

// there executes a query in another datacenter.
func (s queryOps) there(ctx context.Context, dc string, q *query.Query, in *rpc.QueryExecuteRequest) (*rpc.QueryExecuteReply, error) {
	remember := s.deps.Names != nil && !q.Service.Connect && !in.Connect
	// What is remembered is what this server's own token shows it: too little, maybe.
	if remember && in.Brief && !s.cfg.ACL.Enabled {
		out, err := s.remembered(ctx, dc, q, in.Limit)
		if !errors.Is(err, fault.NotFound) {
			return out, err
		}
	}
	out, err := s.askThere(ctx, dc, q, in)
	if err == nil || !remember || errors.Is(err, fault.Denied) {
		return out, err // what it refuses is not shown from memory either
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), rememberTimeout)
	defer cancel()
	v, denied := s.Sight(ctx, in.Target)
	if denied != nil {
		return nil, err
	}
	if out, err := s.remembered(late, dc, q, 0); err == nil {
		out.Instances = limited(vet.Visible(v, out.Instances, v.Instance), in.Limit)
		return out, nil
	}
	return nil, err
}

// remembered answers from what this server knows of the other datacenter.
func (s queryOps) remembered(ctx context.Context, dc string, q *query.Query, limit int) (*rpc.QueryExecuteReply, error) {
	svc, st, err := s.deps.Names.Service(ctx, dc, catalog.Fold(q.Service.Service))
	if err != nil {
		return nil, err
	}
	out := &rpc.QueryExecuteReply{Stale: st.Stale}
	if svc != nil {
		out.Instances = limited(chosen(q, svc.Instances), limit)
	}
	return out, nil
}

func (s queryOps) askThere(ctx context.Context, dc string, q *query.Query, in *rpc.QueryExecuteRequest) (*rpc.QueryExecuteReply, error) {
	if s.deps.Remote == nil {
		return nil, fault.Newf(fault.NoRoute, "No path to datacenter")
	}
	opts := rpc.ReadOptions{Target: rpc.Target{Datacenter: dc, Token: in.Token}, Consistency: in.Consistency, MaxStale: in.MaxStale}
	return rpc.Call(ctx, s.deps.Remote, rpc.QueryExecuteRemote,
		&rpc.QueryRemoteRequest{ReadOptions: opts, Query: q, Limit: in.Limit, Connect: in.Connect})
}
