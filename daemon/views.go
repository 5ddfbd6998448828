package daemon

import (
	"context"
	"path/filepath"
	"sync"
	"time"

	"consul.internal/dnsserver/prepared"
	"consul.internal/dnsserver/zone"
	"consul.internal/federation"
	"consul.internal/rpc"
	"consul.internal/view"
	"consul.internal/view/saved"
	"consul.internal/view/world"
)

// views are the names that this agent answers.
type views struct {
	queries *prepared.Cache
	source  zone.Source     // all of them
	world   *world.World    // the same
	dir     *view.Directory // a server's
	feed    *view.Feed      // a server's, for those who follow
	names   *view.Mirror    // a client's own datacenter
	saved   *saved.Saved    // what outlives the process; nil = nothing
	turn    sync.Mutex      // held while their token changes
}

const (
	// serverFollows is how many names of other datacenters a server follows for its
	// agents: some for each of many of them.
	serverFollows = 1 << 16
	// serverPending is how many may be asked for at a time, by all of them.
	serverPending = 4096
	// serverRetry is the longest pause before a server looks again for a way to
	// another datacenter: its agents' names shall be fresh soon after a line is back,
	// and there are few servers.
	serverRetry = 250 * time.Millisecond
)

// serve makes a server's view: all of its datacenter, fed by the store.
func (v *views) serve(d *Daemon) {
	v.dir = view.NewDirectory()
	v.feed = view.NewFeed(view.DefaultFeedConfig(), view.FeedDeps{
		Origin: func() (string, uint64) {
			c := d.store.State().Cluster()
			return c.ID, c.Epoch
		},
		LeaderAge: d.store.LastContact,
		Judge:     judge(d),
	}, v.dir)
	d.onClose("views", v.feed.Close)
}

// beyond adds what a server's agents follow of other datacenters.
func (v *views) beyond(ctx context.Context, d *Daemon) error {
	own := view.NewLocal(d.settings.Node.Datacenter, v.dir).
		Aging(d.store.LastContact, view.DefaultMirrorConfig("").StaleAfter)
	if d.settings.ACL.Enabled {
		own = own.Guarded()
		d.wg.Go(func() { watchRights(ctx, d, own) })
	}
	disk, err := v.disk(ctx, d)
	if err != nil {
		return err
	}
	limits := view.DefaultBudgetConfig()
	limits.Follow, limits.Names = serverFollows, serverFollows
	return v.abroad(d, own, view.NewBudget(limits), disk)
}

// mirror makes a client's views: the names that it was asked for, followed at the
// servers and kept on disk.
func (v *views) mirror(ctx context.Context, d *Daemon) error {
	disk, err := v.disk(ctx, d)
	if err != nil {
		return err
	}
	deps := view.MirrorDeps{Source: viewSource{d.router}, Budget: view.NewBudget(view.DefaultBudgetConfig()), Logger: d.log.Named("views")}
	if disk != nil {
		deps.Saved = disk
	}
	cfg := view.DefaultMirrorConfig(d.settings.Node.Datacenter)
	cfg.Secret = d.tokens.DNS()
	if v.names, err = view.NewMirror(cfg, deps); err != nil {
		return err
	}
	if err := v.names.Open(ctx); err != nil {
		return err
	}
	d.onClose("views", v.names.Close)
	return v.abroad(d, v.names, deps.Budget, disk)
}

// disk opens what keeps names beyond the end of the process; nil without a data directory.
func (v *views) disk(ctx context.Context, d *Daemon) (*saved.Saved, error) {
	dir := viewsDir(d)
	if dir == "" || d.settings.Dev && d.settings.Server.Enabled {
		return nil, nil
	}
	cfg := saved.DefaultConfig(filepath.Join(dir, "names"))
	cfg.Owner = ownerOf(d, d.tokens.DNS())
	disk, err := saved.New(cfg, d.log.Named("views"))
	if err != nil {
		return nil, err
	}
	if err := disk.Open(ctx); err != nil {
		return nil, err
	}
	d.onClose("saved views", disk.Close)
	v.saved = disk
	return disk, nil
}

