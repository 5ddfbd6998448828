package daemon

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"consul.internal/catalog"
	"consul.internal/rpc"
)

// nearbyInterval is how often the distances of nodes are learned anew while DNS asks
// for them: agents tell no more often where they are.
const nearbyInterval = coordinateInterval

// nearby knows how far the nodes of the own datacenter are, for as long as somebody
// asks.
type nearby struct {
	caller rpc.Caller
	place  func() *catalog.Coordinate // of this agent; nil if it is not known
	token  func() string              // that DNS questions are answered with
	known  atomic.Pointer[map[string]float64]
	asked  atomic.Bool
	wake   chan struct{}
}

func newNearby(c rpc.Caller, place func() *catalog.Coordinate, token func() string) *nearby {
	return &nearby{caller: c, place: place, token: token, wake: make(chan struct{}, 1)}
}

// distances tells of a node, by its folded name, how many seconds it is away; not ok
// if that is not known.
func (n *nearby) distances() func(node string) (float64, bool) {
	if !n.asked.Load() && n.asked.CompareAndSwap(false, true) {
		select {
		case n.wake <- struct{}{}:
		default:
		}
	}
	known := n.known.Load()
	if known == nil {
		return nil
	}
	return func(node string) (float64, bool) { d, ok := (*known)[node]; return d, ok }
}

// learn keeps the distances up to date until ctx ends.
func (n *nearby) learn(ctx context.Context) {
	for {
		select {
		case <-n.wake:
		case <-ctx.Done():
			return
		}
		for n.asked.Swap(false) {
			n.learnOnce(ctx)
			select {
			case <-time.After(nearbyInterval + rand.N(nearbyInterval/coordinateJitter)):
			case <-ctx.Done():
				return
			}
		}
	}
}

// learnOnce keeps what was known where nobody tells of more.
func (n *nearby) learnOnce(ctx context.Context) {
	here := n.place()
	if here == nil {
		return
	}
	out, err := rpc.Call(ctx, n.caller, rpc.CoordinateNodes, &rpc.CoordinateNodesRequest{
		ReadOptions: rpc.ReadOptions{Target: rpc.Target{Token: n.token()}, Consistency: rpc.Stale},
	})
	if err != nil {
		return
	}
	known := make(map[string]float64, len(out.Coordinates))
	for _, c := range out.Coordinates {
		if d := here.Distance(c.Coord); c.Segment == "" && d <= time.Hour.Seconds() { // +Inf is not known
			known[catalog.Fold(c.Node)] = d
		}
	}
	n.known.Store(&known)
}
