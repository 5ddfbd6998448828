package access

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/consul/api"

	"consul.internal/cmd/consul/command"
)

// grants are the flags of what a token or role gives.
type grants struct {
	policyIDs, policyNames, roleIDs, roleNames, services, nodes, templates command.List
	variables                                                              *command.List
	templateFile                                                           string
}

func withGrants(c *command.Command, roles bool) *grants {
	g := &grants{variables: new(command.List)}
	g.flags(c, roles, "", "")
	c.Flags.Var(g.variables, "var", "NAME:VALUE of a variable of the templated policy.")
	return g
}

// withMore are the flags of what is added to what it has, next to those that replace it.
func withMore(c *command.Command, g *grants, roles bool) *grants {
	more := &grants{variables: g.variables}
	more.flags(c, roles, "append-", " to add")
	return more
}

func (g *grants) flags(c *command.Command, roles bool, prefix, what string) {
	more := what + ". May be given more than once."
	c.Flags.Var(&g.policyIDs, prefix+"policy-id", "ID of a policy, or how it begins"+more)
	c.Flags.Var(&g.policyNames, prefix+"policy-name", "Name of a policy"+more)
	if roles {
		c.Flags.Var(&g.roleIDs, prefix+"role-id", "ID of a role, or how it begins"+more)
		c.Flags.Var(&g.roleNames, prefix+"role-name", "Name of a role"+more)
	}
	c.Flags.Var(&g.services, prefix+"service-identity", "Name of a service, or NAME:DATACENTER,..."+more)
	c.Flags.Var(&g.nodes, prefix+"node-identity", "NAME:DATACENTER of a node"+more)
	c.Flags.Var(&g.templates, prefix+"templated-policy", "Name of a templated policy"+what+".")
	c.Flags.StringVar(&g.templateFile, prefix+"templated-policy-file", "", "File with templated policies and their variables"+what+", in HCL or JSON.")
}

// empty reports whether nothing is given.
func (g *grants) empty() bool {
	return len(g.policyIDs)+len(g.policyNames)+len(g.roleIDs)+len(g.roleNames)+len(g.services)+len(g.nodes)+len(g.templates) == 0 &&
		g.templateFile == ""
}

// templated reports whether templated policies are given.
func (g *grants) templated() bool { return len(g.templates) > 0 || g.templateFile != "" }

const wholeID = 36 // characters of an ID

// whole completes IDs of which the beginning is given.
func (g *grants) whole(client *api.Client, c *command.Command) error {
	for i, id := range g.policyIDs {
		if len(id) >= wholeID {
			continue
		}
		full, err := policyID(client, c, id, "")
		if err != nil {
			return err
		}
		g.policyIDs[i] = full
	}
	for i, id := range g.roleIDs {
		if len(id) >= wholeID {
			continue
		}
		all, _, err := client.ACL().RoleList(c.Query())
		if err == nil {
			g.roleIDs[i], err = byPrefix("role", id, all, func(r *api.ACLRole) string { return r.ID })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// given is what the flags give, as a token has it.
func (g *grants) given(client *api.Client, c *command.Command) (*api.ACLToken, error) {
	if err := g.whole(client, c); err != nil {
		return nil, err
	}
	t := &api.ACLToken{Policies: links(g.policyIDs, g.policyNames), Roles: links(g.roleIDs, g.roleNames)}
	for _, s := range g.services {
		name, dcs, limited := strings.Cut(s, ":")
		identity := &api.ACLServiceIdentity{ServiceName: name}
		if limited {
			identity.Datacenters = strings.Split(dcs, ",")
		}
		t.ServiceIdentities = append(t.ServiceIdentities, identity)
	}
	for _, n := range g.nodes {
		name, dc, ok := strings.Cut(n, ":")
		if !ok {
			return nil, fmt.Errorf("Malformed -node-identity argument: %q: want NAME:DATACENTER", n)
		}
		t.NodeIdentities = append(t.NodeIdentities, &api.ACLNodeIdentity{NodeName: name, Datacenter: dc})
	}
	template, err := g.template()
	if template != nil {
		t.TemplatedPolicies = append(t.TemplatedPolicies, template)
	}
	if g.templateFile != "" && err == nil {
		var more []*api.ACLTemplatedPolicy
		more, err = readTemplates(g.templateFile)
		t.TemplatedPolicies = append(t.TemplatedPolicies, more...)
	}
	return t, err
}

// template is the templated policy with its variables; nil = none is given.
func (g *grants) template() (*api.ACLTemplatedPolicy, error) {
	switch len(g.templates) {
	case 0:
		if len(*g.variables) > 0 && g.templateFile != "" {
			return nil, errors.New("-var goes with -templated-policy; a file has the variables of its own")
		}
		return nil, nil
	case 1:
	default:
		return nil, errors.New("-templated-policy can be given once")
	}
	t := &api.ACLTemplatedPolicy{TemplateName: g.templates[0]}
	for _, v := range *g.variables {
		key, value, ok := strings.Cut(v, ":")
		if !ok || key != "name" {
			return nil, fmt.Errorf("Malformed -var argument: %q: want name:VALUE", v)
		}
		t.TemplateVariables = &api.ACLTemplatedPolicyVariables{Name: value}
	}
	return t, nil
}

func links(ids, names []string) (out []*api.ACLLink) {
	for _, id := range ids {
		out = append(out, &api.ACLLink{ID: id})
	}
	for _, name := range names {
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
