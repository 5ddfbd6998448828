package daemon

import (
	"context"
	"math/rand/v2"
	"time"

	"consul.internal/catalog"
	"consul.internal/internal/gossip"
	"consul.internal/lan"
	"consul.internal/rpc"
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

// sendCoordinates tells the servers now and then where this agent is.
func (d *Daemon) sendCoordinates(ctx context.Context) {
	pause := rand.N(coordinatePause(d.pools.others() + 1))
	failing := false
	for {
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-d.done:
		case <-ctx.Done():
		}
		t.Stop()
		if ctx.Err() != nil || d.over() {
			return
		}
		err := d.sendCoordinate(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			d.log.Warn("Coordinate update error; trying on", zap.Error(err))
		}
		failing = err != nil
		pause = coordinatePause(d.pools.others() + 1)
		pause += rand.N(pause/coordinateJitter + 1)
	}
}

// over reports whether the process is to end.
func (d *Daemon) over() bool {
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}

func (d *Daemon) sendCoordinate(ctx context.Context) error {
	at, err := d.pools.lan.Load().Coordinate()
	if err != nil {
		return err
	}
	place := catalog.Coordinate(at)
	_, err = rpc.Call(ctx, d.caller, rpc.CoordinateUpdate, &rpc.CoordinateUpdateRequest{
		NodeCoordinate: catalog.NodeCoordinate{Node: d.settings.Node.Name, Coord: &place},
	})
	return err
}

// coordinate is where this agent is, nil if that is not shared or not known.
func (d *Daemon) coordinate() *catalog.Coordinate {
	pool := d.pools.lan.Load()
	if d.settings.Gossip.NoCoordinates || pool == nil {
		return nil
	}
	at, err := pool.Coordinate()
	if err != nil {
		return nil // the pool is closing
	}
	place := catalog.Coordinate(at)
	return &place
}

// Coordinates implements server.Pools. There is no pool of all servers yet: the
// servers of this datacenter stand for it, as the pool of the datacenter has
// learned where they are.
func (p *pools) Coordinates() []rpc.CoordinateDatacenter {
	out := rpc.CoordinateDatacenter{Datacenter: p.d.settings.Node.Datacenter, AreaID: rpc.AreaWAN}
	if pool := p.lan.Load(); pool != nil {
		out.Coordinates = serverPlaces(pool, p.d.nodeID)
	}
	return []rpc.CoordinateDatacenter{out}
}

// serverPlaces is where the living servers are, as far as that is known.
func serverPlaces(pool *lan.Pool, self string) []*catalog.NodeCoordinate {
	var out []*catalog.NodeCoordinate
	for _, sv := range pool.Servers() {
		at, known := pool.CachedCoordinate(sv.Name)
		if sv.ID == self {
			own, err := pool.Coordinate()
			at, known = own, err == nil
		}
		if known && sv.Status == gossip.StatusAlive {
			place := catalog.Coordinate(at)
			out = append(out, &catalog.NodeCoordinate{Node: sv.Name, Coord: &place})
		}
	}
	return out
}
