package daemon_test

import (
	"flag"
	"fmt"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/catalog"
	"consul.internal/internal/memnet"
	"consul.internal/lan"
	"consul.internal/rpc"
	"go.uber.org/zap"
)

var (
	largePool  = flag.Int("cluster.large", 0, "put so many agents into one pool; 1000 take some minutes and some GiB")
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

// TestLargePool: a death in a large pool is known everywhere within 15 s. It says
// what a member costs.
func TestLargePool(t *testing.T) {
	n := *largePool
	if n == 0 {
		t.Skip("give -args -cluster.large=1000")
	}
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New(1)
		network.SetDefault(memnet.Rule{Delay: 200 * time.Microsecond})
		before := held()
		pools := make([]*lan.Pool, n)
		t.Cleanup(func() {
			var wg sync.WaitGroup // one after the other, each would see those before it die
			for _, p := range pools {
				if p != nil {
					wg.Go(func() { _ = p.Close() }) // nothing is left to be lost
				}
			}
			wg.Wait()
			time.Sleep(time.Minute)
			network.Close()
			time.Sleep(time.Minute)
		})
		for i := range pools {
			ip := fmt.Sprintf("10.0.%d.%d", i/250, i%250+1)
			cfg := lan.DefaultConfig()
			cfg.Identity = lan.Identity{
				Name: fmt.Sprintf("n%d", i), ID: fmt.Sprintf("00000000-0000-4000-8000-%012d", i), Datacenter: "dc1", Build: "1.21.0",
			}
			cfg.Gossip.Bind = netip.AddrPortFrom(netip.MustParseAddr(ip), lan.DefaultPort)
			cfg.RetryJoin = []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"}
			p, err := lan.New(cfg, lan.Deps{Logger: zap.NewNop(), Network: network.Host(ip)})
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Open(t.Context()); err != nil {
				t.Fatal(err)
			}
			pools[i] = p
			go func() { // ends with the pool's events, which nobody here needs
				for {
					select {
					case <-p.Events():
					case <-t.Context().Done():
						return
					}
				}
			}()
			time.Sleep(5 * time.Millisecond)
		}
		// all reports whether a figure is the same for every member but one; it looks
		// at no more of them than it has to.
		all := func(figure string, want, but int) bool {
			for i, p := range pools {
				if i != but && p.Stats()[figure] != strconv.Itoa(want) {
					return false
				}
			}
			return true
		}
		whole := func() bool { return all("members", n, -1) && all("failed", 0, -1) }
		began := time.Now()
		for !whole() {
			if time.Since(began) > 5*time.Minute {
				t.Fatal("the pool does not become whole")
			}
			time.Sleep(time.Second)
		}
		t.Logf("%d members: whole %v after the last start", n, time.Since(began))
		time.Sleep(10 * time.Second)
		perMember := (held() - before) / uint64(n)
		victim := n / 2
		network.Host(fmt.Sprintf("10.0.%d.%d", victim/250, victim%250+1)).Down()
		began = time.Now()
		for !all("failed", 1, victim) {
			if time.Since(began) > 15*time.Second {
				t.Fatal("a death is not known everywhere within 15 s")
			}
			time.Sleep(250 * time.Millisecond)
		}
		t.Logf("a death was known everywhere after %v; %d KiB a member, network and knowledge of all others included",
			time.Since(began), perMember/1024)
	})
}

// held is what the process holds in memory, heap and stacks.
func held() uint64 {
	runtime.GC()
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	return ms.HeapAlloc + ms.StackInuse
}
