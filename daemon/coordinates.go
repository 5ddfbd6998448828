package daemon

import (
	"context"
	"math/rand/v2"
	"time"

	"consul.internal/catalog"
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

// placing is an agent's part in the coordinates of the network.
type placing struct{ d *Daemon }

// send tells the servers now and then where this agent is.
func (p placing) send(ctx context.Context) {
	d := p.d
	pause := rand.N(coordinatePause(d.pools.Others() + 1))
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
		pause = coordinatePause(d.pools.Others() + 1)
		pause += rand.N(pause/coordinateJitter + 1)
	}
}

func (p placing) sendOnce(ctx context.Context) error {
	at, err := p.d.pools.LAN().Coordinate()
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
	pool := p.d.pools.LAN()
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
