package daemon_test

import (
	"flag"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/catalog"
	"consul.internal/rpc"
)

var (
	lossyNodes = flag.Int("cluster.lossy", 16, "nodes of the datacenter that must not lose one to 10 % loss")
)

// TestLossKillsNobody: at 10 % loss for ten minutes no living node turns critical
// in the catalog, whatever gossip believes meanwhile; and a death is seen still.
func TestLossKillsNobody(t *testing.T) {
	if underRace {
		t.Skip("it counts deaths, and its code runs in the other tests too; run it without -race")
	}
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		for i := range *lossyNodes {
			d := spec{key: fmt.Sprintf("c%d", i-2), memory: true, join: []string{"s1"}}
			if i < 3 {
				d.key, d.server = fmt.Sprintf("s%d", i+1), true
			}
			if i == 0 {
				d.expect = 3
			}
			if err := c.start(c.add(d)); err != nil {
				t.Fatal(err)
			}
		}
		server := c.nodes["s2"]
		critical := func() (names []string) {
			out, err := rpc.Call(t.Context(), server.d.Caller(), rpc.HealthState, &rpc.StateRequest{ReadOptions: stale(), State: catalog.Critical})
			if err != nil {
				t.Fatal(err)
			}
			for _, check := range out.Checks {
				names = append(names, check.Node)
			}
			return names
		}
		passing := func() int {
			out, err := rpc.Call(t.Context(), server.d.Caller(), rpc.HealthState, &rpc.StateRequest{ReadOptions: stale(), State: catalog.Passing})
			if err != nil {
				t.Fatal(err)
			}
			return len(out.Checks)
		}
		if !c.await(30*time.Second, func() bool { return c.leader() != nil && passing() == *lossyNodes }) {
			t.Fatalf("%d of %d nodes in the catalog", passing(), *lossyNodes)
		}
		c.rule.Loss = 0.1
		c.net.SetDefault(c.rule)
		suspected := 0
		for began := time.Now(); time.Since(began) < 10*time.Minute; time.Sleep(100 * time.Millisecond) {
			if names := critical(); len(names) > 0 {
				t.Fatalf("after %v: critical: %v", time.Since(began), names)
			}
			if alive(server) != *lossyNodes {
				suspected++
			}
		}
		victim := c.nodes[fmt.Sprintf("c%d", *lossyNodes-3)]
		began := time.Now()
		if err := c.kill(victim); err != nil {
			t.Fatal(err)
		}
		if !c.await(15*time.Second, func() bool { return len(critical()) == 1 }) {
			t.Error("a death was not seen")
		}
		t.Logf("%d nodes: somebody was held for failed in %d of 6000 looks; a death was in the catalog after %v", *lossyNodes, suspected, time.Since(began))
	})
}
