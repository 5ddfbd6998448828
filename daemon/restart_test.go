package daemon_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/miekg/dns"
)

// TestRestartKeeps: after a restart the answers are the same and no index is
// lower, also for what came only through the catalog.
func TestRestartKeeps(t *testing.T) {
	addr, dir := freeAddr(t), t.TempDir()
	args := []string{"-server", "-bootstrap-expect=1", "-data-dir=" + dir}
	n := start(t, addr, args...)
	_, err := n.client.Catalog().Register(&api.CatalogRegistration{
		Node: "ext", Address: "10.0.0.7", NodeMeta: map[string]string{"os": "linux"},
		Service: &api.AgentService{Service: "db", Port: 5432, Tags: []string{"primary"}},
		Checks:  api.HealthChecks{{CheckID: "alive", Name: "alive", Status: api.HealthPassing, ServiceID: "db"}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.client.Agent().ServiceRegister(&api.AgentServiceRegistration{
		Name: "web", Port: 80, Check: &api.AgentServiceCheck{TTL: "1h", Status: api.HealthPassing},
	}); err != nil {
		t.Fatal(err)
	}
	n.await(t, "web in DNS", func() bool { return len(n.dig(t, "web.service.consul.", dns.TypeSRV).Answer) == 1 })
	before, meta, err := n.client.Health().Service("db", "", true, nil)
	if err != nil || len(before) != 1 {
		t.Fatalf("before: %v, %v", before, err)
	}
	id := n.Info().NodeID
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}

	n = start(t, addr, args...)
	if n.Info().NodeID != id {
		t.Errorf("node ID was %s, is %s", id, n.Info().NodeID)
	}
	after, again, err := n.client.Health().Service("db", "", true, nil)
	if err != nil || len(after) != 1 || again.LastIndex < meta.LastIndex {
		t.Fatalf("after: %v, index %d (was %d), %v", after, again.LastIndex, meta.LastIndex, err)
	}
	if a, b := after[0], before[0]; a.Service.Port != b.Service.Port || a.Service.ModifyIndex != b.Service.ModifyIndex ||
		a.Node.Meta["os"] != "linux" || a.Checks[0].ModifyIndex != b.Checks[0].ModifyIndex {
		t.Errorf("before %+v, after %+v", b.Service, a.Service)
	}
	r := n.dig(t, "primary.db.service.dc1.consul.", dns.TypeSRV)
	if len(r.Answer) != 1 || r.Answer[0].(*dns.SRV).Port != 5432 {
		t.Errorf("dig: %v", r)
	}
	if len(n.dig(t, "web.service.consul.", dns.TypeSRV).Answer) != 1 {
		t.Error("web is gone")
	}
}

// TestReload: files that change are taken over, and a broken one changes nothing.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir+"/web.hcl", `service { name = "web" port = 80 }`)
	n := start(t, freeAddr(t), "-dev", "-config-dir="+dir)
	port := func() int {
		services, err := n.client.Agent().Services()
		if err != nil || services["web"] == nil {
			t.Fatalf("services: %v, %v", services, err)
		}
		return services["web"].Port
	}
	if port() != 80 {
		t.Fatalf("port %d", port())
	}
	write(t, file, `service { name = "web" port = 81 }`)
	if err := n.client.Agent().Reload(); err != nil || port() != 81 {
		t.Fatalf("port %d, %v", port(), err)
	}
	write(t, file, fmt.Sprintf("service { name = %q prot = 82 }", "web"))
	err := n.client.Agent().Reload()
	if err == nil || port() != 81 {
		t.Fatalf("port %d, %v", port(), err)
	}
	for _, want := range []string{file + ":1:", `"port"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not name %s", err, want)
		}
	}
	write(t, file, `dns_config { node_ttl = "7s" }`)
	if err := n.client.Agent().Reload(); err != nil {
		t.Fatal(err)
	}
	if r := n.dig(t, "node-a.node.consul.", dns.TypeA); len(r.Answer) != 1 || r.Answer[0].Header().Ttl != 7 {
		t.Errorf("after a reload of dns_config: %v", r)
	}
	if services, err := n.client.Agent().Services(); err != nil || len(services) != 0 {
		t.Errorf("a service that left the files is still there: %v, %v", services, err)
	}
}
