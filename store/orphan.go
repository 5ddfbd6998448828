package store

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"

	"consul.internal/rpc"
	"consul.internal/store/disklog"
)

// orphanTick is how often a founder without a cluster looks for another one.
const orphanTick = time.Second

// watchOrphan looks after a server that has founded a cluster which never came to
// be: it was cut off after its bootstrap, before anybody voted for it, and the
// others have founded another cluster without it. By itself it would ask for votes
// for ever. It forgets its own founding, and is taken in by the others.
//
// Why nothing can be lost by that. Let S be the set of the founding. Only the
// coordinator bootstraps, so its log was the only one with an entry of that
// cluster; a server with an empty log never stands for election; so only this
// server could ever lead the cluster, with the votes of a majority of S. It never
// did: a leader writes an entry of its own, and its log ends with the bootstrap.
// It never will: of S so many belong to another cluster that the others are no
// majority. Who belongs to another one has a log of that, did not vote here when
// it was taken in or pledged itself there (see pledge.go), and refuses this
// cluster's messages by its ID. What this server had promised to anybody else was
// void when it pledged itself to S, and it has promised nothing since.
func (f *Former) watchOrphan(ctx context.Context, n *node, on founder) {
	tick := time.NewTicker(orphanTick)
	defer tick.Stop()
	for n.LastIndex() == 1 && n.CommitIndex() == 0 {
		if other := f.orphanOf(ctx, n); other != "" {
			f.s.logger.Warn("the other servers have founded a cluster without this one, whose own founding got nowhere; it forgets that and waits to be taken in", zap.String("cluster", other))
			if err := f.forget(ctx, n, on); err != nil && ctx.Err() == nil {
				f.s.fail(fmt.Errorf("forget a founding that got nowhere: %w", err))
			}
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// orphanOf is the cluster to which so many of this server's set belong that its
// own can never be, "" for none.
func (f *Former) orphanOf(ctx context.Context, n *node) string {
	if f.take(ctx) != nil {
		return ""
	}
	v := f.vow
	f.release()
	if v.Pledge == nil || v.Pledge.Ballot.By != f.s.cfg.NodeID || n.State() == raft.Leader {
		return "" // the entry came from another server
	}
	elsewhere := false // asked only once the pool says so
	for _, c := range f.s.deps.Pool() {
		elsewhere = elsewhere || c.Status == "alive" && c.ClusterID != "" && c.ClusterID != v.Pledge.ClusterID
	}
	if !elsewhere {
		return ""
	}
	var ids []string
	for _, m := range v.Pledge.Set {
		ids = append(ids, m.ID)
	}
	// A ballot of round 0 is below all others: it binds nobody.
	return deserted(*v.Pledge, f.ask(ctx, ids, &rpc.PledgeRequest{}))
}

// deserted is the cluster to which so many of a set belong that the rest is no
// majority of it, "" for none.
func deserted(p rpc.Pledge, replies map[string]rpc.PledgeReply) string {
	gone, other := 0, ""
	for _, m := range p.Set {
		r := replies[m.ID]
		if !r.Taken || r.ClusterID == "" || r.ClusterID == p.ClusterID || other != "" && r.ClusterID != other {
			continue
		}
		gone, other = gone+1, r.ClusterID
	}
	if len(p.Set)-gone >= len(p.Set)/2+1 {
		return ""
	}
	return other
}

// forget ends raft, removes its data and starts anew, over the same transport.
func (f *Former) forget(ctx context.Context, n *node, on founder) error {
	if err := f.take(ctx); err != nil {
		return err
	}
	defer f.release()
	s := f.s
	n.door.Keep()
	close(n.gone)
	if err := n.stop(); err != nil {
		return err
	}
	s.node.Store(nil)
	d := newDoor(s)
	on.transport = d
	if err := f.restart(on); err != nil {
		return err
	}
	if n := s.node.Load(); s.life.Err() != nil {
		return n.stop() // Close did not see it
	}
	return nil
}

func (f *Former) restart(on founder) error {
	s := f.s
	if s.disk != nil {
		if err := s.disk.closeLog(); err != nil {
			return err
		}
		if err := s.disk.wipe(); err != nil {
			return err
		}
		return anew(s, on)
	}
	s.unshown = &disklog.Unshown{}
	mem := disklog.Memory{InmemStore: raft.NewInmemStore(), Unshown: s.unshown}
	on.logs, on.stable, on.snaps = mem, mem, raft.NewInmemSnapshotStore()
	f.vow = vow{}
	f.note()
	s.cfg.Bootstrap, s.cfg.Expect = false, 0
	on.hold(s)
	if err := s.fsm.Reset(); err != nil {
		return err
	}
	return s.start(on, replayed{})
}
