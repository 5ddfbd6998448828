package daemon_test

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var allOrders = flag.Bool("cluster.all", false, "form the cluster in all 120 start orders, with data directories too; else in every fifth, in memory")

// formTime is the promise: whatever the order, within so long of the last start.
const formTime = 15 * time.Second

func orders(keys []string) [][]string {
	if len(keys) <= 1 {
		return [][]string{slices.Clone(keys)}
	}
	var out [][]string
	for i := range keys {
		rest := slices.Concat(keys[:i], keys[i+1:])
		for _, o := range orders(rest) {
			out = append(out, append([]string{keys[i]}, o...))
		}
	}
	return out
}

// TestFormsInEveryOrder: what people run in docker-compose, three servers of
// which one says how many, two clients, all joining the first, becomes one
// cluster in whatever order the containers start, at once or with pauses.
func TestFormsInEveryOrder(t *testing.T) {
	all := orders([]string{"s1", "s2", "s3", "c1", "c2"})
	if len(all) != 120 {
		t.Fatalf("%d orders", len(all))
	}
	var worst time.Duration
	ran := 0
	every := 5
	if underRace {
		every = 20
	}
	for i, order := range all {
		if !*allOrders && i%every != 0 {
			continue
		}
		// With pauses, the names are also those of machines that are not there yet.
		pause := []time.Duration{0, 300 * time.Millisecond, 2 * time.Second}[i%3]
		carrier := fmt.Sprintf("s%d", 1+i/3%3) // the one that says how many
		synctest.Test(t, func(t *testing.T) {
			took := form(t, order, carrier, pause, !*allOrders)
			worst = max(worst, took)
			ran++
		})
	}
	t.Logf("%d start orders, the slowest formed %v after its last start", ran, worst.Round(10*time.Millisecond))
}

func form(t *testing.T, order []string, carrier string, pause time.Duration, memory bool) time.Duration {
	what := fmt.Sprintf("order %s, pause %v, %s expects", strings.Join(order, " "), pause, carrier)
	c := newCluster(t)
	for _, key := range []string{"s1", "s2", "s3", "c1", "c2"} {
		d := spec{key: key, server: key[0] == 's', memory: memory, join: []string{"s1"}}
		if key == carrier {
			d.expect = 3
		}
		c.add(d)
	}
	for i, key := range order {
		if i > 0 {
			time.Sleep(pause)
		}
		if err := c.start(c.nodes[key]); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	voters := []string{"s1 voter", "s2 voter", "s3 voter"}
	everybody := "c1 passing|c2 passing|s1 passing consul|s2 passing consul|s3 passing consul"
	formed := c.await(formTime, func() bool {
		if len(c.clusterIDs()) > 1 {
			t.Fatalf("%s: two clusters", what)
		}
		if c.leader() == nil {
			return false
		}
		for _, n := range c.running(false) {
			if alive(n) != 5 || !slices.Equal(c.peers(n), voters) {
				return false
			}
		}
		in, err := c.catalog(c.nodes["c2"], 0)
		return err == nil && strings.Join(in, "|") == everybody
	})
	took := time.Since(began)
	if !formed {
		t.Errorf("%s: not formed within %v", what, formTime)
		for _, n := range c.running(false) {
			t.Logf("%s sees %v, is told %v", n.key, c.members(n), c.peers(n))
		}
	}
	if ids := c.clusterIDs(); len(ids) != 1 {
		t.Errorf("%s: cluster IDs %v", what, ids)
	}
	return took
}
