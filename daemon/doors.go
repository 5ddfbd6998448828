package daemon

import (
	"context"
	"io/fs"

	"consul.internal/configs"
	"consul.internal/internal/audit"
	"consul.internal/internal/metrics"
	"consul.internal/rpc"
	"consul.internal/rpc/limit"
	"consul.internal/rpc/remote"
)

// doors bound what is asked of this agent, and what it asks of servers.
type doors struct {
	requests *limit.Requests
	outgoing *limit.Outgoing
	audit    *audit.Log // nil = nothing is written down
}

// Parts of the files that the process may open which its doors hold at most. All
// of them together leave room for logs, snapshots and its own connections.
const (
	rpcParts = 4
	dnsParts = 16 // for each address of DNS
)

func newDoors(d *Daemon) doors {
	l := &d.settings.Limits
	return doors{
		requests: limit.NewRequests(requestLimits(l), limit.Deps{
			Log: d.log.Named("server").Named("rpc-rate-limit"), Metrics: d.opts.Metrics,
			Leads: func() bool { return d.store != nil && d.store.IsLeader() },
		}),
		outgoing: limit.NewOutgoing(l.RPCRate, l.RPCMaxBurst, d.opts.Metrics),
	}
}

func requestLimits(l *configs.Limits) limit.Config {
	r := l.Requests
	return limit.Config{
		Mode: limit.Mode(r.Mode), ReadRate: r.ReadRate, WriteRate: r.WriteRate,
		SourceReadRate: r.SourceReadRate, SourceWriteRate: r.SourceWriteRate,
	}
}

// openAudit opens the log of who did what, where the configuration has one.
func openAudit(d *Daemon) error {
	a := &d.settings.Audit
	if !a.Enabled {
		return nil
	}
	sinks := make([]audit.Sink, len(a.Sinks))
	for i, s := range a.Sinks {
		sinks[i] = audit.Sink{
			Name: s.Name, Path: s.Path, Mode: fs.FileMode(s.Mode), RotateDuration: s.RotateDuration,
			RotateBytes: s.RotateBytes, RotateMaxFiles: s.RotateMaxFiles,
		}
	}
	var err error
	d.audit, err = audit.Open(sinks, audit.Deps{
		Log: d.log.Named("audit"), Accessor: func(ctx context.Context, secret string) string {
			if d.guard == nil {
				return ""
			}
			who, err := d.guard.Who(ctx, secret)
			if err != nil {
				return ""
			}
			return who.Accessor
		},
		Dropped: func(n uint64) { d.opts.Metrics.Counter(metrics.AuditDropped).Add(float64(n)) },
	})
	if err != nil {
		return err
	}
	d.onClose("audit log", d.audit.Close)
	return nil
}

// reload takes over what can change while the agent runs.
func (o *doors) reload(l *configs.Limits) {
	o.requests.Reload(requestLimits(l))
	o.outgoing.Reload(l.RPCRate, l.RPCMaxBurst)
}

// way limits what this agent's edges ask: a server performs it itself or hands it
// on, and counts it either way.
func (o *doors) way(next rpc.Caller, server bool) rpc.Caller {
	next = o.outgoing.Caller(next)
	if server {
		next = o.requests.Caller(next)
	}
	return next
}

// others limits what other agents ask of this server.
func (o *doors) others(next remote.Handler) remote.Handler { return o.requests.Handler(next) }
