package daemon_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"
)

// TestClientDatacenter walks over the official client's calls with Datacenter set:
// each is about the other datacenter, whichever agent is asked.
func TestClientDatacenter(t *testing.T) {
	one := start(t, freeAddr(t), "-dev", "-datacenter=dc1", "-node=one")
	two := start(t, freeAddr(t), "-dev", "-datacenter=dc2", "-node=two", "-retry-join-wan="+one.addr)
	r, w := &api.QueryOptions{Datacenter: "dc2"}, &api.WriteOptions{Datacenter: "dc2"}
	one.await(t, "the way to the other datacenter", func() bool {
		list, _, err := one.client.Catalog().Nodes(r)
		return err == nil && len(list) == 1
	})

	catalog, health := one.client.Catalog(), one.client.Health()
	_, err := catalog.Register(&api.CatalogRegistration{
		Datacenter: "dc2", Node: "ext", Address: "10.0.0.9",
		Service: &api.AgentService{Service: "db", Port: 80, Tags: []string{"a"}},
		Check:   &api.AgentCheck{CheckID: "c", ServiceID: "db", Status: "warning"},
	}, w)
	if err != nil {
		t.Fatal(err)
	}
	if here, _, err := catalog.Service("db", "", nil); err != nil || len(here) != 0 {
		t.Errorf("the own datacenter has it: %v, %v", here, err)
	}
	if there, _, err := two.client.Catalog().Service("db", "", nil); err != nil || len(there) != 1 {
		t.Errorf("the other one has %v, %v", there, err)
	}

	services := good2(catalog.Services(r))(t)
	if services["db"] == nil {
		t.Errorf("services: %v", services)
	}
	count := func(what string, n int, err error) {
		t.Helper()
		if err != nil || n == 0 {
			t.Errorf("%s: %d of them, %v", what, n, err)
		}
	}
	nodes, _, err := catalog.Nodes(r)
	count("nodes", len(nodes), err)
	instances, _, err := catalog.Service("db", "a", r)
	count("service", len(instances), err)
	instances, _, err = catalog.ServiceMultipleTags("db", []string{"a"}, r)
	count("service with tags", len(instances), err)
	node, _, err := catalog.Node("ext", r)
	if err != nil || node == nil || node.Node.Datacenter != "dc2" || node.Services["db"] == nil {
		t.Errorf("node: %+v, %v", node, err)
	}
	list, _, err := catalog.NodeServiceList("ext", r)
	if err != nil || len(list.Services) != 1 {
		t.Errorf("services of a node: %+v, %v", list, err)
	}
	checks, _, err := health.Node("ext", r)
	count("checks of a node", len(checks), err)
	checks, _, err = health.Checks("db", r)
	count("checks of a service", len(checks), err)
	checks, _, err = health.State("warning", r)
	count("checks in a state", len(checks), err)
	entries, _, err := health.Service("db", "", false, r)
	count("instances", len(entries), err)
	entries, _, err = health.ServiceMultipleTags("db", []string{"a"}, false, r)
	count("instances with tags", len(entries), err)

	walkQueries(t, one, two, r, w)
	walkOperator(t, one, two, r)
	walkConfig(t, one, two, r, w)

	if _, err := catalog.Deregister(&api.CatalogDeregistration{Datacenter: "dc2", Node: "ext"}, w); err != nil {
		t.Error(err)
	}
	if there, _, err := two.client.Catalog().Node("ext", nil); err != nil || there != nil {
		t.Errorf("deregistered, and still there: %v, %v", there, err)
	}
	nowhere := &api.QueryOptions{Datacenter: "dc9"}
	_, _, err = catalog.Nodes(nowhere)
	refused(t, err, 500, "No path to datacenter")
	_, _, err = health.Service("db", "", false, nowhere)
	refused(t, err, 500, "No path to datacenter")
	_, _, err = one.client.ConfigEntries().List(api.ServiceDefaults, nowhere)
	refused(t, err, 500, "No path to datacenter")
}

// good2 is good for what comes with figures.
func good2[T any](v T, _ *api.QueryMeta, err error) func(*testing.T) T { return good(v, err) }

