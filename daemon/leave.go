package daemon

import (
	"context"
	"time"

	"consul.internal/rpc"
	"go.uber.org/zap"
)

// leaveTimeout bounds the good-bye: a hand-over, two calls and the pool's own
// time to tell, each with patience for one election.
const leaveTimeout = 15 * time.Second

// Leave takes the agent out of the cluster, goes on answering for as long as
// others may still send somebody here, and tells the process to end.
func (d *Daemon) Leave(ctx context.Context) error {
	alone := d.depart(ctx)
	d.drain(ctx, alone)
	return ctx.Err()
}

// leaveSoon is Leave for who asks over one of the doors: it returns when the
// others have been told.
func (d *Daemon) leaveSoon(ctx context.Context) error {
	alone := d.depart(context.WithoutCancel(ctx))
	d.wg.Go(func() { d.drain(context.WithoutCancel(ctx), alone) })
	return ctx.Err()
}

// depart tells the others, in the order in which nobody is sent here in vain: a
// leader hands over, the servers take the node out of the catalog, then the pool
// hears of it. What does not work is left to the others to find out.
func (d *Daemon) depart(ctx context.Context) (alone bool) {
	alone = d.pools.Alone() // there is nobody whom a good-bye would tell anything
	d.leaving.Do(func() {
		defer close(d.left)
		d.log.Info("leaving: answering what is in flight, then closing")
		if alone {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
		defer cancel()
		note := func(what string, err error) {
			if err != nil {
				d.log.Warn("leaving: "+what, zap.Error(err))
			}
		}
		if d.store != nil {
			note("this server stays in the raft configuration until the others remove it", d.store.Members().Leave(ctx, func(ctx context.Context) error {
				_, err := rpc.Call(ctx, d.router, rpc.RaftLeave, &rpc.RaftPeerRequest{ID: d.nodeID})
				return err
			}))
		}
		d.local.StopSync()
		_, err := rpc.Call(ctx, d.caller, rpc.CatalogDeregister, &rpc.DeregisterRequest{
			Target: rpc.Target{Token: d.tokens.Agent()}, Node: d.settings.Node.Name,
		})
		note("this node stays in the catalog until the leader removes it", err)
		if w := d.pools.WAN(); w != nil {
			note("the other datacenters may take this server for failed", w.Leave(ctx))
		}
		if pool := d.pools.LAN(); pool != nil {
			note("the pool may take this agent for failed", pool.Leave(ctx))
		}
	})
	<-d.left
	return alone
}

// drain keeps the doors open for as long as answers of others may still lead
// here, and the answer to the leave itself may be under way.
func (d *Daemon) drain(ctx context.Context, alone bool) {
	wait := d.settings.Leaving.DrainTime
	if alone || wait < leaveGrace {
		wait = leaveGrace
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	case <-d.done:
	}
	d.finish(nil)
}
