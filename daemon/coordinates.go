package daemon

import (
	"context"
	"math/rand/v2"
	"strings"
	"time"

	"consul.internal/catalog"
	"consul.internal/internal/gossip"
	"consul.internal/lan"
	"consul.internal/rpc"
	"consul.internal/wan"
	"go.uber.org/zap"
)

const (
	// coordinateInterval is how often an agent of a small cluster tells where it is.
	coordinateInterval = 15 * time.Second
	// coordinateRate is how many agents a second do so together in a large one; the
	// servers write twice as many.
	coordinateRate = 64
	// coordinateJitter is what part of the interval is added at random, so that
	// agents that began together do not stay together.
	coordinateJitter = 8
)

// coordinatePause is how long an agent among so many waits before it tells again.
func coordinatePause(members int) time.Duration {
	return max(coordinateInterval, time.Duration(members)*time.Second/coordinateRate)
}

// placing is an agent's part in the coordinates of the network.
type placing struct{ d *Daemon }

// send tells the servers now and then where this agent is.
func (p placing) send(ctx context.Context) {
	d := p.d
	pause := rand.N(coordinatePause(d.pools.others() + 1))
	failing := false
	for {
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-d.done:
			return
		case <-ctx.Done():
			return
		}
		err := p.sendOnce(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			d.log.Warn("Coordinate update error; trying on", zap.Error(err))
		}
		failing = err != nil
		pause = coordinatePause(d.pools.others() + 1)
		pause += rand.N(pause/coordinateJitter + 1)
	}
}

func (p placing) sendOnce(ctx context.Context) error {
	at, err := p.d.pools.lan.Load().Coordinate()
	if err != nil {
		return err
	}
	place := catalog.Coordinate(at)
	_, err = rpc.Call(ctx, p.d.caller, rpc.CoordinateUpdate, &rpc.CoordinateUpdateRequest{
		Target:         rpc.Target{Token: p.d.tokens.Agent()},
		NodeCoordinate: catalog.NodeCoordinate{Node: p.d.settings.Node.Name, Coord: &place},
	})
	return err
}

// now is where this agent is, nil if that is not shared or not known.
func (p placing) now() *catalog.Coordinate {
	pool := p.d.pools.lan.Load()
	if p.d.settings.Gossip.NoCoordinates || pool == nil {
		return nil
	}
	at, err := pool.Coordinate()
	if err != nil {
		return nil // the pool is closing
	}
	place := catalog.Coordinate(at)
	return &place
}

// Coordinates implements server.Pools: where the living servers of all
// datacenters are, as the pool of all servers has learned it. Where there is none,
// the servers of this datacenter stand for it.
func (p *pools) Coordinates() []rpc.CoordinateDatacenter {
	if w := p.wan.Load(); w != nil {
		return worldPlaces(w, p.d.nodeID)
	}
	out := rpc.CoordinateDatacenter{Datacenter: p.d.settings.Node.Datacenter, AreaID: rpc.AreaWAN}
	if pool := p.lan.Load(); pool != nil {
		out.Coordinates = serverPlaces(pool, p.d.nodeID)
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
