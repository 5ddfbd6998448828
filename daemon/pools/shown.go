package pools

import (
	"context"
	"strconv"

	"consul.internal/httpapi"
	"consul.internal/internal/fault"
	"consul.internal/internal/gossip"
)

// Shown is the pools as the HTTP API shows and steers them.
type Shown struct{ p *Pools }

var _ httpapi.Pool = Shown{}

// Shown gives the HTTP API its sight.
func (p *Pools) Shown() Shown { return Shown{p} }

// StatusAlive is a living member's status as Serf counts.
const StatusAlive = int(gossip.StatusAlive)

// Self is this agent as a member of a pool.
func (v Shown) Self(wan bool) httpapi.Member {
	s := v.p.cfg
	if pool := v.p.lan.Load(); pool != nil && !wan {
		return shown(pool.Local().Member)
	}
	m := httpapi.Member{
		Name: s.Node.Name, Addr: s.Addresses.AdvertiseLAN.String(), Port: uint16(max(s.Ports.SerfLAN, 0)),
		Status: StatusAlive, Tags: lanConfig(s, v.p.nodeID).Identity.Tags(),
		ProtocolMin: 1, ProtocolMax: 5, ProtocolCur: 2, DelegateMin: 2, DelegateMax: 5, DelegateCur: 4,
	}
	if wan {
		m.Name += "." + s.Node.Datacenter
		m.Addr, m.Port = s.Addresses.AdvertiseWAN.String(), uint16(max(s.Ports.SerfWAN, 0))
	}
	return m
}

// Members lists the pool of the datacenter, or that of all servers.
func (v Shown) Members(wan bool) (out []httpapi.Member) {
	if wan {
		if !v.p.cfg.Server.Enabled {
			return nil
		}
		w := v.p.wan.Load()
		if w == nil {
			return []httpapi.Member{v.Self(true)}
		}
		for _, m := range w.Members() {
			out = append(out, shown(m.Member))
		}
		return out
	}
	members := v.p.members()
	for _, m := range members {
		out = append(out, shown(m.Member))
	}
	return out
}

// Join contacts other members.
func (v Shown) Join(ctx context.Context, addrs []string, wan bool) (int, error) {
	pool, all := v.p.lan.Load(), v.p.wan.Load()
	switch {
	case wan && all == nil:
		return 0, fault.Newf(fault.Invalid, "only servers join the pool of all servers, and only where ports.serf_wan is open")
	case wan:
		return all.Join(ctx, addrs)
	case pool == nil:
		return 0, fault.Newf(fault.Unavailable, "this agent's gossip pool is not open yet")
	}
	return pool.Join(ctx, addrs)
}

// shown is a member as the HTTP API has it.
func shown(m gossip.Member) httpapi.Member {
	return httpapi.Member{
		Name: m.Name, Addr: m.Addr.String(), Port: m.Port, Tags: m.Tags, Status: int(m.Status),
		ProtocolMin: m.ProtocolMin, ProtocolMax: m.ProtocolMax, ProtocolCur: m.ProtocolCur,
		DelegateMin: m.DelegateMin, DelegateMax: m.DelegateMax, DelegateCur: m.DelegateCur,
	}
}

// Stats are the figures of the pools, under their names.
func (v Shown) Stats() map[string]map[string]string {
	out := map[string]map[string]string{"serf_lan": {"members": strconv.Itoa(0)}}
	if pool := v.p.lan.Load(); pool != nil {
		out["serf_lan"] = pool.Stats()
	}
	if w := v.p.wan.Load(); w != nil {
		out["serf_wan"] = w.Stats()
	}
	return out
}

// Servers counts the servers of the datacenter that are known.
func (v Shown) Servers() int { return len(*v.p.servers.Load()) }
