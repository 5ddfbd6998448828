package daemon

import (
	"context"
	"path/filepath"

	"consul.internal/dnsserver/zone"
	"consul.internal/federation"
	"consul.internal/rpc"
	"consul.internal/view"
	"consul.internal/view/saved"
)

// views are the names that this agent answers.
type views struct {
	source zone.Source
	dir    *view.Directory // a server's
	feed   *view.Feed      // a server's, for those who follow
	names  *view.Mirror    // a client's
}

// serve makes a server's views: all of its datacenter, fed by the store.
func (v *views) serve(d *Daemon) {
	v.dir = view.NewDirectory()
	v.feed = view.NewFeed(view.DefaultFeedConfig(), view.FeedDeps{
		Origin: func() (string, uint64) {
			c := d.store.State().Cluster()
			return c.ID, c.Epoch
		},
		LeaderAge: d.store.LastContact,
	}, v.dir)
	v.source = view.NewLocal(d.settings.Node.Datacenter, v.dir).
		Aging(d.store.LastContact, view.DefaultMirrorConfig("").StaleAfter)
	d.onClose("views", v.feed.Close)
}

// mirror makes a client's views: the names that it was asked for, followed at the
// servers and kept on disk.
func (v *views) mirror(ctx context.Context, d *Daemon) error {
	deps := view.MirrorDeps{Source: viewSource{d.router}, Budget: view.NewBudget(view.DefaultBudgetConfig()), Logger: d.log.Named("views")}
	if dir := d.settings.Paths.DataDir; dir != "" {
		disk, err := saved.New(saved.DefaultConfig(filepath.Join(dir, "views", "names")), deps.Logger)
		if err != nil {
			return err
		}
		if err := disk.Open(ctx); err != nil {
			return err
		}
		deps.Saved = disk
		d.onClose("saved views", disk.Close)
	}
	var err error
	if v.names, err = view.NewMirror(view.DefaultMirrorConfig(d.settings.Node.Datacenter), deps); err != nil {
		return err
	}
	if err := v.names.Open(ctx); err != nil {
		return err
	}
	d.onClose("views", v.names.Close)
	v.source = v.names
	return nil
}

// viewSource follows names at the servers.
type viewSource struct{ router *federation.Router }

func (s viewSource) Session(ctx context.Context, _ string) (view.Session, error) {
	c, err := s.router.Stream(ctx, rpc.ViewFollow.Name)
	if err != nil {
		return nil, err
	}
	return view.Converse(c), nil
}

// peers reaches other servers by their node ID, for the store.
type peers struct{ d *Daemon }

func (p peers) Pledge(ctx context.Context, id string, in *rpc.PledgeRequest) (*rpc.PledgeReply, error) {
	return rpc.Call(ctx, p.d.router.To(id), rpc.RaftPledge, in)
}

func (p peers) Stats(ctx context.Context, id string) (*rpc.RaftStatsReply, error) {
	return rpc.Call(ctx, p.d.router.To(id), rpc.RaftStats, &rpc.RaftStatsRequest{})
}
