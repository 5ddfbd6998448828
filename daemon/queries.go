package daemon

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"consul.internal/catalog"
	"consul.internal/daemon/pools"
	"consul.internal/dnsserver/prepared"
	"consul.internal/dnsserver/zone"
	"consul.internal/internal/fault"
	"consul.internal/rpc"
	"consul.internal/view"
)

// followWait is how long a server holds a followed query that does not change: a
// name that nobody asks for any more is let go after that.
const followWait = 30 * time.Second

// prepare makes what executes prepared queries for DNS, and keeps what came of them.
func (v *views) prepare(ctx context.Context, d *Daemon) error {
	v.queries = prepared.New(prepared.DefaultConfig(), queries{d}.fetch)
	d.onClose("prepared queries", v.queries.Close)
	if dir := viewsDir(d); dir != "" {
		return v.queries.Open(ctx, filepath.Join(dir, "queries"), ownerOf(d, d.tokens.DNS()), d.log.Named("views"))
	}
	return nil
}

// queries executes prepared queries wherever that can be done.
type queries struct{ d *Daemon }

// fetch executes a query for DNS. Any server will do: an old answer
// is better than none.
func (q queries) fetch(ctx context.Context, ask zone.Ask, after uint64) (prepared.Answer, error) {
	if catalog.EqualFold(ask.Datacenter, q.d.settings.Node.Datacenter) {
		ask.Datacenter = ""
	}
	in := &rpc.QueryExecuteRequest{
		ReadOptions: rpc.ReadOptions{
			Target: rpc.Target{Datacenter: ask.Datacenter, Token: q.d.tokens.DNS()}, Consistency: rpc.Stale, MinIndex: after, MaxWait: followWait,
		},
		Query:  ask.Name,
		Origin: rpc.QueryOrigin{Node: q.d.settings.Node.Name},
		Brief:  true,
	}
	if ask.Client.IsValid() {
		in.Origin.IP = ask.Client.String()
	}
	out, err := rpc.Call(ctx, q.d.caller, rpc.QueryExecute, in)
	if errors.Is(err, fault.NoRoute) {
		// Either nobody knows the datacenter, or it cannot be reached now.
		if _, unknown := q.d.views.source.State(ctx, ask.Datacenter); errors.Is(unknown, fault.NotFound) {
			err = unknown
		}
	}
	if errors.Is(err, fault.Denied) {
		// Not as if it did not exist: a person must learn that a token is wrong.
		err = fault.Newf(fault.Unavailable, "prepared query %q: %w: %s", ask.Name, prepared.ErrRefused, err)
	}
	if err != nil {
		return prepared.Answer{}, err
	}
	// What this process executes itself costs no more than to remember it.
	elsewhere := q.d.srv == nil || ask.Datacenter != ""
	a := prepared.Answer{
		Result: zone.Result{Service: out.Service, Datacenter: out.Datacenter, Instances: out.Instances, Stale: out.Stale},
		Index:  out.Index, Sorted: out.Sorted, Lasts: elsewhere && !out.Varies && out.Failovers == 0,
	}
	a.TTL, a.HasTTL = out.DNS.Duration()
	return a, nil
}

// elsewhere is the way to other datacenters for the operations of this server,
// which are made before it.
type elsewhere struct{ d *Daemon }

func (e elsewhere) Call(ctx context.Context, method string, in, out any) error {
	return e.d.router.Call(ctx, method, in, out)
}

// names are the services of other datacenters in this server's memory, which are
// known later than its operations.
type names struct{ d *Daemon }

func (n names) Service(ctx context.Context, datacenter, name string) (*view.Service, view.State, error) {
	return n.d.views.source.Service(ctx, datacenter, name)
}

// abroad is what this server knows of other datacenters: its pools who is there, its
// views their names.
type abroad struct {
	pools.Operations
	views *views
}

// Follow implements server.Abroad.
func (a abroad) Follow(ctx context.Context, dc string, direct bool, c rpc.Conversation) error {
	return a.views.world.Serve(ctx, dc, direct, c)
}
