package daemon_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/catalog"
	"consul.internal/dnsserver/zone"
	"consul.internal/query"
	"consul.internal/rpc"
	"github.com/miekg/dns"
)

// digQuery asks a prepared query's name as DNS does, with the time that DNS has.
func (n *labNode) digQuery(t *testing.T, name string) string {
	z := zone.New(zone.Options{Domain: "consul.", Datacenter: "dc1", Execute: n.d.Execute}, n.d.Names(), func(int, func(i, j int)) {})
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	r := z.Answer(ctx, z.Parse(dns.Fqdn(name)), dns.TypeA)
	out := dns.RcodeToString[r.Rcode]
	if r.Stale {
		out += " stale"
	}
	for _, rr := range r.Answer {
		out += " " + rr.(*dns.A).A.String()
	}
	return out
}

// TestQueryOnClient: a client answers prepared queries from memory once they were
// asked for, sees changes by push, and goes on without servers.
func TestQueryOnClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		s1 := c.add(spec{key: "s1", server: true, expect: 1})
		c1 := c.add(spec{key: "c1", join: []string{"s1"}})
		for _, n := range []*labNode{s1, c1} {
			if err := c.start(n); err != nil {
				t.Fatal(err)
			}
		}
		place := func(node, addr string, status catalog.Status) {
			t.Helper()
			if !c.await(30*time.Second, func() bool {
				_, err := rpc.Call(t.Context(), c1.d.Caller(), rpc.CatalogRegister, &rpc.RegisterRequest{
					Node: &catalog.Node{Name: node, Address: addr}, Service: &catalog.Service{Name: "web", Port: 80},
					Checks: []*catalog.Check{{CheckID: "c", ServiceID: "web", Status: status}},
				})
				return err == nil
			}) {
				t.Fatalf("%s cannot be registered", node)
			}
		}
		place("n1", "10.9.0.1", catalog.Passing)
		for _, q := range []*query.Query{
			{Name: "web-q", Service: query.Service{Service: "web"}},
			{Name: "near-q", Service: query.Service{Service: "web", Near: "n1"}},
		} {
			if _, err := rpc.Call(t.Context(), c1.d.Caller(), rpc.QueryApply, &rpc.QueryApplyRequest{Query: q}); err != nil {
				t.Fatal(err)
			}
		}
		want := func(what, name, want string) {
			t.Helper()
			if got := c1.digQuery(t, name); got != want {
				t.Errorf("%s: %q, want %q", what, got, want)
			}
		}
		want("the first", "web-q.query.consul", "NOERROR 10.9.0.1")
		want("near", "near-q.query.consul", "NOERROR 10.9.0.1")
		want("of the datacenter by name", "web-q.query.dc1.consul", "NOERROR 10.9.0.1")
		want("unknown", "nope.query.consul", "NXDOMAIN")
		want("unknown datacenter", "web-q.query.dc9.consul", "NXDOMAIN")
		synctest.Wait()
		start := time.Now()
		want("from memory", "web-q.query.consul", "NOERROR 10.9.0.1")
		if took := time.Since(start); took != 0 {
			t.Errorf("an answer from memory took %v", took)
		}
		place("n1", "10.9.0.1", catalog.Critical)
		place("n2", "10.9.0.2", catalog.Passing)
		time.Sleep(200 * time.Millisecond)
		want("after the change", "web-q.query.consul", "NOERROR 10.9.0.2")
		want("near, after the change", "near-q.query.consul", "NOERROR 10.9.0.2")

		if err := c.kill(s1); err != nil {
			t.Fatal(err)
		}
		for _, after := range []time.Duration{3 * time.Second, 30 * time.Second, 10 * time.Minute} {
			time.Sleep(after)
			want("no server", "web-q.query.consul", "NOERROR stale 10.9.0.2")
			want("no server, near", "near-q.query.consul", "NOERROR stale 10.9.0.2")
		}
		want("no server, never asked for", "other.query.consul", "SERVFAIL")
		if err := c.stop(c1); err != nil {
			t.Fatal(err)
		}
		if err := c.start(c1); err != nil {
			t.Fatal(err)
		}
		want("restarted without a server", "web-q.query.consul", "NOERROR stale 10.9.0.2")

		if err := c.start(s1); err != nil {
			t.Fatal(err)
		}
		place("n3", "10.9.0.3", catalog.Passing)
		place("n2", "10.9.0.2", catalog.Critical)
		if !c.await(30*time.Second, func() bool { return c1.digQuery(t, "web-q.query.consul") == "NOERROR 10.9.0.3" }) {
			t.Errorf("after the server is back: %q", c1.digQuery(t, "web-q.query.consul"))
		}
	})
}
