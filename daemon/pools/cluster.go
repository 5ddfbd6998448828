package pools

import (
	"context"
	"errors"
	"math"
	"net"
	"sync"
	"syscall"
	"time"

	"consul.internal/internal/gossip"
	"consul.internal/server/leader"
	"consul.internal/store"
	"go.uber.org/zap"
)

// Cluster is what the store and the leader's duties know of the members.
type Cluster struct{ p *Pools }

// Cluster gives the store and the leader's duties their sight.
func (p *Pools) Cluster() Cluster { return Cluster{p} }

// Opened waits until the pool of the datacenter is open, and tells since when: without
// the pool every node would look like a stranger. It reports false if ctx ended.
func (c Cluster) Opened(ctx context.Context) (time.Time, bool) {
	select {
	case <-c.p.ready:
		return c.p.opened, true
	case <-ctx.Done():
		return time.Time{}, false
	}
}

// Changed has something in it after news of the pools.
func (c Cluster) Changed() <-chan struct{} { return c.p.changed }

// Address is where a server is now, for raft.
func (c Cluster) Address(id string) (string, bool) {
	sv, ok := (*c.p.servers.Load())[id]
	if !ok {
		return "", false
	}
	return sv.Addr.String(), true
}

// Candidates are the servers as the store judges them.
func (c Cluster) Candidates() []store.Candidate {
	servers := *c.p.servers.Load()
	out := make([]store.Candidate, 0, len(servers))
	for _, sv := range servers {
		out = append(out, store.Candidate{
			ID: sv.ID, Name: sv.Name, Address: sv.Addr.String(), Expect: sv.Expect, Version: sv.Build, Status: sv.Status.String(), ClusterID: sv.Cluster, NonVoter: sv.NonVoter,
			Level: uint16(min(max(sv.Level, 0), math.MaxUint16)),
		})
	}
	return out
}

// Members are the members as the leader's duties take them.
func (c Cluster) Members() []leader.Member {
	members := c.p.members()
	out := make([]leader.Member, 0, len(members))
	for _, m := range members {
		lm := leader.Member{ID: m.ID, Name: m.Name, Address: m.Addr.String()}
		switch m.Status {
		case gossip.StatusAlive:
			lm.Status = leader.Alive
		case gossip.StatusFailed:
			lm.Status = leader.Failed
		case gossip.StatusLeaving:
			lm.Status = leader.Leaving
		default:
			lm.Status = leader.Left
		}
		if sv := m.Server; sv != nil {
			lm.Server = &leader.ServerInfo{Port: int(sv.Addr.Port()), NonVoter: sv.NonVoter, Version: versionOf(sv.Build), Cluster: sv.Cluster}
		}
		out = append(out, lm)
	}
	return out
}

// versionOf cuts the revision from a member's build.
func versionOf(build string) string {
	for i := range len(build) {
		if build[i] == ':' {
			return build[:i]
		}
	}
	return build
}

// probeTime bounds the leader's own look at a member that the pool reports as
// failed: one lost packet is answered by the next, and a dead machine costs no
// more than this until its services are out of every answer.
const probeTime = 500 * time.Millisecond

// Reachable probes a member directly. Where its machine lives and says that
// nobody listens any more, there is nothing to wait for.
func (c Cluster) Reachable(ctx context.Context, m leader.Member) bool {
	pool := c.p.lan.Load()
	if pool == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	at := ""
	for _, known := range pool.Members() {
		if known.Name == m.Name {
			at = known.AddrPort().String()
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		conn, err := c.p.dial(ctx, at)
		switch {
		case err == nil:
			_ = conn.Close() // that it was taken was all
		case errors.Is(err, syscall.ECONNREFUSED):
			cancel()
		}
	})
	_, err := pool.Ping(ctx, m.Name)
	cancel()
	wg.Wait()
	return err == nil
}

func (p *Pools) dial(ctx context.Context, addr string) (net.Conn, error) {
	if n := p.deps.Network; n != nil {
		return n.Dial(ctx, addr)
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}

// Forget takes a server out of the pool that autopilot has removed from raft.
func (c Cluster) Forget(sv store.Candidate) {
	if pool := c.p.lan.Load(); pool != nil {
		if err := pool.ForceLeave(sv.Name, false); err != nil {
			c.p.log.Warn("a dead server cannot be taken out of the pool", zap.String("server", sv.Name), zap.Error(err))
		}
	}
}
