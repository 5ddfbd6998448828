package daemon

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/rpc"
)

// gazetteer is a Caller that knows where nodes are.
type gazetteer struct {
	asked atomic.Int64
	gone  atomic.Bool
}

func at(x float64) *catalog.Coordinate {
	return &catalog.Coordinate{Vec: []float64{x, 0, 0, 0, 0, 0, 0, 0}}
}

func (g *gazetteer) Call(_ context.Context, _ string, _, out any) error {
	g.asked.Add(1)
	if g.gone.Load() {
		return fault.Newf(fault.NoLeader, "No cluster leader")
	}
	out.(*rpc.CoordinatesReply).Coordinates = []*catalog.NodeCoordinate{
		{Node: "N1", Coord: at(0.3)}, {Node: "n2", Coord: at(0.1)}, {Node: "odd", Coord: &catalog.Coordinate{Vec: []float64{1}}}, {Node: "n3", Segment: "s", Coord: at(0)},
	}
	return nil
}

// Distances are learned while somebody asks for them, and kept when nobody tells more.
func TestNearby(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		caller := &gazetteer{}
		n := newNearby(caller, func() *catalog.Coordinate { return at(0) }, func() string { return "dns" })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); n.learn(ctx) }()
		defer func() { cancel(); <-done }()
		time.Sleep(time.Hour)
		if caller.asked.Load() != 0 {
			t.Error("it asks though nobody wants to know")
		}
		if n.distances() != nil {
			t.Error("it knows distances from nowhere")
		}
		synctest.Wait()
		check := func(when string) {
			t.Helper()
			near := n.distances()
			if near == nil {
				t.Fatalf("%s: nothing is known", when)
			}
			for node, want := range map[string]float64{"n1": 0.3, "n2": 0.1} {
				if d, ok := near(node); !ok || d != want {
					t.Errorf("%s: %s is %v, %v away", when, node, d, ok)
				}
			}
			for _, node := range []string{"odd", "n3", "n9"} {
				if d, ok := near(node); ok {
					t.Errorf("%s: %s is %v away", when, node, d)
				}
			}
		}
		check("at first")
		caller.gone.Store(true)
		for range 10 {
			time.Sleep(time.Minute)
			check("without servers")
		}
		synctest.Wait()
		if n := caller.asked.Load(); n < 8 || n > 21 {
			t.Errorf("it asked %d times in ten minutes", n)
		}
		time.Sleep(time.Minute)
		before := caller.asked.Load()
		time.Sleep(time.Hour)
		if now := caller.asked.Load(); now != before {
			t.Errorf("it asked %d times though nobody wants to know any more", now-before)
		}
	})
}
