package access

import (
	"fmt"
	"strings"

	"github.com/hashicorp/consul/api"

	"consul.internal/cmd/consul/command"
)

func sayPolicy(c *command.Command, p *api.ACLPolicy) func() {
	return func() {
		c.Say("ID:           %s\nName:         %s\nDescription:  %s\nDatacenters:  %s\nRules:\n%s",
			p.ID, p.Name, p.Description, strings.Join(p.Datacenters, ", "), p.Rules)
	}
}

func policyCreate(a *command.App) *command.Command {
	c := a.New("consul acl policy create -name NAME [options]", "Creates a policy",
		`Creates a policy. The rules are given as they are, as @FILE, or for "-" by standard input.

    $ consul acl policy create -name read -rules 'key_prefix "" { policy = "read" }'`).WithClient(true)
	p := &api.ACLPolicy{}
	var dcs command.List
	c.Flags.StringVar(&p.Name, "name", "", "Name of the policy.")
	c.Flags.StringVar(&p.Description, "description", "", "What it is for.")
	c.Flags.Var(&dcs, "valid-datacenter", "Datacenter in which it counts; without one, in all. May be given more than once.")
	rules, f := c.Flags.String("rules", "", "The rules, @FILE, or -."), withForm(c)
	return c.Asking(func(client *api.Client) int {
		if p.Name == "" {
			return c.Misused("Missing required '-name' flag")
		}
		var err error
		if p.Rules, err = content(c, *rules); err != nil {
			return failed(c, "Error loading rules", err)
		}
		p.Datacenters = dcs
		made, _, err := client.ACL().PolicyCreate(p, c.Write())
		if err != nil {
			return failed(c, "Failed to create new policy", err)
		}
		return f.print(made, sayPolicy(c, made))
	})
}

// policyID finds the policy that flags name.
func policyID(client *api.Client, c *command.Command, id, name string) (string, error) {
	if id == "" && name == "" {
		return "", fmt.Errorf("Must specify either the -id or -name parameters")
	}
	all, _, err := client.ACL().PolicyList(c.Query())
	if err != nil {
		return "", err
	}
	if id != "" {
		return byPrefix("policy", id, all, func(p *api.ACLPolicyListEntry) string { return p.ID })
	}
	for _, p := range all {
		if p.Name == name {
			return p.ID, nil
		}
	}
	return "", fmt.Errorf("No such policy with name: %s", name)
}

// onPolicy makes a command about one policy.
func onPolicy(a *command.App, verb, what string, flags func(*command.Command), do func(*command.Command, *api.Client, string) int) *command.Command {
	c := a.New("consul acl policy "+verb+" [options]", what, what+".\nIt is named by -id, of which the beginning suffices, or by -name.").WithClient(true)
	id := c.Flags.String("id", "", "ID of the policy, or how it begins.")
	name := c.Flags.String("name", "", "Name of the policy.")
	if flags != nil {
		flags(c)
	}
	return c.Asking(func(client *api.Client) int {
		of, err := policyID(client, c, *id, *name)
		if err != nil {
			return failed(c, "Error determining policy ID", err)
		}
		return do(c, client, of)
	})
}

func policyRead(a *command.App) *command.Command {
	var f form
	return onPolicy(a, "read", "Shows a policy", func(c *command.Command) { f = withForm(c) },
		func(c *command.Command, client *api.Client, id string) int {
			p, _, err := client.ACL().PolicyRead(id, c.Query())
			if err != nil {
				return failed(c, fmt.Sprintf("Error reading policy %q", id), err)
			}
			return f.print(p, sayPolicy(c, p))
		})
}

func policyDelete(a *command.App) *command.Command {
	return onPolicy(a, "delete", "Deletes a policy", nil, func(c *command.Command, client *api.Client, id string) int {
		if _, err := client.ACL().PolicyDelete(id, c.Write()); err != nil {
			return failed(c, fmt.Sprintf("Error deleting policy %q", id), err)
		}
		c.Say("Policy %q deleted successfully", id)
		return 0
	})
}

func policyList(a *command.App) *command.Command {
	c := a.New("consul acl policy list [options]", "Lists policies", "Lists all policies.").WithClient(true)
	f := withForm(c)
	return c.Asking(func(client *api.Client) int {
		all, _, err := client.ACL().PolicyList(c.Query())
		if err != nil {
			return failed(c, "Failed to retrieve the policy list", err)
		}
		return f.print(all, func() {
			for _, p := range all {
				c.Say("%s:\n   ID:           %s\n   Description:  %s\n   Datacenters:  %s", p.Name, p.ID, p.Description, strings.Join(p.Datacenters, ", "))
			}
		})
	})
}

func policyUpdate(a *command.App) *command.Command {
	c := a.New("consul acl policy update [options]", "Changes a policy",
		`Changes what the flags name; the rest stays. With -id, -name is the new name.`).WithClient(true)
	id := c.Flags.String("id", "", "ID of the policy, or how it begins.")
	name := c.Flags.String("name", "", "Name of the policy; with -id, its new name.")
	description := c.Flags.String("description", "", "What it is for.")
	rules, f := c.Flags.String("rules", "", "The rules, @FILE, or -."), withForm(c)
	return c.Asking(func(client *api.Client) int {
		of, err := policyID(client, c, *id, *name)
		if err != nil {
			return failed(c, "Error determining policy ID", err)
		}
		p, _, err := client.ACL().PolicyRead(of, c.Query())
		if err == nil && *rules != "" {
			p.Rules, err = content(c, *rules)
		}
		if err != nil {
			return failed(c, "Error when retrieving current policy", err)
		}
		if *name != "" {
			p.Name = *name
		}
		if *description != "" {
			p.Description = *description
		}
		changed, _, err := client.ACL().PolicyUpdate(p, c.Write())
		if err != nil {
			return failed(c, fmt.Sprintf("Error updating policy %q", of), err)
		}
		return f.print(changed, sayPolicy(c, changed))
	})
}
