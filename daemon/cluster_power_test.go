package daemon_test

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestPowerCutWhileForming: all machines die at once, at any moment of their very
// first seconds, and come back: one cluster, and all that was acknowledged.
func TestPowerCutWhileForming(t *testing.T) {
	step := 200 * time.Millisecond
	if underRace {
		step = 600 * time.Millisecond
	}
	if *allOrders {
		step = 20 * time.Millisecond
	}
	var worst time.Duration
	for cut := 20 * time.Millisecond; cut < 1800*time.Millisecond; cut += step {
		synctest.Test(t, func(t *testing.T) {
			c := newCluster(t)
			keys := []string{"s1", "s2", "s3"}
			for _, key := range keys {
				d := spec{key: key, server: true, join: keys}
				if key == "s1" {
					d.expect = 3
				}
				c.add(d)
			}
			up := func() {
				for _, key := range keys {
					if err := c.start(c.nodes[key]); err != nil {
						t.Fatal(err)
					}
				}
			}
			up()
			w := c.scribble(c.nodes["s2"], 1)
			c.scrib = w
			time.Sleep(cut)
			for _, key := range keys {
				if err := c.kill(c.nodes[key]); err != nil {
					t.Fatal(err)
				}
			}
			w.halt()
			time.Sleep(cut % (300 * time.Millisecond))
			up()
			began := time.Now()
			if !c.await(15*time.Second, func() bool { return c.leader() != nil }) {
				t.Errorf("cut after %v: no leader within 15 s", cut)
				return
			}
			worst = max(worst, time.Since(began))
			if ids := c.clusterIDs(); len(ids) != 1 {
				t.Errorf("cut after %v: cluster IDs %v", cut, ids)
			}
			if err := c.put(c.nodes["s3"], "after"); err != nil {
				t.Errorf("cut after %v: %v", cut, err)
			}
			for _, n := range c.running(true) {
				for _, name := range append(w.known, "after") {
					if !c.await(5*time.Second, func() bool { _, ok := n.d.Store().State().Node(name); return ok }) {
						t.Errorf("cut after %v: %s lacks %s", cut, n.key, name)
					}
				}
			}
			if c.same() != "s1 s2 s3 hold the same" {
				t.Errorf("cut after %v: the servers differ", cut)
			}
		})
	}
	t.Logf("the slowest leader came %v after the restart", worst)
}
