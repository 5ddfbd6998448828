package daemon

import (
	"slices"
	"strings"
	"time"

	"consul.internal/catalog"
	"consul.internal/configentry"
	"consul.internal/configs"
	"consul.internal/daemon/pools"
	"consul.internal/internal/metrics"
	"consul.internal/internal/tlsx"
	"consul.internal/internal/version"
	"consul.internal/rpc"
	"consul.internal/server/copied"
	"consul.internal/store"
)

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
	if d.settings.Telemetry.HostMetrics {
		publishHost(r, d.settings.Paths.DataDir)
	}
	r.OnCollect(func() {
		for part, door := range map[string]*tlsx.Door{"https": d.tls.HTTPS, "internal_rpc": d.tls.InternalRPC} {
			g := r.Gauge(metrics.TLSExpiry, metrics.Label{Name: "listener", Value: part})
			if end, ok := door.Expiry(); ok {
				g.Set(time.Until(end).Seconds())
			} else {
				g.Unset()
			}
		}
		keys := func(pool string, n int) {
			r.Gauge(metrics.GossipKeys, metrics.Label{Name: "network", Value: pool}).Set(float64(n))
		}
		if lan := d.pools.LAN(); lan != nil {
			keys("lan", lan.Keys())
		}
		if wan := d.pools.WAN(); wan != nil {
			keys("wan", wan.Keys())
		}
	})
	if d.store == nil { // the rest is the servers' to tell
		return
	}
	r.OnCollect(func() { d.publishRaft(r) })
	r.OnCollect(func() { d.publishMembers(r) })
	r.OnCollect(func() { d.publishCatalog(r) })
	r.OnCollect(d.keyCount(r))
	if p := d.settings.Node.PrimaryDatacenter; p != "" && p != d.settings.Node.Datacenter {
		r.OnCollect(func() { collectCopies(r, d.srv.Copies()) })
	}
}

// datacenter is the label of what a whole datacenter has.
func (d *Daemon) datacenter() metrics.Label {
	return metrics.Label{Name: "datacenter", Value: d.settings.Node.Datacenter}
}

// flag is a gauge's value for yes or no.
func flag(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

func (d *Daemon) publishRaft(r *metrics.Registry) {
	leads, f := d.store.IsLeader(), store.FiguresOf(d.store)
	r.Gauge(metrics.ServerIsLeader).Set(flag(leads))
	r.Gauge(metrics.ServerLeaderKnown).Set(flag(f.LeaderKnown))
	r.Gauge(metrics.StateDiffering).Set(flag(leads) * float64(store.Comparer(d.store).Differ()))
	r.Gauge(metrics.RaftAppliedIndex).Set(float64(f.Applied))
	r.Gauge(metrics.RaftLastIndex).Set(float64(f.Last))
	r.Gauge(metrics.RaftPeers).Set(float64(f.Peers))
	r.Gauge(metrics.RaftDiskHung).Set(flag(f.Hung))
	healthy, spare := r.Gauge(metrics.AutopilotHealthy), r.Gauge(metrics.AutopilotTolerance)
	if h, err := d.store.Autopilot().Health(); err == nil {
		healthy.Set(flag(h.Healthy))
		spare.Set(float64(h.FailureTolerance))
	} else { // only the leader knows
		healthy.Unset()
		spare.Unset()
	}
	s := d.mux.Stats()
	r.Counter(metrics.RPCAcceptConn).Reach(s.Accepted)
	r.Counter(metrics.RPCRaftHandoff).Reach(s.Raft)
}

func (d *Daemon) publishMembers(r *metrics.Registry) {
	alive := map[string]int{}
	for _, m := range d.pools.Shown().Members(false) {
		if m.Status == pools.StatusAlive {
			alive[m.Tags["role"]]++
		}
	}
	r.Gauge(metrics.MembersServers, d.datacenter()).Set(float64(alive["consul"]))
	r.Gauge(metrics.MembersClients, d.datacenter()).Set(float64(alive["node"]))
}

func (d *Daemon) publishCatalog(r *metrics.Registry) {
	dc := d.datacenter()
	nodes := 0
	for range d.views.dir.Nodes() {
		nodes++
	}
	var instances []*catalog.Instance
	for s := range d.views.dir.Services() { // one may have but a resolver
		instances = append(instances, s.Instances...)
	}
	u := rpc.CountUsage(nodes, instances)
	r.Gauge(metrics.StateNodes, dc).Set(float64(u.Nodes))
	r.Gauge(metrics.StateServices, dc).Set(float64(u.Services))
	r.Gauge(metrics.StateServiceInstance, dc).Set(float64(u.ServiceInstances))
	r.Gauge(metrics.StateBillable, dc).Set(float64(u.BillableServiceInstances))
	for kind, n := range u.ConnectServiceInstances {
		r.Gauge(metrics.StateConnect, dc, metrics.Label{Name: "kind", Value: kind}).Set(float64(n))
	}
	_, entries := d.store.State().ConfigEntries().List(nil, "")
	kinds := map[string]int{}
	for _, kind := range configentry.Kinds() {
		kinds[kind] = 0
	}
	for _, e := range entries {
		kinds[e.Kind]++
	}
	for kind, n := range kinds {
		r.Gauge(metrics.StateConfigEntries, dc, metrics.Label{Name: "kind", Value: kind}).Set(float64(n))
	}
}

// keyCount counts the keys, which takes as long as there are many: once an interval,
// and only if something was written.
func (d *Daemon) keyCount(r *metrics.Registry) func() {
	var counted time.Time
	var at uint64
	return func() {
		now, index := time.Now(), d.store.Index()
		if now.Sub(counted) < metrics.Interval || index == at && !counted.IsZero() {
			return
		}
		counted, at = now, index
		r.Gauge(metrics.StateKeys, d.datacenter()).Set(float64(d.store.State().Keys().Count()))
	}
}

// collectCopies shows how copying from the primary datacenter goes.
func collectCopies(r *metrics.Registry, copies []copied.Copy) {
	for _, what := range metrics.Replicated() {
		var c copied.Copy
		lag := time.Duration(0)
		if i := slices.IndexFunc(copies, func(c copied.Copy) bool { return strings.ReplaceAll(strings.ToLower(c.What), " ", "-") == what }); i >= 0 {
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
