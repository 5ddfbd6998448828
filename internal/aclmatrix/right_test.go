package aclmatrix

import (
	"testing"

	"consul.internal/acl"
)

// TestGrantsAreRules: what a grant says that it gives is what its rules give.
func TestGrantsAreRules(t *testing.T) {
	names := map[string][]string{
		"agent": {"a"}, "event": {"a"}, "intention": {"a"}, "key": {"a"}, "node": {"a"}, "query": {"a"}, "service": {"a"}, "session": {"a"},
	}
	access := map[string]acl.Access{"read": acl.Read, "list": acl.List, "write": acl.Write}
	resources := map[string]acl.Resource{
		"acl": acl.ACL, "keyring": acl.Keyring, "operator": acl.Operator, "mesh": acl.Mesh, "peering": acl.Peering, "agent": acl.Agent, "event": acl.Event,
		"intention": acl.Intention, "key": acl.Key, "node": acl.Node, "query": acl.Query, "service": acl.Service, "session": acl.Session,
	}
	order, grants := Grants(names, []Ways{{{{"node", "read", "a"}, {"service", "write", "a"}}}})
	if len(order) < 50 {
		t.Fatal(order)
	}
	for _, what := range order {
		g := grants[what]
		rules, err := acl.Parse(g.Rules)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		may := acl.NewAuthorizer(rules, acl.Options{KeyListPolicy: true})
		for _, want := range Every(names) {
			if want.Name == "*" {
				continue // that is what a rule says, not a name that is asked for
			}
			if got, says := may.Allowed(resources[want.Resource], want.Name, access[want.Access]), g.Suffices(Ways{{want}}); got != says {
				t.Errorf("%s gives %v: %v, the table has %v", what, want, got, says)
			}
		}
	}
}

func TestParseWays(t *testing.T) {
	w, err := ParseWays("node:read n + service:read s or operator:write")
	if err != nil || len(w) != 2 || w[0][1] != (Right{"service", "read", "s"}) || w[1][0] != (Right{"operator", "write", ""}) {
		t.Fatal(w, err)
	}
	if w, err := ParseWays("none"); err != nil || w != nil {
		t.Error(w, err)
	}
	for _, bad := range []string{"", "node", "node:any n"} {
		if _, err := ParseWays(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
