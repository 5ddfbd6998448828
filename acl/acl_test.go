package acl_test

import (
	"strings"
	"testing"

	"consul.internal/acl"
)

func rules(t *testing.T, texts ...string) *acl.Rules {
	t.Helper()
	var all []*acl.Rules
	for _, text := range texts {
		r, err := acl.Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		all = append(all, r)
	}
	return acl.Merge(all...)
}

func TestDecisions(t *testing.T) {
	type ask struct {
		r    acl.Resource
		name string
		want acl.Access
		ok   bool
	}
	for _, c := range []struct {
		name  string
		texts []string
		opts  acl.Options
		asks  []ask
	}{
		{"nothing is said and denied", []string{""}, acl.Options{}, []ask{
			{acl.Key, "a", acl.Read, false}, {acl.ACL, "", acl.Read, false}, {acl.Operator, "", acl.Read, false},
		}},
		{"nothing is said and allowed, but for tokens", []string{""}, acl.Options{DefaultAllow: true}, []ask{
			{acl.Key, "a", acl.Write, true}, {acl.ACL, "", acl.Read, false}, {acl.Mesh, "", acl.Write, true},
		}},
		{"the longest prefix, and the exact name before it", []string{`
			key_prefix "" { policy = "read" }
			key_prefix "a/" { policy = "write" }
			key_prefix "a/b/" { policy = "deny" }
			key "a/b/c" { policy = "read" }`}, acl.Options{}, []ask{
			{acl.Key, "x", acl.Read, true}, {acl.Key, "x", acl.Write, false}, {acl.Key, "a/x", acl.Write, true},
			{acl.Key, "a/b/x", acl.Read, false}, {acl.Key, "a/b/c", acl.Read, true}, {acl.Key, "a/b/c", acl.Write, false},
			{acl.Key, "a/b/cd", acl.Read, false},
		}},
		{"one refusal counts, else who gives most", []string{
			`node "n" { policy = "read" } service "s" { policy = "deny" } acl = "read"`,
			`node "n" { policy = "write" } service "s" { policy = "write" } acl = "write"`,
		}, acl.Options{}, []ask{
			{acl.Node, "n", acl.Write, true}, {acl.Service, "s", acl.Read, false}, {acl.ACL, "", acl.Write, true},
		}},
		{"listing is reading unless it is asked for", []string{`key_prefix "r/" { policy = "read" } key_prefix "l/" { policy = "list" }`}, acl.Options{}, []ask{
			{acl.Key, "r/", acl.List, true}, {acl.Key, "l/", acl.List, true}, {acl.Key, "l/", acl.Write, false}, {acl.Key, "l/x", acl.Read, true},
		}},
		{"listing that is asked for", []string{`key_prefix "r/" { policy = "read" } key_prefix "l/" { policy = "list" }`}, acl.Options{KeyListPolicy: true}, []ask{
			{acl.Key, "r/", acl.List, false}, {acl.Key, "l/", acl.List, true},
		}},
		{"the mesh is the operator's", []string{`operator = "write"`}, acl.Options{}, []ask{
			{acl.Mesh, "", acl.Write, true}, {acl.Peering, "", acl.Read, true}, {acl.Keyring, "", acl.Read, false},
		}},
		{"unless it has a rule", []string{`operator = "write" mesh = "deny"`}, acl.Options{}, []ask{{acl.Mesh, "", acl.Read, false}}},
		{"intentions follow the service", []string{`service "w" { policy = "write" } service "i" { policy = "read" intentions = "write" } service "d" { policy = "deny" }`},
			acl.Options{}, []ask{
				{acl.Intention, "w", acl.Read, true}, {acl.Intention, "w", acl.Write, false}, {acl.Intention, "i", acl.Write, true}, {acl.Intention, "d", acl.Read, false},
			}},
		{"JSON", []string{`{"key_prefix": {"": {"policy": "read"}}, "operator": "read"}`}, acl.Options{}, []ask{
			{acl.Key, "k", acl.Read, true}, {acl.Operator, "", acl.Read, true}, {acl.Operator, "", acl.Write, false},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := acl.NewAuthorizer(rules(t, c.texts...), c.opts)
			for _, q := range c.asks {
				if got := a.Allowed(q.r, q.name, q.want); got != q.ok {
					t.Errorf("%v of %v %q is %v", q.want, q.r, q.name, got)
				}
				if !acl.Everything().Allowed(q.r, q.name, q.want) {
					t.Errorf("who may do everything may not %v %v", q.want, q.r)
				}
			}
		})
	}
}

func TestUnderAndAny(t *testing.T) {
	a := acl.NewAuthorizer(rules(t, `
		key_prefix "a/" { policy = "write" }
		key_prefix "a/b/" { policy = "read" }
		key_prefix "c/" { policy = "write" }
		key "c/x" { policy = "deny" }
		key_prefix "d/" { policy = "write" }
		service "web" { policy = "write" }`), acl.Options{})
	for prefix, want := range map[string]bool{"a/": false, "a/c": true, "a/b/": false, "c/": false, "c/y": true, "d/": true, "d": false, "": false} {
		if got := a.Under(acl.Key, prefix, acl.Write); got != want {
			t.Errorf("all below %q: %v", prefix, got)
		}
	}
	if !a.Any(acl.Service, acl.Write) || a.Any(acl.Node, acl.Read) || !a.Any(acl.Key, acl.Read) {
		t.Error("what there can be")
	}
	if b := acl.NewAuthorizer(rules(t, ""), acl.Options{DefaultAllow: true}); !b.Any(acl.Node, acl.Write) || !b.Under(acl.Node, "", acl.Write) {
		t.Error("a default that allows")
	}
}

func TestBadRules(t *testing.T) {
	for text, part := range map[string]string{
		`key {`:                               "rules:1",
		`acl = "list"`:                        "Invalid acl policy",
		`key "a" { policy = "rw" }`:           "Invalid key policy",
		`node_prefix "a" { policy = "list" }`: "Invalid node_prefix policy",
		`key "a" { }`:                         "Invalid key policy",
		`kee "a" { policy = "read" }`:         "invalid config key kee",
		`key "a" { polcy = "read" }`:          `"policy"`,
		`service "a" { policy = "read" intentions = "x" }`: "intentions",
		`node "a" { policy = "read" intentions = "read" }`: "only services",
		strings.Repeat("#", 600<<10):                       "at most",
	} {
		if _, err := acl.Parse(text); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`key_prefix "" { policy = "read" } operator = "write"`)
	f.Add(`{"service": {"a": {"policy": "write", "intentions": "deny"}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := acl.Parse(text)
		if err != nil {
			return
		}
		a := acl.NewAuthorizer(acl.Merge(r, r), acl.Options{})
		for _, res := range []acl.Resource{acl.ACL, acl.Operator, acl.Key, acl.Service} {
			if a.Under(res, "", acl.Write) && !a.Allowed(res, "", acl.Read) {
				t.Errorf("%v: all may be written and nothing read", res)
			}
		}
	})
}
