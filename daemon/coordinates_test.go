package daemon_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/catalog"
	"consul.internal/internal/memnet"
	"consul.internal/rpc"
)

// TestCoordinates: every agent that may shows up in the network, servers and
// clients, and who is far away comes last.
func TestCoordinates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		for i, key := range []string{"s1", "s2", "c1", "c2", "c3"} {
			c.add(spec{key: key, server: i < 2, memory: true, bootstrap: i == 0, join: []string{"s1"}})
		}
		c.nodes["c3"].args = append(c.nodes["c3"].args, "-hcl=disable_coordinates = true")
		for _, key := range c.order {
			if key != "c1" {
				c.net.SetLink(c.nodes["c1"].ip, c.nodes[key].ip, memnet.Rule{Delay: 40 * time.Millisecond})
			}
		}
		for _, key := range c.order {
			if err := c.start(c.nodes[key]); err != nil {
				t.Fatal(err)
			}
		}
		client := c.nodes["c2"].d.Caller()
		places := func() map[string]*catalog.Coordinate {
			out, err := rpc.Call(t.Context(), client, rpc.CoordinateNodes, &rpc.CoordinateNodesRequest{})
			if err != nil {
				return nil
			}
			found := map[string]*catalog.Coordinate{}
			for _, p := range out.Coordinates {
				found[p.Node] = p.Coord
			}
			return found
		}
		if !c.await(45*time.Second, func() bool { return len(places()) == 4 }) {
			t.Fatalf("only %v are known after 45 s", places())
		}
		time.Sleep(3 * time.Minute) // of gossip, so that they learn where they are
		found := places()
		if far, near := found["c1"].Distance(found["s1"]), found["s2"].Distance(found["s1"]); far < 0.04 || far > 0.16 || near > 0.02 {
			t.Errorf("s1 is %.3f s from c1, %.3f s from s2, want 0.080 s and 0.0004 s", far, near)
		}
		out, err := rpc.Call(t.Context(), client, rpc.CatalogNodes, &rpc.NodesRequest{ReadOptions: rpc.ReadOptions{Near: "c2"}})
		if err != nil {
			t.Fatal(err)
		}
		order := ""
		for _, n := range out.Nodes {
			order += " " + n.Name
		}
		if order != " c2 s1 s2 c1 c3" && order != " c2 s2 s1 c1 c3" {
			t.Errorf("nodes near c2:%s", order)
		}
		dcs, err := rpc.Call(t.Context(), client, rpc.CoordinateDatacenters, &rpc.CoordinateDatacentersRequest{})
		if got := fmt.Sprint(len(dcs.Datacenters), " ", dcs.Datacenters[0].Datacenter, " ", len(dcs.Datacenters[0].Coordinates)); err != nil || got != "1 dc1 2" {
			t.Errorf("datacenters: %s, %v", got, err)
		}
	})
}
