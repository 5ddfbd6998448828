package daemon_test

import (
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/miekg/dns"
)

// TestOfficialClient walks a service's life with the official client.
func TestOfficialClient(t *testing.T) {
	n := start(t, freeAddr(t), "-dev")
	agent, health := n.client.Agent(), n.client.Health()

	before, meta, err := health.Service("web", "", false, nil)
	if err != nil || len(before) != 0 {
		t.Fatalf("before: %v, %v", before, err)
	}
	type result struct {
		entries []*api.ServiceEntry
		meta    *api.QueryMeta
		err     error
	}
	woken := make(chan result, 1)
	go func() {
		e, m, err := health.Service("web", "", false, &api.QueryOptions{WaitIndex: meta.LastIndex, WaitTime: time.Minute})
		woken <- result{e, m, err}
	}()
	err = agent.ServiceRegister(&api.AgentServiceRegistration{
		ID: "web-1", Name: "web", Port: 8080, Tags: []string{"v1"}, Meta: map[string]string{"k": "v"},
		Check: &api.AgentServiceCheck{TTL: "1h", Status: api.HealthPassing},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := <-woken
	if r.err != nil || len(r.entries) != 1 || r.meta.LastIndex <= meta.LastIndex {
		t.Fatalf("the blocked query gave %v, %v, %v", r.entries, r.meta, r.err)
	}
	if e := r.entries[0]; e.Service.Port != 8080 || e.Service.Meta["k"] != "v" || e.Node.Node != "node-a" {
		t.Errorf("entry %+v %+v", e.Service, e.Node)
	}
	n.await(t, "the service passing in DNS", func() bool {
		return len(n.dig(t, "web.service.dc1.consul.", dns.TypeSRV).Answer) == 1
	})

	if err := agent.FailTTL("service:web-1", "down"); err != nil {
		t.Fatal(err)
	}
	n.await(t, "the service gone from DNS", func() bool {
		return n.dig(t, "web.service.consul.", dns.TypeA).Rcode == dns.RcodeNameError
	})
	passing, _, err := health.Service("web", "", true, nil)
	if err != nil || len(passing) != 0 {
		t.Errorf("passing: %v, %v", passing, err)
	}
	checks, _, err := health.State(api.HealthCritical, nil)
	if err != nil || len(checks) != 1 || checks[0].Output != "down" {
		t.Errorf("critical checks: %v, %v", checks, err)
	}
	services, _, err := n.client.Catalog().Services(&api.QueryOptions{Filter: `"v1" in ServiceTags`})
	if err != nil || len(services) != 1 || !slices.Equal(services["web"], []string{"v1"}) {
		t.Errorf("services: %v, %v", services, err)
	}
	if status, infos, err := agent.AgentHealthServiceByName("web"); err != nil || status != api.HealthCritical || len(infos) != 1 {
		t.Errorf("agent health: %v, %v, %v", status, infos, err)
	}
	if self, err := agent.Self(); err != nil || self["Config"]["NodeName"] != "node-a" {
		t.Errorf("self: %v, %v", self["Config"], err)
	}
	if members, err := agent.Members(false); err != nil || len(members) != 1 || members[0].Addr != n.addr {
		t.Errorf("members: %v, %v", members, err)
	}

	if err := agent.ServiceDeregister("web-1"); err != nil {
		t.Fatal(err)
	}
	n.await(t, "the service gone from the catalog", func() bool {
		left, _, err := n.client.Catalog().Service("web", "", nil)
		return err == nil && len(left) == 0
	})
}

// TestBlockingWakesOnlyForItsOwn: a change elsewhere does not end a query, and a
// query that runs into its time returns what there is.
func TestBlockingWakesOnlyForItsOwn(t *testing.T) {
	n := start(t, freeAddr(t), "-dev")
	register := func(service string) {
		t.Helper()
		_, err := n.client.Catalog().Register(&api.CatalogRegistration{
			Node: "ext", Address: "10.0.0.1", Service: &api.AgentService{Service: service, Port: 1},
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	register("mine")
	_, meta, err := n.client.Catalog().Service("mine", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan *api.QueryMeta, 1)
	go func() {
		_, m, err := n.client.Catalog().Service("mine", "", &api.QueryOptions{WaitIndex: meta.LastIndex, WaitTime: 300 * time.Millisecond})
		if err != nil {
			t.Error(err)
		}
		done <- m
	}()
	register("other")
	if m := <-done; m.LastIndex != meta.LastIndex {
		t.Errorf("index went from %d to %d without a change of its service", meta.LastIndex, m.LastIndex)
	} else if m.RequestTime < 300*time.Millisecond {
		t.Errorf("the query came back after %s", m.RequestTime)
	}
}
