package access

import (
	"fmt"

	"github.com/hashicorp/consul/api"

	"consul.internal/cmd/consul/command"
)

func sayToken(c *command.Command, t *api.ACLToken) func() {
	return func() {
		c.Say("AccessorID:       %s\nSecretID:         %s\nDescription:      %s\nLocal:            %t", t.AccessorID, t.SecretID, t.Description, t.Local)
		if t.AuthMethod != "" {
			c.Say("Auth Method:      %s (Namespace: %s)", t.AuthMethod, t.AuthMethodNamespace)
		}
		c.Say("Create Time:      %v", t.CreateTime)
		if t.ExpirationTime != nil {
			c.Say("Expiration Time:  %v", *t.ExpirationTime)
		}
		sayGrants(c, "", t.Policies, t.Roles, &api.ACLRole{ServiceIdentities: t.ServiceIdentities, NodeIdentities: t.NodeIdentities, TemplatedPolicies: t.TemplatedPolicies})
	}
}

func bootstrapCommand(a *command.App) *command.Command {
	c := a.New("consul acl bootstrap [options]", "Makes the first token",
		`Makes a token that may do everything. That can be done once.`).WithClient(true)
	f := withForm(c)
	return c.Asking(func(client *api.Client) int {
		t, _, err := client.ACL().Bootstrap()
		if err != nil {
			return failed(c, "Failed ACL bootstrapping", err)
		}
		return f.print(t, sayToken(c, t))
	})
}

func tokenCreate(a *command.App) *command.Command {
	c := a.New("consul acl token create [options]", "Creates a token",
		`Creates a token that gives what policies, roles and identities say.

    $ consul acl token create -description "web" -service-identity web`).WithClient(true)
	t := &api.ACLToken{}
	c.Flags.StringVar(&t.AccessorID, "accessor", "", "Accessor of the token; without one, a random one.")
	c.Flags.StringVar(&t.SecretID, "secret", "", "Secret of the token; without one, a random one.")
	c.Flags.StringVar(&t.Description, "description", "", "What it is for.")
	c.Flags.BoolVar(&t.Local, "local", false, "It holds in this datacenter only.")
	ttl := c.Flags.Duration("expires-ttl", 0, "It ends after this time, such as 8h.")
	g, f := withGrants(c, true), withForm(c)
	return c.Asking(func(client *api.Client) int {
		r, err := g.role()
		if err != nil {
			return failed(c, "Failed to create new token", err)
		}
		t.Policies, t.Roles, t.ExpirationTTL = r.Policies, g.roles(), *ttl
		t.ServiceIdentities, t.NodeIdentities, t.TemplatedPolicies = r.ServiceIdentities, r.NodeIdentities, r.TemplatedPolicies
		made, _, err := client.ACL().TokenCreate(t, c.Write())
		if err != nil {
			return failed(c, "Failed to create new token", err)
		}
		return f.print(made, sayToken(c, made))
	})
}

// onToken makes a command about one token.
func onToken(a *command.App, verb, what string, flags func(*command.Command), do func(*command.Command, *api.Client, string) int) *command.Command {
	c := a.New("consul acl token "+verb+" [options]", what, what+".\nIt is named by -accessor-id, of which the beginning suffices.").WithClient(true)
	id := c.Flags.String("accessor-id", "", "Accessor of the token, or how it begins.")
	c.Flags.StringVar(id, "id", "", "Older name of -accessor-id.")
	self := new(bool)
	if verb == "read" {
		c.Flags.BoolVar(self, "self", false, "The token that the request is made with.")
	}
	if flags != nil {
		flags(c)
	}
	return c.Asking(func(client *api.Client) int {
		if *self {
			return do(c, client, "")
		}
		if *id == "" {
			return c.Misused("Must specify the -accessor-id parameter")
		}
		of := *id
		const whole = 36 // characters of an accessor
		if len(of) < whole {
			all, _, err := client.ACL().TokenList(c.Query())
			if err == nil {
				of, err = byPrefix("token", of, all, func(t *api.ACLTokenListEntry) string { return t.AccessorID })
			}
			if err != nil {
				return failed(c, "Error determining token ID", err)
			}
		}
		return do(c, client, of)
	})
}

