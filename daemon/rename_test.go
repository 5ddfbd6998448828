package daemon_test

import (
	"context"
	"testing"

	"github.com/hashicorp/consul/api"

	"consul.internal/configs"
)

// TestReloadKeepsIdentity: a changed node_name waits for a restart, and a file
// that is refused changes nothing at all.
func TestReloadKeepsIdentity(t *testing.T) {
	n := start(t, freeAddr(t), "-dev")
	reload := func(text string) error {
		t.Helper()
		args := append([]string{"-dev", "-hcl=" + text}, n.args...)
		for i, a := range args {
			if a == "-node=node-a" {
				args[i] = "-node=other"
			}
		}
		next, _, err := configs.Load(args, configs.SystemHost())
		if err != nil {
			return err
		}
		return n.Reload(next)
	}
	if err := reload(`service { name = "web" port = 1 }`); err != nil {
		t.Fatal(err)
	}
	members, err := n.client.Agent().Members(false)
	if err != nil || len(members) != 1 || members[0].Name != "node-a" {
		t.Errorf("members %v, %v", members, err)
	}
	if name, err := n.client.Agent().NodeName(); err != nil || name != "node-a" {
		t.Errorf("the node is called %q, %v", name, err)
	}
	n.await(t, "web in the catalog", func() bool {
		s, _, err := n.client.Catalog().Service("web", "", (&api.QueryOptions{}).WithContext(context.Background()))
		return err == nil && len(s) == 1 && s[0].Node == "node-a"
	})
	for _, broken := range []string{
		`dns_config { service_ttl { "a*b" = "1s" } } service { name = "late" port = 2 }`,
		`service { name = "late" port = 2 check { ttl = "x" } }`,
	} {
		if err := reload(broken); err == nil {
			t.Errorf("%s was taken", broken)
		}
		services, err := n.client.Agent().Services()
		if err != nil || services["late"] != nil || services["web"] == nil {
			t.Errorf("after a refused reload: %v, %v", services, err)
		}
	}
}
