package pools

import (
	"context"
	"slices"
	"strings"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/internal/gossip"
	"consul.internal/lan"
	"consul.internal/rpc"
	"consul.internal/server"
	"consul.internal/wan"
)

// Operations is what the operations of a server do with the pools.
type Operations struct{ p *Pools }

var _ server.Pools = Operations{}

// Operations gives the operations of a server their hands.
func (p *Pools) Operations() Operations { return Operations{p} }

// Keyring implements server.Pools.
func (o Operations) Keyring(ctx context.Context, in *rpc.KeyringRequest) []rpc.KeyringPool {
	op := map[rpc.KeyringOp]gossip.KeyOp{
		rpc.KeyringList: gossip.ListKeys, rpc.KeyringInstall: gossip.InstallKey, rpc.KeyringUse: gossip.UseKey, rpc.KeyringRemove: gossip.RemoveKey,
	}[in.Op]
	var out []rpc.KeyringPool
	ask := func(pool keyed, isWAN bool) {
		one := rpc.KeyringPool{Datacenter: o.p.cfg.Node.Datacenter, WAN: isWAN}
		res, err := pool.Keyring(ctx, op, in.Key, in.RelayFactor)
		one.Keys, one.PrimaryKeys, one.Messages, one.NumNodes = res.Keys, res.PrimaryKeys, res.Messages, res.NumNodes
		if err != nil {
			one.Error = err.Error()
		}
		out = append(out, one)
	}
	if w := o.p.wan.Load(); w != nil && !in.LocalOnly {
		ask(w, true)
	}
	if pool := o.p.lan.Load(); pool != nil {
		ask(pool, false)
	}
	return out
}

// keyed is a pool that may have gossip keys.
type keyed interface {
	Keyring(ctx context.Context, op gossip.KeyOp, key string, relay uint8) (gossip.KeyResult, error)
}

// ForceLeave implements server.Pools.
func (o Operations) ForceLeave(_ context.Context, in *rpc.ForceLeaveRequest) error {
	pool, w := o.p.lan.Load(), o.p.wan.Load()
	if pool == nil || in.WAN && w == nil {
		return fault.Newf(fault.Unavailable, "this agent has no such gossip pool yet")
	}
	known := func(members []lan.Member, name string) bool {
		return slices.ContainsFunc(members, func(m lan.Member) bool { return m.Name == name })
	}
	found := false
	// A server that is gone is gone from both pools, unless only one is meant.
	if !in.WAN && known(pool.Members(), in.Node) {
		found = true
		if err := pool.ForceLeave(in.Node, in.Prune); err != nil {
			return err
		}
	}
	if w != nil {
		for _, name := range []string{in.Node, in.Node + "." + o.p.cfg.Node.Datacenter} {
			if known(w.Members(), name) {
				return w.ForceLeave(name, in.Prune)
			}
		}
	}
	if !found {
		return fault.Newf(fault.NotFound, "agent: No node found with name '%s'", in.Node)
	}
	return nil
}

// Fire implements server.Pools: it sends an event to all members of the
// datacenter's pool.
func (o Operations) Fire(name string, payload []byte) error {
	pool := o.p.lan.Load()
	if pool == nil {
		return fault.Newf(fault.Unavailable, "this agent is starting; try again")
	}
	return pool.UserEvent(name, payload, false)
}

// Datacenters lists those that are known: the own one first, then the nearest.
func (o Operations) Datacenters() []string { return o.p.datacenters() }

// ForgetDatacenter removes a datacenter for good.
func (o Operations) ForgetDatacenter(dc string) error {
	pool := o.p.wan.Load()
	if pool == nil {
		return fault.Newf(fault.Unavailable, "this server is not in the pool of all servers")
	}
	return pool.Forget(dc)
}

// Coordinates implements server.Pools: where the living servers of all
// datacenters are, as the pool of all servers has learned it. Where there is none,
// the servers of this datacenter stand for it.
func (o Operations) Coordinates() []rpc.CoordinateDatacenter {
	if w := o.p.wan.Load(); w != nil {
		return worldPlaces(w, o.p.nodeID)
	}
	out := rpc.CoordinateDatacenter{Datacenter: o.p.cfg.Node.Datacenter, AreaID: rpc.AreaWAN}
	if pool := o.p.lan.Load(); pool != nil {
		out.Coordinates = serverPlaces(pool, o.p.nodeID)
	}
	return []rpc.CoordinateDatacenter{out}
}

// places is a pool that knows where its members are.
type places interface {
	Coordinate() (gossip.Coordinate, error)
	CachedCoordinate(name string) (gossip.Coordinate, bool)
}

func placeOf(pool places, member string, own bool) *catalog.Coordinate {
	at, known := pool.CachedCoordinate(member)
	if own {
		var err error
		at, err = pool.Coordinate()
		known = err == nil
	}
	if !known {
		return nil
	}
	place := catalog.Coordinate(at)
	return &place
}

// worldPlaces is where the living servers are, by datacenter, the nearest first.
func worldPlaces(pool *wan.Pool, self string) (out []rpc.CoordinateDatacenter) {
	at := map[string]int{}
	for i, dc := range pool.Datacenters() {
		at[dc.Name] = i
		out = append(out, rpc.CoordinateDatacenter{Datacenter: dc.Name, AreaID: rpc.AreaWAN})
	}
	for _, m := range pool.Members() {
		if m.Server == nil || m.Status != gossip.StatusAlive {
			continue
		}
		if i, ok := at[m.Server.Datacenter]; ok {
			if place := placeOf(pool, m.Name, m.ID == self); place != nil {
				name := strings.TrimSuffix(m.Name, "."+m.Server.Datacenter) // as the pool calls it
				out[i].Coordinates = append(out[i].Coordinates, &catalog.NodeCoordinate{Node: name, Coord: place})
			}
		}
	}
	return out
}

// serverPlaces is where the living servers are, as far as that is known.
func serverPlaces(pool *lan.Pool, self string) []*catalog.NodeCoordinate {
	var out []*catalog.NodeCoordinate
	for _, sv := range pool.Servers() {
		if place := placeOf(pool, sv.Name, sv.ID == self); place != nil && sv.Status == gossip.StatusAlive {
			out = append(out, &catalog.NodeCoordinate{Node: sv.Name, Coord: place})
		}
	}
	return out
}