func walkQueries(t *testing.T, one, two *node, r *api.QueryOptions, w *api.WriteOptions) {
	t.Helper()
	q := one.client.PreparedQuery()
	id, _, err := q.Create(&api.PreparedQueryDefinition{Name: "q", Service: api.ServiceQuery{Service: "db"}}, w)
	if err != nil {
		t.Fatal(err)
	}
	if here, _, err := q.List(nil); err != nil || len(here) != 0 {
		t.Errorf("the own datacenter has the query: %v, %v", here, err)
	}
	if _, err := q.Update(&api.PreparedQueryDefinition{ID: id, Name: "q2", Service: api.ServiceQuery{Service: "db"}}, w); err != nil {
		t.Error(err)
	}
	if list, _, err := q.Get(id, r); err != nil || list[0].Name != "q2" {
		t.Errorf("query: %v, %v", list, err)
	}
	if list, _, err := q.List(r); err != nil || len(list) != 1 {
		t.Errorf("queries: %v, %v", list, err)
	}
	if out, _, err := q.Execute("q2", r); err != nil || out.Datacenter != "dc2" || len(out.Nodes) != 1 {
		t.Errorf("executed: %+v, %v", out, err)
	}
	if _, err := q.Delete(id, w); err != nil {
		t.Error(err)
	}
	if left, _, err := two.client.PreparedQuery().List(nil); err != nil || len(left) != 0 {
		t.Errorf("queries left: %v, %v", left, err)
	}
}

func walkOperator(t *testing.T, one, two *node, r *api.QueryOptions) {
	t.Helper()
	leader, err := one.client.Status().LeaderWithQueryOptions(r)
	if err != nil || !strings.HasPrefix(leader, two.addr) {
		t.Errorf("leader %q, %v", leader, err)
	}
	peers, err := one.client.Status().PeersWithQueryOptions(r)
	if err != nil || len(peers) != 1 || !strings.HasPrefix(peers[0], two.addr) {
		t.Errorf("peers %v, %v", peers, err)
	}
	op := one.client.Operator()
	raft, err := op.RaftGetConfiguration(r)
	if err != nil || len(raft.Servers) != 1 || raft.Servers[0].Node != "two" {
		t.Errorf("raft: %+v, %v", raft, err)
	}
	cfg, err := op.AutopilotGetConfiguration(r)
	if err != nil {
		t.Fatal(err)
	}
	cfg.MaxTrailingLogs = 321
	if err := op.AutopilotSetConfiguration(cfg, &api.WriteOptions{Datacenter: "dc2"}); err != nil {
		t.Error(err)
	}
	there, err := two.client.Operator().AutopilotGetConfiguration(nil)
	here, here2 := one.client.Operator().AutopilotGetConfiguration(nil)
	if err := errors.Join(err, here2); err != nil || there.MaxTrailingLogs != 321 || here.MaxTrailingLogs == 321 {
		t.Errorf("autopilot: there %+v, here %+v, %v", there, here, err)
	}
	one.await(t, "the health of the other one's server", func() bool {
		h, err := op.AutopilotServerHealth(r)
		return err == nil && len(h.Servers) == 1 && h.Servers[0].Name == "two"
	})
	if s, err := op.AutopilotState(r); err != nil || len(s.Servers) != 1 {
		t.Errorf("state of servers: %+v, %v", s, err)
	}
	if u, _, err := op.Usage(r); err != nil || len(u.Usage) == 0 {
		t.Errorf("usage: %+v, %v", u, err)
	}
	if _, _, err := one.client.Coordinate().Nodes(r); err != nil {
		t.Error(err)
	}
	if _, _, err := one.client.Coordinate().Node("two", r); err != nil && !strings.Contains(err.Error(), "404") {
		t.Error(err)
	}
}

func walkConfig(t *testing.T, one, two *node, r *api.QueryOptions, w *api.WriteOptions) {
	t.Helper()
	c := one.client.ConfigEntries()
	if done, _, err := c.Set(&api.ServiceConfigEntry{Kind: api.ServiceDefaults, Name: "db", Protocol: "http"}, w); err != nil || !done {
		t.Fatal(done, err)
	}
	e, _, err := c.Get(api.ServiceDefaults, "db", r)
	if err != nil || e.(*api.ServiceConfigEntry).Protocol != "http" {
		t.Fatalf("%+v, %v", e, err)
	}
	if list, _, err := c.List(api.ServiceDefaults, r); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
	if here, _, err := c.List(api.ServiceDefaults, nil); err != nil || len(here) != 0 {
		t.Errorf("the own datacenter has %v, %v", here, err)
	}
	if done, _, err := c.CAS(&api.ServiceConfigEntry{Kind: api.ServiceDefaults, Name: "db", Protocol: "grpc"}, e.GetModifyIndex(), w); err != nil || !done {
		t.Error(done, err)
	}
	if done, _, err := c.DeleteCAS(api.ServiceDefaults, "db", e.GetModifyIndex(), w); err != nil || done {
		t.Errorf("deleted at an old index: %v, %v", done, err)
	}
	if _, err := c.Delete(api.ServiceDefaults, "db", w); err != nil {
		t.Error(err)
	}
	if left, _, err := two.client.ConfigEntries().List(api.ServiceDefaults, nil); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	dcs, err := one.client.Catalog().Datacenters()
	if err != nil || !slices.Equal(dcs, []string{"dc1", "dc2"}) {
		t.Errorf("datacenters: %v, %v", dcs, err)
	}
}
