package daemon_test

import (
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// TestCachedReads: ?cached on a client comes from its memory, follows changes by
// blocking queries, and goes on when the servers are gone, with its age.
func TestCachedReads(t *testing.T) {
	addr := freeAddr(t)
	server := start(t, addr, "-server", "-bootstrap", "-data-dir="+t.TempDir())
	client := agentOf(t, freeAddr(t), "-node=client", "-data-dir="+t.TempDir(), "-retry-join="+addr)
	register := func(id string, port int, status string) {
		t.Helper()
		_, err := server.client.Catalog().Register(&api.CatalogRegistration{
			Node: "ext", Address: "10.0.0.9", Service: &api.AgentService{ID: id, Service: "web", Port: port, Tags: []string{id}},
			Check: &api.AgentCheck{Node: "ext", CheckID: "c-" + id, ServiceID: id, Status: status},
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	register("a", 1, "passing")
	cached := func(tag string, passing bool, index uint64) ([]*api.ServiceEntry, *api.QueryMeta, error) {
		return client.client.Health().Service("web", tag, passing, &api.QueryOptions{UseCache: true, WaitIndex: index, WaitTime: 20 * time.Second})
	}
	var meta *api.QueryMeta
	client.await(t, "the service at the client", func() bool {
		s, m, err := cached("", false, 0)
		meta = m
		return err == nil && len(s) == 1 && s[0].Service.Port == 1 && m.CacheHit
	})
	changed := make(chan []*api.ServiceEntry, 1)
	go func() {
		s, _, err := cached("", true, meta.LastIndex)
		if err != nil {
			t.Error(err)
		}
		changed <- s
	}()
	register("b", 2, "critical")
	if s := <-changed; len(s) != 1 || s[0].Service.ID != "a" {
		t.Errorf("after the change: %d passing instances", len(s))
	}
	if s, _, err := cached("b", false, 0); err != nil || len(s) != 1 || s[0].Checks.AggregatedStatus() != "critical" {
		t.Errorf("by tag: %v, %v", s, err)
	}
	if _, _, err := client.client.Health().Service("web", "", false, &api.QueryOptions{UseCache: true, Filter: "nonsense"}); err == nil {
		t.Error("a wrong filter was taken")
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	client.await(t, "an answer that tells its age", func() bool {
		s, m, err := cached("", false, 0)
		return err == nil && len(s) == 2 && m.CacheAge >= 2*time.Second
	})
}
