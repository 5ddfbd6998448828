package server_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/rpc"
	"consul.internal/server"
	"consul.internal/store"
)

func at(x float64) *catalog.Coordinate {
	return &catalog.Coordinate{Vec: []float64{x, 0, 0, 0, 0, 0, 0, 0}, Error: 1.5, Height: 1e-5}
}

func node(t *testing.T, s *server.Server, name string, checks ...*catalog.Check) {
	t.Helper()
	in := &rpc.RegisterRequest{Node: &catalog.Node{Name: name, Address: "10.0.0.1"}, Service: &catalog.Service{Name: "web"}, Checks: checks}
	if _, err := rpc.Call(t.Context(), s, rpc.CatalogRegister, in); err != nil {
		t.Fatal(err)
	}
}

func place(t *testing.T, s *server.Server, name string, x float64) {
	t.Helper()
	in := &rpc.CoordinateUpdateRequest{NodeCoordinate: catalog.NodeCoordinate{Node: name, Coord: at(x)}}
	if _, err := rpc.Call(t.Context(), s, rpc.CoordinateUpdate, in); err != nil {
		t.Fatal(err)
	}
}

// gathering runs the duty of a leader in a fake-time bubble.
func gathering(t *testing.T, do func(*testing.T, *server.Server, *store.Store)) {
	synctest.Test(t, func(t *testing.T) {
		s, st := open(t, true, 20*time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { s.WriteCoordinates(ctx) })
		defer wg.Wait()
		defer cancel()
		do(t, s, st)
	})
}

// TestCoordinateBatches: updates wait for the others of the same five seconds, the
// last of each node counts, and what changes nothing is not written.
func TestCoordinateBatches(t *testing.T) {
	gathering(t, func(t *testing.T, s *server.Server, st *store.Store) {
		for _, name := range []string{"n1", "n2"} {
			node(t, s, name)
		}
		before := st.Index()
		wait := func(want uint64) {
			t.Helper()
			time.Sleep(5 * time.Second)
			synctest.Wait()
			if got := st.Index() - before; got != want {
				t.Errorf("%d entries, want %d", got, want)
			}
		}
		time.Sleep(time.Second)
		place(t, s, "n1", 1)
		place(t, s, "N1", 2)
		place(t, s, "n2", 3)
		place(t, s, "ghost", 4)
		if st.Index() != before {
			t.Error("an update was written at once")
		}
		wait(1)
		out, err := rpc.Call(t.Context(), s, rpc.CoordinateNodes, &rpc.CoordinateNodesRequest{})
		if err != nil || len(out.Coordinates) != 2 || out.Coordinates[0].Coord.Vec[0] != 2 || out.Index != before+1 {
			t.Errorf("%+v, %v", out, err)
		}
		place(t, s, "n1", 2)
		wait(1)
		place(t, s, "n1", 5)
		place(t, s, "ghost", 4)
		wait(2)
		one, err := rpc.Call(t.Context(), s, rpc.CoordinateNode, &rpc.CoordinateNodeRequest{Node: "n1"})
		if err != nil || len(one.Coordinates) != 1 || one.Coordinates[0].Coord.Vec[0] != 5 {
			t.Errorf("%+v, %v", one, err)
		}
	})
}