// abroad puts the names of other datacenters beside the own ones.
func (v *views) abroad(d *Daemon, own world.Own, budget *view.Budget, disk *saved.Saved) (err error) {
	server := d.settings.Server.Enabled
	cfg := world.Config{
		Datacenter: d.settings.Node.Datacenter, Eager: server, Prefetch: d.settings.Federation.Prefetch,
		Mirror: func(dc string) view.MirrorConfig {
			c := view.RemoteMirrorConfig(dc)
			c.Secret, c.Guarded = d.tokens.DNS(), d.settings.ACL.Enabled
			if server {
				c.Pending, c.RetryMax = serverPending, serverRetry
			}
			return c
		},
	}
	deps := world.Deps{
		Own: own, Source: viewSource{d.router}, Budget: budget, Known: d.pools.Known, Services: servicesOf(d), Logger: d.log.Named("views"),
	}
	if disk != nil {
		deps.Saved = disk
	}
	if v.world, err = world.New(cfg, deps); err != nil {
		return err
	}
	v.world.SetMaxStale(d.settings.DNS.MaxStale)
	d.onClose("views of other datacenters", v.world.Close)
	if disk != nil {
		v.world.Restore(disk.Datacenters())
	}
	v.source = v.world
	return nil
}

// servicesOf lists the services of a datacenter once they have changed after an index.
func servicesOf(d *Daemon) func(ctx context.Context, dc string, after uint64) ([]string, uint64, error) {
	return func(ctx context.Context, dc string, after uint64) ([]string, uint64, error) {
		out, err := rpc.Call(ctx, d.router, rpc.CatalogServices, &rpc.ServicesRequest{ReadOptions: rpc.ReadOptions{
			Target: rpc.Target{Datacenter: dc, Token: d.tokens.DNS()}, Consistency: rpc.Stale, MinIndex: after,
		}})
		if err != nil {
			return nil, 0, err
		}
		names := make([]string, 0, len(out.Services))
		for name := range out.Services {
			names = append(names, name)
		}
		return names, out.Index, nil
	}
}

// viewSource follows names at the servers.
type viewSource struct{ router *federation.Router }

// Session implements view.Source.
func (s viewSource) Session(ctx context.Context, datacenter string) (view.Session, error) {
	c, err := s.router.StreamIn(ctx, datacenter, rpc.ViewFollow.Name)
	if err != nil {
		return nil, err
	}
	return session{view.Converse(c), c}, nil
}

// session tells whether it is with the datacenter itself.
type session struct {
	view.Session
	c rpc.Conversation
}

// Relayed reports that it is not.
func (s session) Relayed() bool {
	r, ok := s.c.(federation.Relayed)
	return ok && r.Relayed()
}

// Peer names who is at the other end.
func (s session) Peer() string {
	if p, ok := s.c.(interface{ Peer() string }); ok {
		return p.Peer()
	}
	return ""
}

// peers reaches other servers by their node ID, for the store.
type peers struct{ d *Daemon }

func (p peers) Pledge(ctx context.Context, id string, in *rpc.PledgeRequest) (*rpc.PledgeReply, error) {
	return rpc.Call(ctx, p.d.router.To(id), rpc.RaftPledge, in)
}

func (p peers) Stats(ctx context.Context, id string) (*rpc.RaftStatsReply, error) {
	return rpc.Call(ctx, p.d.router.To(id), rpc.RaftStats, &rpc.RaftStatsRequest{})
}

func (p peers) Sum(ctx context.Context, id string, in *rpc.RaftSumRequest) (*rpc.RaftSumReply, error) {
	return rpc.Call(ctx, p.d.router.To(id), rpc.RaftSum, in)
}
