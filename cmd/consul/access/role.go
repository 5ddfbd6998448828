package access

import (
	"fmt"

	"github.com/hashicorp/consul/api"

	"consul.internal/cmd/consul/command"
)

func sayRole(c *command.Command, r *api.ACLRole) func() {
	return func() {
		c.Say("ID:           %s\nName:         %s\nDescription:  %s", r.ID, r.Name, r.Description)
		sayGrants(c, "", r.Policies, nil, r)
	}
}

func roleCreate(a *command.App) *command.Command {
	c := a.New("consul acl role create -name NAME [options]", "Creates a role",
		`Creates a role: a name for policies and identities, which tokens can link to.

    $ consul acl role create -name web -policy-name read -service-identity web`).WithClient(true)
	name := c.Flags.String("name", "", "Name of the role.")
	description := c.Flags.String("description", "", "What it is for.")
	g, f := withGrants(c, false), withForm(c)
	return c.Asking(func(client *api.Client) int {
		if *name == "" {
			return c.Misused("Missing required '-name' flag")
		}
		if g.empty() {
			c.Fail("Cannot create a role without specifying -policy-name, -policy-id, -service-identity, -node-identity, -templated-policy-file or -templated-policy at least once")
			return 1
		}
		t, err := g.given(client, c)
		if err != nil {
			return failed(c, "Failed to create new role", err)
		}
		r := &api.ACLRole{
			Name: *name, Description: *description, Policies: t.Policies, ServiceIdentities: t.ServiceIdentities,
			NodeIdentities: t.NodeIdentities, TemplatedPolicies: t.TemplatedPolicies,
		}
		made, _, err := client.ACL().RoleCreate(r, c.Write())
		if err != nil {
			return failed(c, "Failed to create new role", err)
		}
		return f.print(made, sayRole(c, made))
	})
}

// findRole is the role that flags name.
func findRole(client *api.Client, c *command.Command, id, name string) (*api.ACLRole, error) {
	switch {
	case id == "" && name == "":
		return nil, fmt.Errorf("Must specify either the -id or -name parameters")
	case id != "":
		all, _, err := client.ACL().RoleList(c.Query())
		if err == nil {
			id, err = byPrefix("role", id, all, func(r *api.ACLRole) string { return r.ID })
		}
		if err != nil {
			return nil, err
		}
		r, _, err := client.ACL().RoleRead(id, c.Query())
		if err == nil && r == nil {
			err = fmt.Errorf("Role not found with ID %q", id)
		}
		return r, err
	}
	r, _, err := client.ACL().RoleReadByName(name, c.Query())
	if err == nil && r == nil {
		err = fmt.Errorf("Role not found with name %q", name)
	}
	return r, err
}

// onRole makes a command about one role.
func onRole(a *command.App, verb, what string, flags func(*command.Command), do func(*command.Command, *api.Client, *api.ACLRole) int) *command.Command {
	c := a.New("consul acl role "+verb+" [options]", what, what+".\nIt is named by -id, of which the beginning suffices, or by -name.").WithClient(true)
	id := c.Flags.String("id", "", "ID of the role, or how it begins.")
	name := c.Flags.String("name", "", "Name of the role.")
	if flags != nil {
		flags(c)
	}
	return c.Asking(func(client *api.Client) int {
		r, err := findRole(client, c, *id, *name)
		if err != nil {
			c.Fail("%v", err)
			return 1
		}
		if *id != "" && *name != "" {
			r.Name = *name // its new one, where it is changed
		}
		return do(c, client, r)
	})
}

func roleRead(a *command.App) *command.Command {
	var f form
	return onRole(a, "read", "Shows a role", func(c *command.Command) { f = withForm(c) },
		func(c *command.Command, _ *api.Client, r *api.ACLRole) int { return f.print(r, sayRole(c, r)) })
}

func roleDelete(a *command.App) *command.Command {
	return onRole(a, "delete", "Deletes a role", nil, func(c *command.Command, client *api.Client, r *api.ACLRole) int {
		if _, err := client.ACL().RoleDelete(r.ID, c.Write()); err != nil {
			return failed(c, fmt.Sprintf("Error deleting role %q", r.ID), err)
		}
		c.Say("Role %q deleted successfully", r.ID)
		return 0
	})
}

func roleUpdate(a *command.App) *command.Command {
	var f form
	var g *grants
	var description *string
	var replace *bool
	return onRole(a, "update", "Changes a role by adding to it", func(c *command.Command) {
		description = c.Flags.String("description", "", "What it is for.")
		replace = c.Flags.Bool("no-merge", false, "What the flags give takes the place of what it has.")
		g, f = withGrants(c, false), withForm(c)
	}, func(c *command.Command, client *api.Client, r *api.ACLRole) int {
		more, err := g.given(client, c)
		if err != nil {
			return failed(c, "Error updating role", err)
		}
		if *description != "" {
			r.Description = *description
		}
		if *replace {
			r.Policies, r.ServiceIdentities, r.NodeIdentities, r.TemplatedPolicies = nil, nil, nil, nil
		}
		r.Policies = append(r.Policies, more.Policies...)
		r.ServiceIdentities = append(r.ServiceIdentities, more.ServiceIdentities...)
		r.NodeIdentities = append(r.NodeIdentities, more.NodeIdentities...)
		r.TemplatedPolicies = append(r.TemplatedPolicies, more.TemplatedPolicies...)
		changed, _, err := client.ACL().RoleUpdate(r, c.Write())
		if err != nil {
			return failed(c, fmt.Sprintf("Error updating role %q", r.ID), err)
		}
		return f.print(changed, sayRole(c, changed))
	})
}

func roleList(a *command.App) *command.Command {
	c := a.New("consul acl role list [options]", "Lists roles", "Lists all roles.").WithClient(true)
	f := withForm(c)
	return c.Asking(func(client *api.Client) int {
		all, _, err := client.ACL().RoleList(c.Query())
		if err != nil {
			return failed(c, "Failed to retrieve the role list", err)
		}
		return f.print(all, func() {
			for _, r := range all {
				c.Say("%s:\n   ID:           %s\n   Description:  %s", r.Name, r.ID, r.Description)
				sayGrants(c, "   ", r.Policies, nil, r)
			}
		})
	})
}
