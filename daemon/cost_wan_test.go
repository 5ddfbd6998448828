package daemon_test

import (
	"context"
	"flag"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/catalog"
	"consul.internal/internal/memnet"
	"consul.internal/rpc"
)

var wanAgents = flag.Int("wan.agents", 12, "agents that use names of another datacenter; what is promised is for 100")

// sharedNames are used by all agents.
const sharedNames = 20

// traffic is what was sent, in bytes without the headers of packets.
type traffic struct {
	count           int // datagrams and segments
	gossip, streams int64
}

func (t traffic) String() string {
	return fmt.Sprintf("%d + %d bytes (gossip + streams, %d packets)", t.gossip, t.streams, t.count)
}

// TestAgentsShareTheWAN: many agents that use the same names of another datacenter
// have each of their servers follow each name once, and cost the WAN no more than
// one agent of each server does.
func TestAgentsShareTheWAN(t *testing.T) {
	if underRace {
		t.Skip("it counts bytes, and its code runs in the other tests too; run it without -race")
	}
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		var here, there []*labNode
		start := func(s spec) *labNode {
			t.Helper()
			n := c.add(s)
			if err := c.start(n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		for i := range 3 {
			expect := 0
			if i == 0 {
				expect = 3
			}
			here = append(here, start(spec{key: fmt.Sprintf("s%d", i+1), server: true, expect: expect, join: []string{"s1"}, flags: []string{"-datacenter=dc1"}}))
			there = append(there, start(spec{key: fmt.Sprintf("t%d", i+1), server: true, expect: expect, join: []string{"t1"}, flags: []string{"-datacenter=dc2", "-retry-join-wan=s1"}}))
		}
		for _, a := range here {
			for _, b := range there {
				c.net.SetLink(a.ip, b.ip, memnet.Rule{Delay: 50 * time.Millisecond})
			}
		}
		name := func(i int) string { return fmt.Sprintf("web-%d", i) }
		change := func(n int) error {
			i := n % sharedNames
			_, err := rpc.Call(t.Context(), there[0].d.Caller(), rpc.CatalogRegister, &rpc.RegisterRequest{
				Node: &catalog.Node{Name: "host", Address: "10.9.0.1"}, Service: &catalog.Service{Name: name(i), Port: 1 + n},
			})
			return err
		}
		for i := range sharedNames {
			if !c.await(time.Minute, func() bool { return change(i) == nil }) {
				t.Fatal("dc2 takes no writes")
			}
		}
		// shared are the names that each server follows of dc2.
		shared := func() (least, most int) {
			least = sharedNames
			for _, s := range here {
				st, ok := s.d.World().Stats("dc2")
				if !ok {
					return 0, 0
				}
				least, most = min(least, st.Names), max(most, st.Names)
			}
			return least, most
		}
		asks := func(n *labNode) bool {
			for i := range sharedNames {
				ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
				v, _, err := n.d.Names().Service(ctx, "dc2", name(i))
				cancel()
				if err != nil || v == nil {
					return false
				}
			}
			return true
		}
		agents := 0
		add := func() {
			t.Helper()
			n := start(spec{key: fmt.Sprintf("c%d", agents+1), memory: true, join: []string{"s1", "s2", "s3"}, flags: []string{"-datacenter=dc1"}})
			agents++
			if !c.await(time.Minute, func() bool { return asks(n) }) {
				t.Fatalf("%s does not learn the names", n.key)
			}
		}
		// cost is what a minute with a change each second sends between the datacenters.
		cost := func() (sum traffic) {
			t.Helper()
			count := func(sign int) {
				for _, a := range here {
					for _, b := range there {
						for _, x := range []memnet.Counters{c.net.Counters(a.ip, b.ip), c.net.Counters(b.ip, a.ip)} {
							sum.count += sign * (x.Packets + x.Segments)
							sum.gossip += int64(sign) * x.PacketBytes
							sum.streams += int64(sign) * x.StreamBytes
						}
					}
				}
			}
			time.Sleep(10 * time.Second) // what began lately is over
			count(-1)
			for i := range 60 {
				if err := change(i); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
			}
			count(1)
			return sum
		}
		without := cost()
		for least, _ := shared(); least < sharedNames; least, _ = shared() {
			add()
		}
		few, one := agents, cost()
		for agents < *wanAgents {
			add()
		}
		many := cost()
		if least, most := shared(); least != sharedNames || most != sharedNames {
			t.Errorf("the servers follow from %d to %d names, not %d each", least, most, sharedNames)
		}
		t.Logf("in a minute: no agent %v, %d agents %v, %d agents %v", without, few, one, agents, many)
		if many.streams > one.streams*12/10 || many.streams+many.gossip > (one.streams+one.gossip)*12/10 {
			t.Errorf("%d agents cost %v, %d agents %v", agents, many, few, one)
		}
		var all sync.WaitGroup
		for _, n := range c.nodes {
			if !n.server {
				all.Go(func() {
					if !asks(n) {
						t.Errorf("%s has forgotten names", n.key)
					}
				})
			}
		}
		all.Wait()
	})
}
