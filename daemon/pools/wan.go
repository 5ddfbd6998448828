package pools

import (
	"context"
	"fmt"
	"time"

	"consul.internal/configs"
	"consul.internal/federation"
	"consul.internal/internal/gossip"
	"consul.internal/internal/gossip/roster"
	"consul.internal/wan"
	"go.uber.org/zap"
)

// distanceTick is how often the distances to other datacenters are looked at:
// they are learned slowly, and only order who is asked.
const distanceTick = 15 * time.Second

// openWAN joins the pool of all servers, in the background.
func (p *Pools) openWAN(ctx context.Context) error {
	if !p.cfg.Server.Enabled || p.cfg.Addresses.SerfWAN.Port() == 0 {
		return nil
	}
	pool, err := wan.New(wanConfig(p.cfg, p.nodeID), wan.Deps{
		Logger: p.log, Network: p.deps.Network, Lookup: p.deps.Lookup, Expand: configs.SystemHost().Expand,
		Nearby: func() []roster.Server { return p.lan.Load().Servers() },
	})
	if err != nil {
		return err
	}
	if err := pool.Open(ctx); err != nil {
		return fmt.Errorf("pool of all servers: %w", err)
	}
	p.wan.Store(pool)
	p.wg.Go(func() { p.followWAN(ctx, pool) })
	return nil
}

func (p *Pools) followWAN(ctx context.Context, pool *wan.Pool) {
	tick := time.NewTicker(distanceTick)
	defer tick.Stop()
	for {
		p.charted(pool)
		select {
		case e := <-pool.Events():
			if s, err := roster.ParseServer(e.Member); err == nil && s.Datacenter != p.cfg.Node.Datacenter {
				p.log.Info(wanWords(e.Kind), zap.String("server", e.Member.Name), zap.String("dc", s.Datacenter))
			}
			p.refresh()
		case <-tick.C:
			p.refresh()
		case err := <-pool.GaveUp():
			p.deps.Tell.GaveUp(fmt.Errorf("joining the other datacenters failed as often as retry_max_wan allows: %w", err))
		case <-ctx.Done():
			return
		}
	}
}

func wanWords(k gossip.Kind) string {
	switch k {
	case gossip.Joined:
		return "Handled event for server in area: member-join"
	case gossip.Updated:
		return "Handled event for server in area: member-update"
	case gossip.Failed:
		return "Handled event for server in area: member-failed"
	case gossip.Left:
		return "Handled event for server in area: member-leave"
	}
	return "Handled event for server in area: member-" + k.String()
}

// charted tells which datacenters there are.
func (p *Pools) charted(pool *wan.Pool) {
	var names []string
	for _, dc := range pool.Datacenters() {
		names = append(names, dc.Name)
	}
	p.deps.Tell.Datacenters(names)
}

// abroad are the servers of other datacenters. Those that the pool holds for failed
// are among them: when a line that was cut is back, calls are there before gossip.
func (p *Pools) abroad() (out []federation.Server) {
	pool := p.wan.Load()
	if pool == nil {
		return nil
	}
	for _, m := range pool.Members() {
		if sv := m.Server; sv != nil && (m.Status == gossip.StatusAlive || m.Status == gossip.StatusFailed) && sv.Datacenter != p.cfg.Node.Datacenter {
			out = append(out, federation.Server{
				ID: sv.ID, Name: sv.Name, Addr: sv.Addr.String(), Datacenter: sv.Datacenter, RTT: pool.RTT(m.Name),
				Failed: m.Status == gossip.StatusFailed,
			})
		}
	}
	return out
}
