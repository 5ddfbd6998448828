package acl_test

import (
	"testing"

	"consul.internal/acl"
)

// Every policy that nobody wrote parses and grants what it is for.
func TestSynthetic(t *testing.T) {
	service := acl.ServiceIdentity{ServiceName: "web"}
	node := acl.NodeIdentity{NodeName: "n1", Datacenter: "dc1"}
	for _, p := range []*acl.Policy{service.Policy(), node.Policy()} {
		if _, err := acl.Parse(p.Rules); err != nil {
			t.Errorf("%s: %v", p.Description, err)
		}
	}
	if got, want := node.Policy().Name, "synthetic-policy-0a6e6f646520226e3122207b0a09706f6c696379203d20227772697465220a7d0a736572766963655f707265666978202222207b0a09706f6c696379203d202272656164220a7d6c62272e07bb014262b821756295c58d"; got != want {
		t.Errorf("a node's policy is called %s", got)
	}
	if node.Policy().Counts("dc2") || !service.Policy().Counts("dc2") {
		t.Error("the datacenters of identities")
	}
	for _, template := range acl.Templates() {
		g := acl.TemplatedPolicy{TemplateName: template.TemplateName, TemplateVariables: &acl.TemplateVariables{Name: "api"}}
		if err := g.Validate(); err != nil {
			t.Error(err)
		}
		r, err := acl.Parse(g.Policy().Rules)
		if err != nil {
			t.Errorf("%s: %v", template.TemplateName, err)
			continue
		}
		if a := acl.NewAuthorizer(r, acl.Options{}); !a.Allowed(acl.Service, "x", acl.Read) {
			t.Errorf("%s does not show services", template.TemplateName)
		}
		if g.TemplateVariables = nil; (g.Validate() == nil) == template.Needs() {
			t.Errorf("%s without a name: %v", template.TemplateName, g.Validate())
		}
	}
	for _, name := range []string{"", "Bad Name", "a\" {}", "-a", "a-"} {
		if s := (acl.ServiceIdentity{ServiceName: name}); s.Validate() == nil {
			t.Errorf("service identity %q is taken", name)
		}
	}
}
