package access

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/hashicorp/consul/api"

	"consul.internal/cmd/consul/command"
)

// form is the flag of how an answer is printed.
type form struct {
	c    *command.Command
	name *string
}

func withForm(c *command.Command) form {
	return form{c, c.Flags.String("format", "pretty", "How to print: pretty or json.")}
}

// print prints a value as JSON, or by text.
func (f form) print(v any, text func()) int {
	switch *f.name {
	case "json":
		return f.c.JSON(v, "    ")
	case "pretty":
		text()
		return 0
	}
	f.c.Fail("Invalid format %q: use pretty or json", *f.name)
	return 1
}

// failed says what went wrong.
func failed(c *command.Command, what string, err error) int {
	c.Fail("%s: %v", what, err)
	return 1
}

// content is a flag's value, or that of the file after "@", or for "-" of standard input.
func content(c *command.Command, v string) (string, error) {
	switch name, file := strings.CutPrefix(v, "@"); {
	case file:
		text, err := os.ReadFile(name)
		if err != nil {
			return "", fmt.Errorf("Failed to read file: %w", err)
		}
		return string(text), nil
	case v == "-":
		text, err := io.ReadAll(c.In)
		if err != nil {
			return "", fmt.Errorf("Failed to read stdin: %w", err)
		}
		return string(text), nil
	}
	return v, nil
}

// byPrefix is the one of several IDs that begins so.
func byPrefix[T any](what, prefix string, all []T, id func(T) string) (string, error) {
	var found []string
	for _, v := range all {
		if id(v) == prefix {
			return prefix, nil
		}
		if strings.HasPrefix(id(v), prefix) {
			found = append(found, id(v))
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("No such %s ID with prefix: %s", what, prefix)
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("%d %s IDs begin with %s", len(found), what, prefix)
}

// grants are the flags of what a token or role gives.
type grants struct {
	policyIDs, policyNames, roleIDs, roleNames, services, nodes, templates, variables command.List
}

func withGrants(c *command.Command, roles bool) *grants {
	g := new(grants)
	c.Flags.Var(&g.policyIDs, "policy-id", "ID of a policy. May be given more than once.")
	c.Flags.Var(&g.policyNames, "policy-name", "Name of a policy. May be given more than once.")
	if roles {
		c.Flags.Var(&g.roleIDs, "role-id", "ID of a role. May be given more than once.")
		c.Flags.Var(&g.roleNames, "role-name", "Name of a role. May be given more than once.")
	}
	c.Flags.Var(&g.services, "service-identity", "Name of a service, or NAME:DATACENTER,... May be given more than once.")
	c.Flags.Var(&g.nodes, "node-identity", "NAME:DATACENTER of a node. May be given more than once.")
	c.Flags.Var(&g.templates, "templated-policy", "Name of a templated policy.")
	c.Flags.Var(&g.variables, "var", "NAME:VALUE of a variable of -templated-policy.")
	return g
}

// empty reports whether nothing is given.
func (g *grants) empty() bool {
	return len(g.policyIDs)+len(g.policyNames)+len(g.roleIDs)+len(g.roleNames)+len(g.services)+len(g.nodes)+len(g.templates) == 0
}

// role is what is given, as a role has it.
func (g *grants) role() (*api.ACLRole, error) {
	r := &api.ACLRole{}
	for _, id := range g.policyIDs {
		r.Policies = append(r.Policies, &api.ACLLink{ID: id})
	}
	for _, name := range g.policyNames {
		r.Policies = append(r.Policies, &api.ACLLink{Name: name})
	}
	for _, s := range g.services {
		name, dcs, limited := strings.Cut(s, ":")
		identity := &api.ACLServiceIdentity{ServiceName: name}
		if limited {
			identity.Datacenters = strings.Split(dcs, ",")
		}
		r.ServiceIdentities = append(r.ServiceIdentities, identity)
	}
	for _, n := range g.nodes {
		name, dc, ok := strings.Cut(n, ":")
		if !ok {
			return nil, fmt.Errorf("Malformed -node-identity argument: %q: want NAME:DATACENTER", n)
		}
		r.NodeIdentities = append(r.NodeIdentities, &api.ACLNodeIdentity{NodeName: name, Datacenter: dc})
	}
	if len(g.templates) > 1 {
		return nil, errors.New("-templated-policy can be given once")
	}
	for _, name := range g.templates {
		t := &api.ACLTemplatedPolicy{TemplateName: name}
		for _, v := range g.variables {
			key, value, ok := strings.Cut(v, ":")
			if !ok || key != "name" {
				return nil, fmt.Errorf("Malformed -var argument: %q: want name:VALUE", v)
			}
			t.TemplateVariables = &api.ACLTemplatedPolicyVariables{Name: value}
		}
		r.TemplatedPolicies = append(r.TemplatedPolicies, t)
	}
	return r, nil
}

func (g *grants) roles() (out []*api.ACLLink) {
	for _, id := range g.roleIDs {
		out = append(out, &api.ACLLink{ID: id})
	}
	for _, name := range g.roleNames {
		out = append(out, &api.ACLLink{Name: name})
	}
	return out
}

// sayGrants prints what a token or role gives.
func sayGrants(c *command.Command, indent string, policies, roles []*api.ACLLink, r *api.ACLRole) {
	list := func(title string, n int, line func(int) string) {
		if n == 0 {
			return
		}
		c.Say("%s%s:", indent, title)
		for i := range n {
			c.Say("%s   %s", indent, line(i))
		}
	}
	list("Policies", len(policies), func(i int) string { return policies[i].ID + " - " + policies[i].Name })
	list("Roles", len(roles), func(i int) string { return roles[i].ID + " - " + roles[i].Name })
	list("Service Identities", len(r.ServiceIdentities), func(i int) string {
		s := r.ServiceIdentities[i]
		if len(s.Datacenters) == 0 {
			return s.ServiceName + " (Datacenters: all)"
		}
		return fmt.Sprintf("%s (Datacenters: %s)", s.ServiceName, strings.Join(s.Datacenters, ", "))
	})
	list("Node Identities", len(r.NodeIdentities), func(i int) string {
		return fmt.Sprintf("%s (Datacenter: %s)", r.NodeIdentities[i].NodeName, r.NodeIdentities[i].Datacenter)
	})
	list("Templated Policies", len(r.TemplatedPolicies), func(i int) string {
		t := r.TemplatedPolicies[i]
		if t.TemplateVariables == nil || t.TemplateVariables.Name == "" {
			return t.TemplateName
		}
		return fmt.Sprintf("%s (Name: %s)", t.TemplateName, t.TemplateVariables.Name)
	})
}
