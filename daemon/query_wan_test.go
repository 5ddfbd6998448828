package daemon_test

import (
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/catalog"
	"consul.internal/query"
	"consul.internal/rpc"
)

// TestQueryFailsOver: a query whose own datacenter has no instance is answered with
// another one's, on servers and clients, also while that one is cut off.
func TestQueryFailsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		s1 := c.add(spec{key: "s1", server: true, expect: 1, flags: []string{"-datacenter=dc1"}})
		c1 := c.add(spec{key: "c1", join: []string{"s1"}, flags: []string{"-datacenter=dc1"}})
		s2 := c.add(spec{key: "s2", server: true, expect: 1, flags: []string{"-datacenter=dc2", "-retry-join-wan=" + s1.ip}})
		for _, n := range []*labNode{s1, c1, s2} {
			if err := c.start(n); err != nil {
				t.Fatal(err)
			}
		}
		call := func(what string, do func() error) {
			t.Helper()
			var err error
			if !c.await(time.Minute, func() bool { err = do(); return err == nil }) {
				t.Fatalf("%s: %v", what, err)
			}
		}
		place := func(dc, node, addr string, status catalog.Status) {
			t.Helper()
			call("register in "+dc, func() error {
				_, err := rpc.Call(t.Context(), c1.d.Caller(), rpc.CatalogRegister, &rpc.RegisterRequest{
					Target: rpc.Target{Datacenter: dc}, Node: &catalog.Node{Name: node, Address: addr},
					Service: &catalog.Service{Name: "web", Port: 80},
					Checks:  []*catalog.Check{{CheckID: "c", ServiceID: "web", Status: status, Output: "long"}},
				})
				return err
			})
		}
		place("dc2", "far", "10.8.0.1", catalog.Passing)
		for _, q := range []rpc.QueryApplyRequest{
			{Query: &query.Query{Name: "fo", Service: query.Service{Service: "web", Failover: query.Failover{NearestN: 1}}}},
			{Query: &query.Query{Name: "in2", Service: query.Service{Service: "web"}}, Target: rpc.Target{Datacenter: "dc2"}},
		} {
			call("create "+q.Query.Name, func() error {
				_, err := rpc.Call(t.Context(), c1.d.Caller(), rpc.QueryApply, &q)
				return err
			})
		}
		want := func(what, name, want string) {
			t.Helper()
			for _, n := range []*labNode{s1, c1} {
				var got string
				start := time.Now()
				if !c.await(10*time.Second, func() bool { start = time.Now(); got = n.digQuery(t, name); return got == want }) {
					t.Errorf("%s: %s says %q of %s, want %q", what, n.key, got, name, want)
				}
				if took := time.Since(start); took > 500*time.Millisecond {
					t.Errorf("%s: %s took %v for %s", what, n.key, took, name)
				}
			}
		}
		want("failed over", "fo.query.consul", "NOERROR 10.8.0.1")
		want("a query of the other one", "in2.query.dc2.consul", "NOERROR 10.8.0.1")
		want("not here", "in2.query.consul", "NXDOMAIN")
		full, err := rpc.Call(t.Context(), c1.d.Caller(), rpc.QueryExecute, &rpc.QueryExecuteRequest{Query: "fo"})
		if err != nil || full.Datacenter != "dc2" || full.Failovers != 1 || len(full.Instances) != 1 || full.Instances[0].Checks[0].Output != "long" {
			t.Errorf("executed: %+v, %v", full, err)
		}

		c.net.Cut(s1.ip, s2.ip)
		c.net.Cut(c1.ip, s2.ip)
		for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(70 * time.Millisecond) {
			for _, n := range []*labNode{s1, c1} {
				for _, name := range []string{"fo.query.consul", "in2.query.dc2.consul"} {
					start := time.Now()
					if got := n.digQuery(t, name); got != "NOERROR 10.8.0.1" && got != "NOERROR stale 10.8.0.1" {
						t.Errorf("%v after the cut %s says %q of %s", time.Since(began), n.key, got, name)
					}
					if took := time.Since(start); took > 500*time.Millisecond {
						t.Errorf("%v after the cut %s took %v for %s", time.Since(began), n.key, took, name)
					}
				}
			}
		}
		want("cut off", "fo.query.consul", "NOERROR stale 10.8.0.1")
		want("cut off", "in2.query.dc2.consul", "NOERROR stale 10.8.0.1")
		place("", "near", "10.9.0.1", catalog.Passing)
		want("the own one has one", "fo.query.consul", "NOERROR 10.9.0.1")

		c.net.HealAll()
		place("", "near", "10.9.0.1", catalog.Critical)
		place("dc2", "far", "10.8.0.2", catalog.Passing)
		want("whole again", "fo.query.consul", "NOERROR 10.8.0.2")
		want("whole again", "in2.query.dc2.consul", "NOERROR 10.8.0.2")
	})
}
