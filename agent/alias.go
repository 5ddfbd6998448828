package agent

import (
	"context"
	"strings"
	"sync"

	"consul.internal/checks"
	"consul.internal/rpc"
)

// follower tells alias checks what they follow.
type follower struct {
	node   string // this one's name
	state  *state
	caller rpc.Caller
	target func(token string) rpc.Target
}

// follow gives an alias check what it follows: from here for services of this
// node, from the servers for those of others.
func (f *follower) follow(ctx context.Context, id string, d *checks.Definition, last uint64) (checks.Followed, error) {
	if d.AliasNode == "" || strings.EqualFold(d.AliasNode, f.node) {
		return f.followLocal(ctx, id, d.AliasService, last)
	}
	return f.followRemote(ctx, d, last)
}

func (f *follower) followLocal(ctx context.Context, id, service string, last uint64) (checks.Followed, error) {
	for {
		version, bell := f.state.watch()
		if last == 0 || version > last {
			found, exists := f.state.followed(id, service)
			return checks.Followed{Checks: found, Found: exists, Index: version}, nil
		}
		select {
		case <-bell:
		case <-ctx.Done():
			return checks.Followed{}, ctx.Err()
		}
	}
}

func (f *follower) followRemote(ctx context.Context, d *checks.Definition, last uint64) (checks.Followed, error) {
	// Any server will do: an alias that is a moment late is better than one that waits for a leader.
	req := rpc.NodeRequest{Node: d.AliasNode, ReadOptions: rpc.ReadOptions{Target: f.target(d.Token), Consistency: rpc.Stale}}
	if last != 0 {
		if err := f.await(ctx, req, last); err != nil {
			return checks.Followed{}, err
		}
	}
	health, err := rpc.Call(ctx, f.caller, rpc.HealthNode, &req)
	if err != nil {
		return checks.Followed{}, err
	}
	node, err := rpc.Call(ctx, f.caller, rpc.CatalogNode, &req)
	if err != nil {
		return checks.Followed{}, err
	}
	index := max(health.Index, node.Index, 1)
	if index < last {
		index = 0 // the servers were restored; what they know now is told at once
	}
	out := checks.Followed{Found: node.Node != nil && d.AliasService == "", Index: index}
	for _, svc := range node.Services {
		out.Found = out.Found || svc.ID == d.AliasService
	}
	for _, c := range health.Checks {
		if follows(c, d.AliasService) {
			out.Checks = append(out.Checks, c)
			out.Found = out.Found || c.ServiceID == d.AliasService
		}
	}
	return out, nil
}

// await returns when a node's checks or its services are newer than last: one
// that has no checks goes without their changing.
func (f *follower) await(ctx context.Context, req rpc.NodeRequest, last uint64) error {
	ctx, stop := context.WithCancel(ctx)
	req.MinIndex = last
	first := make(chan error, 2)
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := rpc.Call(ctx, f.caller, rpc.HealthNode, &req)
		first <- err
	})
	wg.Go(func() {
		_, err := rpc.Call(ctx, f.caller, rpc.CatalogNode, &req)
		first <- err
	})
	err := <-first
	stop()
	wg.Wait()
	return err
}
