package daemon

import (
	"context"

	"consul.internal/agent"
	"consul.internal/dnsserver/zone"
	"consul.internal/httpapi/edge"
	"consul.internal/lan"
	"consul.internal/rpc"
	"consul.internal/store"
	"consul.internal/view"
	"consul.internal/view/world"
)

// What tests reach without the doors, whose sockets are the machine's own.

func (d *Daemon) Caller() rpc.Caller   { return d.caller }
func (d *Daemon) Names() zone.Source   { return d.views.source }
func (d *Daemon) Mirror() *view.Mirror { return d.views.names }
func (d *Daemon) World() *world.World  { return d.views.world }
func (d *Daemon) Store() *store.Store  { return d.store }
func (d *Daemon) Local() *agent.Local  { return d.local }
func (d *Daemon) Routes() []edge.Route { return d.http.Routes() }
func (d *Daemon) Pool() *lan.Pool      { return d.pools.LAN() }

// Execute executes prepared queries as DNS does.
func (d *Daemon) Execute(ctx context.Context, ask zone.Ask) (zone.Result, error) {
	return d.views.queries.Execute(ctx, ask)
}
