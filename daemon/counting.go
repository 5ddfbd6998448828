package daemon

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"consul.internal/federation"
	"consul.internal/internal/fault"
	"consul.internal/internal/metrics"
	"consul.internal/rpc"
)

const (
	// maxServiceLabels bounds the services that reads are counted by: more than most
	// catalogs have, and some 100 KB.
	maxServiceLabels = 512
	// maxDatacenterLabels bounds the datacenters in the same way.
	maxDatacenterLabels = 64
)

// asking counts what this agent's edges ask of servers.
type asking struct {
	rpc.Caller
	r          *metrics.Registry
	server     bool
	datacenter string
	abroad     *metrics.CounterSet
	blocking   atomic.Int64 // queries of this agent's own edges that may wait
}

func newAsking(next rpc.Caller, r *metrics.Registry, server bool, datacenter string) *asking {
	return &asking{Caller: next, r: r, server: server, datacenter: datacenter, abroad: r.CounterSet(metrics.RPCCrossDC, "datacenter", maxDatacenterLabels)}
}

// Call implements rpc.Caller.
func (c *asking) Call(ctx context.Context, method string, in, out any) error {
	if waits(in) {
		c.blocking.Add(1)
		defer c.blocking.Add(-1)
	}
	err := c.Caller.Call(ctx, method, in, out)
	if c.server {
		// A datacenter that does not exist is anybody's invention.
		if dc := rpc.DatacenterOf(in); dc != "" && dc != c.datacenter && !errors.Is(err, fault.NoRoute) {
			c.abroad.With(dc).Inc()
		}
		return err
	}
	c.r.Counter(metrics.ClientRPC).Inc()
	if err != nil {
		c.r.Counter(metrics.ClientRPCFailed).Inc()
	}
	return err
}

// performing counts and times what this server performs, whoever asks: its own edges
// and other agents.
type performing struct {
	federation.Local
	r        *metrics.Registry
	leads    func() bool
	blocking atomic.Int64
	catalog  *metrics.CounterSet
	health   *metrics.CounterSet
}

func newPerforming(next federation.Local, r *metrics.Registry, leads func() bool) *performing {
	p := &performing{
		Local: next, r: r, leads: leads,
		catalog: r.CounterSet(metrics.CatalogQuery, "service", maxServiceLabels),
		health:  r.CounterSet(metrics.HealthQuery, "service", maxServiceLabels),
	}
	r.OnCollect(func() { r.Gauge(metrics.RPCQueriesBlocking).Set(float64(p.blocking.Load())) })
	return p
}

// Call implements rpc.Caller.
func (p *performing) Call(ctx context.Context, method string, in, out any) error {
	start := time.Now()
	if waits(in) {
		p.blocking.Add(1)
		defer p.blocking.Add(-1)
	}
	err := p.Local.Call(ctx, method, in, out)
	if errors.Is(err, fault.NotLeader) || errors.Is(err, fault.NoLeader) {
		return err // the router takes it elsewhere
	}
	p.count(method, in, out, time.Since(start), err)
	return err
}

func (p *performing) count(method string, in, out any, took time.Duration, err error) {
	kind := "write"
	if rpc.ReadOf(in) != nil {
		kind = "read"
		p.r.Counter(metrics.RPCQuery).Inc()
	}
	p.r.Counter(metrics.RPCRequest).Inc()
	p.r.Timer(metrics.RPCServerCall, metrics.Label{Name: "method", Value: method}, metrics.Label{Name: "request_type", Value: kind},
		metrics.Label{Name: "rpc_type", Value: "internal"}, metrics.Label{Name: "errored", Value: strconv.FormatBool(err != nil)},
		metrics.Label{Name: "leader", Value: strconv.FormatBool(p.leads())}).Observe(took)
	if err != nil {
		p.r.Counter(metrics.RPCRequestError).Inc()
		return
	}
	if name, ok := timed()[method]; ok {
		p.r.Timer(name).Observe(took)
	}
	switch method {
	case rpc.CatalogService.Name:
		p.read(p.catalog, metrics.CatalogNotFound, in, out)
	case rpc.HealthService.Name:
		p.read(p.health, metrics.HealthNotFound, in, out)
	}
}

// timed are the operations that have a timer of their own under a known name.
var timed = sync.OnceValue(func() map[string]string {
	return map[string]string{
		rpc.CatalogRegister.Name: metrics.CatalogRegister, rpc.CatalogDeregister.Name: metrics.CatalogDeregister,
		rpc.KeyApply.Name: metrics.KVApply, rpc.TxnApply.Name: metrics.TxnApply, rpc.TxnRead.Name: metrics.TxnRead,
		rpc.SessionCreate.Name: metrics.SessionApply, rpc.SessionDestroy.Name: metrics.SessionApply, rpc.SessionRenew.Name: metrics.SessionRenew,
		rpc.QueryApply.Name: metrics.QueryApply, rpc.QueryExplain.Name: metrics.QueryExplain,
		rpc.QueryExecute.Name: metrics.QueryExecute, rpc.QueryExecuteRemote.Name: metrics.QueryExecuteRemote,
		rpc.ACLResolve.Name: metrics.ACLResolve, rpc.ACLTokenSet.Name: metrics.ACLTokenUpsert, rpc.ACLTokenClone.Name: metrics.ACLTokenClone,
		rpc.ACLTokenDelete.Name: metrics.ACLTokenDelete, rpc.ACLPolicySet.Name: metrics.ACLPolicyUpsert, rpc.ACLPolicyDelete.Name: metrics.ACLPolicyDelete,
		rpc.ACLRoleSet.Name: metrics.ACLRoleUpsert, rpc.ACLRoleDelete.Name: metrics.ACLRoleDelete,
		rpc.ACLMethodSet.Name: metrics.ACLMethodUpsert, rpc.ACLMethodDelete.Name: metrics.ACLMethodDelete,
		rpc.ACLBindingSet.Name: metrics.ACLBindingUpsert, rpc.ACLBindingDelete.Name: metrics.ACLBindingDelete,
		rpc.ACLLogin.Name: metrics.ACLLogin, rpc.ACLLogout.Name: metrics.ACLLogout,
	}
})

// read counts a read of a service. Only a service that exists gets a label: names
// that do not are anybody's invention.
func (p *performing) read(set *metrics.CounterSet, notFound string, in, out any) {
	req, ok := in.(*rpc.ServiceRequest)
	reply, okReply := out.(*rpc.InstancesReply)
	switch {
	case !ok || !okReply:
	case len(reply.Instances) > 0:
		set.With(reply.Instances[0].Service.Name).Inc()
	case !req.Passing && len(req.Tags) == 0 && req.Filter == "":
		p.r.Counter(notFound).Inc()
	}
}

// waits reports whether a request is one that may block for minutes.
func waits(in any) bool {
	o := rpc.ReadOf(in)
	return o != nil && o.MinIndex > 0
}