// TestTooManyCoordinates: a period writes five entries of 128 updates; the rest is
// dropped until it is sent again.
func TestTooManyCoordinates(t *testing.T) {
	gathering(t, func(t *testing.T, s *server.Server, st *store.Store) {
		const many = 700
		for i := range many {
			node(t, s, fmt.Sprintf("n%03d", i))
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		before := st.Index()
		for range 2 {
			for i := range many {
				place(t, s, fmt.Sprintf("n%03d", i), float64(i))
			}
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		_, placed := st.State().Coordinates(nil)
		if st.Index() != before+5 || len(placed) != 640 {
			t.Errorf("%d nodes in %d entries", len(placed), st.Index()-before)
		}
	})
}

func TestCoordinateRefusals(t *testing.T) {
	s, _ := open(t, true, 20*time.Second)
	bad := at(1)
	bad.Height = math.NaN()
	for name, tt := range map[string]struct {
		in   rpc.CoordinateUpdateRequest
		want fault.Kind
	}{
		"no coordinate":      {rpc.CoordinateUpdateRequest{NodeCoordinate: catalog.NodeCoordinate{Node: "n1"}}, fault.Invalid},
		"not a number":       {rpc.CoordinateUpdateRequest{NodeCoordinate: catalog.NodeCoordinate{Node: "n1", Coord: bad}}, fault.Invalid},
		"long segment":       {rpc.CoordinateUpdateRequest{NodeCoordinate: catalog.NodeCoordinate{Node: "n1", Segment: strings.Repeat("s", 64), Coord: at(1)}}, fault.Invalid},
		"another datacenter": {rpc.CoordinateUpdateRequest{Target: rpc.Target{Datacenter: "zz"}, NodeCoordinate: catalog.NodeCoordinate{Node: "n1", Coord: at(1)}}, fault.NoRoute},
	} {
		if _, err := rpc.Call(t.Context(), s, rpc.CoordinateUpdate, &tt.in); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want the kind %q", name, err, tt.want)
		}
	}
	if _, err := rpc.Call(t.Context(), s, rpc.CoordinateNode, &rpc.CoordinateNodeRequest{}); !errors.Is(err, fault.Invalid) {
		t.Errorf("no node: %v", err)
	}
	lone, _ := open(t, false, time.Hour)
	in := &rpc.CoordinateUpdateRequest{NodeCoordinate: catalog.NodeCoordinate{Node: "n1", Coord: at(1)}}
	if _, err := rpc.Call(t.Context(), lone, rpc.CoordinateUpdate, in); !errors.Is(err, fault.NoLeader) {
		t.Errorf("without a leader: %v", err)
	}
}

// TestNear: each read that can sorts by distance; what is not known comes last, in
// the order that it had.
func TestNear(t *testing.T) {
	s, st := open(t, true, 20*time.Second)
	ctx := t.Context()
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		node(t, s, name, &catalog.Check{CheckID: "alive", Status: catalog.Passing}, &catalog.Check{CheckID: "web", ServiceID: "web", Status: catalog.Passing})
	}
	// b and e are unknown; c and d are equally far from a.
	updates := []catalog.NodeCoordinate{{Node: "a", Coord: at(0)}, {Node: "c", Coord: at(1)}, {Node: "d", Coord: at(-1)}}
	if err := store.UpdateCoordinates(ctx, st, updates); err != nil {
		t.Fatal(err)
	}
	reads := map[string]func(rpc.ReadOptions) (string, error){
		"nodes": func(o rpc.ReadOptions) (list string, err error) {
			out, err := rpc.Call(ctx, s, rpc.CatalogNodes, &rpc.NodesRequest{ReadOptions: o})
			for _, n := range out.Nodes {
				list += n.Name
			}
			return list, err
		},
		"catalog service": func(o rpc.ReadOptions) (string, error) {
			out, err := rpc.Call(ctx, s, rpc.CatalogService, &rpc.ServiceRequest{ReadOptions: o, Service: "web"})
			return nodesOf(out), err
		},
		"health service": func(o rpc.ReadOptions) (string, error) {
			out, err := rpc.Call(ctx, s, rpc.HealthService, &rpc.ServiceRequest{ReadOptions: o, Service: "web", Passing: true})
			return nodesOf(out), err
		},
		"checks of a service": func(o rpc.ReadOptions) (string, error) {
			out, err := rpc.Call(ctx, s, rpc.HealthChecks, &rpc.ChecksRequest{ReadOptions: o, Service: "web"})
			return checksOf(out), err
		},
		"checks in a state": func(o rpc.ReadOptions) (string, error) {
			o.Filter = `CheckID == "alive"`
			out, err := rpc.Call(ctx, s, rpc.HealthState, &rpc.StateRequest{ReadOptions: o, State: catalog.Passing})
			return checksOf(out), err
		},
	}
	for near, want := range map[string]string{"": "abcde", "a": "acdbe", "C": "cadbe", "d": "dacbe", "b": "abcde", "ghost": "abcde"} {
		for name, read := range reads {
			got, err := read(rpc.ReadOptions{Near: near})
			if err != nil || got != want {
				t.Errorf("%s near %q: %s, %v, want %s", name, near, got, err, want)
			}
		}
	}
	if _, err := rpc.Call(ctx, s, rpc.CatalogNodes, &rpc.NodesRequest{ReadOptions: rpc.ReadOptions{Near: "a", Filter: "zz"}}); !errors.Is(err, fault.Invalid) {
		t.Errorf("bad filter: %v", err)
	}
}

func nodesOf(out *rpc.InstancesReply) (list string) {
	for _, i := range out.Instances {
		list += i.Node.Name
	}
	return list
}

func checksOf(out *rpc.ChecksReply) string {
	var list []string
	for _, c := range out.Checks {
		list = append(list, c.Node)
	}
	return strings.Join(slices.Compact(list), "")
}
