package access

import (
	"strings"

	"github.com/hashicorp/consul/api"

	"consul.internal/cmd/consul/command"
)

// sayExpanded prints a token with what its policies and roles hold, and what counts
// where none of them speaks.
func sayExpanded(c *command.Command, x *api.ACLTokenExpanded, meta bool) func() {
	return func() {
		sayTokenHead(c, &x.ACLToken, meta)
		e := expansion{c: c, policies: map[string]*api.ACLPolicy{}}
		for i := range x.ExpandedPolicies {
			e.policies[x.ExpandedPolicies[i].ID] = &x.ExpandedPolicies[i]
		}
		roles := map[string]*api.ACLRole{}
		for i := range x.ExpandedRoles {
			roles[x.ExpandedRoles[i].ID] = &x.ExpandedRoles[i]
		}
		e.say("", x.Policies, &api.ACLRole{ServiceIdentities: x.ServiceIdentities, NodeIdentities: x.NodeIdentities, TemplatedPolicies: x.TemplatedPolicies})
		if len(x.Roles) > 0 {
			c.Say("Roles:")
		}
		for _, link := range x.Roles {
			c.Say("   Role Name: %s\n      ID: %s", link.Name, link.ID)
			r := roles[link.ID]
			if r == nil {
				c.Say("      It does not exist, and gives nothing.")
				continue
			}
			c.Say("      Description: %s", r.Description)
			e.say("      ", r.Policies, r)
		}
		if x.AgentACLDefaultPolicy != "" {
			c.Say("Otherwise, as the agent is configured that was asked:\n   Resolved By Agent: %q\n   Default Policy: %s\n   Down Policy: %s",
				x.ResolvedByAgent, x.AgentACLDefaultPolicy, x.AgentACLDownPolicy)
		}
	}
}

// expansion prints policies by what they hold.
type expansion struct {
	c        *command.Command
	policies map[string]*api.ACLPolicy
}

func (e expansion) say(indent string, links []*api.ACLLink, r *api.ACLRole) {
	if len(links) > 0 {
		e.c.Say("%sPolicies:", indent)
	}
	for _, link := range links {
		e.c.Say("%s   Policy Name: %s\n%s      ID: %s", indent, link.Name, indent, link.ID)
		p := e.policies[link.ID]
		if p == nil {
			// A policy may count in other datacenters alone.
			e.c.Say("%s      It gives nothing here.", indent)
			continue
		}
		e.c.Say("%s      Description: %s\n%s      Rules:", indent, p.Description, indent)
		for line := range strings.Lines(strings.TrimSpace(p.Rules)) {
			e.c.Say("%s         %s", indent, strings.TrimRight(line, "\r\n"))
		}
	}
	sayGrants(e.c, indent, nil, nil, r)
}
