package daemon

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"consul.internal/configs"
	"consul.internal/daemon/pools"
	"consul.internal/internal/metrics"
	"consul.internal/internal/version"
	"consul.internal/rpc"
	"consul.internal/server"
	"consul.internal/store"
)

// maxServiceLabels bounds the services that reads are counted by: more than most
// catalogs have, and some 100 KB.
const maxServiceLabels = 512

// MetricsConfig is a registry's configuration out of settings.
func MetricsConfig(s *configs.Settings) metrics.Config {
	return metrics.Config{Prefix: s.Telemetry.Prefix, Retention: s.Telemetry.PrometheusRetention, Filter: metricsFilter(s)}
}

func metricsFilter(s *configs.Settings) metrics.Filter {
	return metrics.Filter{Prefixes: s.Telemetry.PrefixFilter, Default: s.Telemetry.FilterDefault}
}

// publish lets the registry show what is only known when somebody asks.
func (d *Daemon) publish() {
	r := d.opts.Metrics
	r.CollectRuntime()
	r.Gauge(metrics.Version, metrics.Label{Name: "version", Value: version.Human()}, metrics.Label{Name: "pre_release", Value: version.Prerelease}).Set(1)
	dc := metrics.Label{Name: "datacenter", Value: d.settings.Node.Datacenter}
	nodes, services := r.Gauge(metrics.StateNodes, dc), r.Gauge(metrics.StateServices, dc)
	instances := r.Gauge(metrics.StateServiceInstance, dc)
	servers, clients := r.Gauge(metrics.MembersServers, dc), r.Gauge(metrics.MembersClients, dc)
	r.OnCollect(func() {
		if d.store == nil { // what the catalog holds is the servers' to tell
			return
		}
		count, names, all := 0, 0, 0
		for range d.views.dir.Nodes() {
			count++
		}
		for s := range d.views.dir.Services() {
			if len(s.Instances) > 0 { // else it has but a resolver
				names++
			}
			all += len(s.Instances)
		}
		nodes.Set(float64(count))
		services.Set(float64(names))
		instances.Set(float64(all))
		alive := map[string]int{}
		for _, m := range d.pools.Shown().Members(false) {
			if m.Status == pools.StatusAlive {
				alive[m.Tags["role"]]++
			}
		}
		servers.Set(float64(alive["consul"]))
		clients.Set(float64(alive["node"]))
		leads := 0.0
		if d.store.IsLeader() {
			leads = 1
		}
		r.Gauge(metrics.ServerIsLeader).Set(leads)
		r.Gauge(metrics.StateDiffering).Set(leads * float64(store.Comparer(d.store).Differ()))
		if p := d.settings.Node.PrimaryDatacenter; p != "" && p != d.settings.Node.Datacenter {
			collectCopies(r, d.srv.Copies())
		}
	})
}

// collectCopies shows how copying from the primary datacenter goes.
func collectCopies(r *metrics.Registry, copies []server.Copy) {
	for _, what := range metrics.Replicated() {
		var c server.Copy
		lag := time.Duration(0)
		if i := slices.IndexFunc(copies, func(c server.Copy) bool { return strings.ReplaceAll(strings.ToLower(c.What), " ", "-") == what }); i >= 0 {
			c = copies[i]
			lag = c.Lag(time.Now())
		}
		status := 0.0
		if c.Current {
			status = 1
		}
		r.Gauge(metrics.Replication(what, metrics.ReplicationStatus)).Set(status)
		r.Gauge(metrics.Replication(what, metrics.ReplicationIndex)).Set(float64(c.Index))
		r.Gauge(metrics.Replication(what, metrics.ReplicationLag)).Set(lag.Seconds())
	}
}

// counting is a Caller that counts and times what is asked of another one.
type counting struct {
	rpc.Caller
	r        *metrics.Registry
	server   bool
	blocking atomic.Int64
	catalog  *metrics.CounterSet
	health   *metrics.CounterSet
}

func newCounting(next rpc.Caller, r *metrics.Registry, server bool) *counting {
	c := &counting{
		Caller: next, r: r, server: server,
		catalog: r.CounterSet(metrics.CatalogQuery, "service", maxServiceLabels),
		health:  r.CounterSet(metrics.HealthQuery, "service", maxServiceLabels),
	}
	if server {
		r.OnCollect(func() { r.Gauge(metrics.RPCQueriesBlocking).Set(float64(c.blocking.Load())) })
	}
	return c
}

// Call implements rpc.Caller.
func (c *counting) Call(ctx context.Context, method string, in, out any) error {
	start := time.Now()
	if waits(in) {
		c.blocking.Add(1)
		defer c.blocking.Add(-1)
	}
	err := c.Caller.Call(ctx, method, in, out)
	all, failed := metrics.RPCRequest, metrics.RPCRequestError
	if !c.server {
		all, failed = metrics.ClientRPC, metrics.ClientRPCFailed
	}
	c.r.Counter(all).Inc()
	if err != nil {
		c.r.Counter(failed).Inc()
		return err
	}
	if !c.server {
		return nil
	}
	switch method {
	case rpc.CatalogRegister.Name:
		c.r.Timer(metrics.CatalogRegister).Since(start)
	case rpc.CatalogDeregister.Name:
		c.r.Timer(metrics.CatalogDeregister).Since(start)
	case rpc.CatalogService.Name:
		c.read(c.catalog, metrics.CatalogNotFound, in, out)
	case rpc.HealthService.Name:
		c.read(c.health, metrics.HealthNotFound, in, out)
	default:
		c.r.Counter(metrics.RPCQuery).Inc()
	}
	return nil
}

// read counts a read of a service. Only a service that exists gets a label: names
// that do not are anybody's invention.
func (c *counting) read(set *metrics.CounterSet, notFound string, in, out any) {
	c.r.Counter(metrics.RPCQuery).Inc()
	req, ok := in.(*rpc.ServiceRequest)
	reply, okReply := out.(*rpc.InstancesReply)
	switch {
	case !ok || !okReply:
	case len(reply.Instances) > 0:
		set.With(reply.Instances[0].Service.Name).Inc()
	case !req.Passing && len(req.Tags) == 0 && req.Filter == "":
		c.r.Counter(notFound).Inc()
	}
}

// waits reports whether a request is one that may block for minutes.
func waits(in any) bool {
	switch r := in.(type) {
	case *rpc.ServiceRequest:
		return r.MinIndex > 0
	case *rpc.NodesRequest:
		return r.MinIndex > 0
	case *rpc.ServicesRequest:
		return r.MinIndex > 0
	case *rpc.NodeRequest:
		return r.MinIndex > 0
	case *rpc.ChecksRequest:
		return r.MinIndex > 0
	case *rpc.StateRequest:
		return r.MinIndex > 0
	}
	return false
}