func tokenRead(a *command.App) *command.Command {
	var f form
	return onToken(a, "read", "Shows a token", func(c *command.Command) { f = withForm(c) },
		func(c *command.Command, client *api.Client, id string) int {
			var t *api.ACLToken
			var err error
			if id == "" {
				t, _, err = client.ACL().TokenReadSelf(c.Query())
			} else {
				t, _, err = client.ACL().TokenRead(id, c.Query())
			}
			if err != nil {
				return failed(c, fmt.Sprintf("Error reading token %q", id), err)
			}
			return f.print(t, sayToken(c, t))
		})
}

func tokenDelete(a *command.App) *command.Command {
	return onToken(a, "delete", "Deletes a token", nil, func(c *command.Command, client *api.Client, id string) int {
		if _, err := client.ACL().TokenDelete(id, c.Write()); err != nil {
			return failed(c, fmt.Sprintf("Error deleting token %q", id), err)
		}
		c.Say("Token %q deleted successfully", id)
		return 0
	})
}

func tokenClone(a *command.App) *command.Command {
	var f form
	var description *string
	return onToken(a, "clone", "Makes a token like another", func(c *command.Command) {
		description, f = c.Flags.String("description", "", "What it is for; without one, as the other."), withForm(c)
	}, func(c *command.Command, client *api.Client, id string) int {
		t, _, err := client.ACL().TokenClone(id, *description, c.Write())
		if err != nil {
			return failed(c, "Error cloning token", err)
		}
		return f.print(t, func() {
			c.Say("Token cloned successfully.")
			sayToken(c, t)()
		})
	})
}

func tokenUpdate(a *command.App) *command.Command {
	var f form
	var g *grants
	var description *string
	return onToken(a, "update", "Changes a token, by kinds of grants", func(c *command.Command) {
		description = c.Flags.String("description", "", "What it is for.")
		g, f = withGrants(c, true), withForm(c)
	}, func(c *command.Command, client *api.Client, id string) int {
		t, _, err := client.ACL().TokenRead(id, c.Query())
		if err != nil {
			return failed(c, "Error when retrieving current token", err)
		}
		r, err := g.role()
		if err != nil {
			return failed(c, "Failed to update token", err)
		}
		if *description != "" {
			t.Description = *description
		}
		if len(r.Policies) > 0 {
			t.Policies = r.Policies
		}
		if roles := g.roles(); len(roles) > 0 {
			t.Roles = roles
		}
		if len(r.ServiceIdentities) > 0 {
			t.ServiceIdentities = r.ServiceIdentities
		}
		if len(r.NodeIdentities) > 0 {
			t.NodeIdentities = r.NodeIdentities
		}
		if len(r.TemplatedPolicies) > 0 {
			t.TemplatedPolicies = r.TemplatedPolicies
		}
		changed, _, err := client.ACL().TokenUpdate(t, c.Write())
		if err != nil {
			return failed(c, fmt.Sprintf("Failed to update token %s", id), err)
		}
		return f.print(changed, sayToken(c, changed))
	})
}

func tokenList(a *command.App) *command.Command {
	c := a.New("consul acl token list [options]", "Lists tokens", "Lists all tokens.").WithClient(true)
	f := withForm(c)
	return c.Asking(func(client *api.Client) int {
		all, _, err := client.ACL().TokenList(c.Query())
		if err != nil {
			return failed(c, "Failed to retrieve the token list", err)
		}
		return f.print(all, func() {
			for i, t := range all {
				if i > 0 {
					c.Say("")
				}
				sayToken(c, &api.ACLToken{AccessorID: t.AccessorID, SecretID: t.SecretID, Description: t.Description, Local: t.Local,
					AuthMethod: t.AuthMethod, CreateTime: t.CreateTime, ExpirationTime: t.ExpirationTime, Policies: t.Policies, Roles: t.Roles,
					ServiceIdentities: t.ServiceIdentities, NodeIdentities: t.NodeIdentities, TemplatedPolicies: t.TemplatedPolicies})()
			}
		})
	})
}
