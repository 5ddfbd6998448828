package access

import (
	"cmp"
	"fmt"

	"github.com/hashicorp/consul/api"

	"consul.internal/cmd/consul/command"
)

// anonymous is what the token of who brings none is called instead of its accessor.
const (
	anonymous         = "anonymous"
	anonymousAccessor = "00000000-0000-0000-0000-000000000002"
)

func withMeta(c *command.Command) *bool {
	return c.Flags.Bool("meta", false, "Print the hash and the indexes too.")
}

func sayToken(c *command.Command, t *api.ACLToken, meta bool) func() {
	return func() {
		sayTokenHead(c, t, meta)
		sayGrants(c, "", t.Policies, t.Roles, &api.ACLRole{ServiceIdentities: t.ServiceIdentities, NodeIdentities: t.NodeIdentities, TemplatedPolicies: t.TemplatedPolicies})
	}
}

func sayTokenHead(c *command.Command, t *api.ACLToken, meta bool) {
	c.Say("AccessorID:       %s\nSecretID:         %s\nDescription:      %s\nLocal:            %t", t.AccessorID, t.SecretID, t.Description, t.Local)
	if t.AuthMethod != "" {
		c.Say("Auth Method:      %s (Namespace: %s)", t.AuthMethod, t.AuthMethodNamespace)
	}
	c.Say("Create Time:      %v", t.CreateTime)
	if t.ExpirationTime != nil {
		c.Say("Expiration Time:  %v", *t.ExpirationTime)
	}
	if meta {
		c.Say("Hash:             %x\nCreate Index:     %d\nModify Index:     %d", t.Hash, t.CreateIndex, t.ModifyIndex)
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
		return f.print(t, sayToken(c, t, false))
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
	g, meta, f := withGrants(c, true), withMeta(c), withForm(c)
	return c.Asking(func(client *api.Client) int {
		r, err := g.given(client, c)
		if err != nil {
			return failed(c, "Failed to create new token", err)
		}
		replaceGrants(t, r)
		t.ExpirationTTL = *ttl
		made, _, err := client.ACL().TokenCreate(t, c.Write())
		if err != nil {
			return failed(c, "Failed to create new token", err)
		}
		return f.print(made, sayToken(c, made, *meta))
	})
}

// onToken makes a command about one token.
func onToken(a *command.App, verb, what string, flags func(*command.Command), do func(*command.Command, *api.Client, string) int) *command.Command {
	c := a.New("consul acl token "+verb+" [options]", what, what+".\nIt is named by -accessor-id, of which the beginning suffices; anonymous is the\ntoken of who brings none.").WithClient(true)
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
		if of == anonymous {
			of = anonymousAccessor
		}
		if len(of) < wholeID {
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
	var meta, expanded *bool
	return onToken(a, "read", "Shows a token", func(c *command.Command) {
		expanded = c.Flags.Bool("expanded", false, "Show the policies and roles that it links to, too.")
		meta, f = withMeta(c), withForm(c)
	}, func(c *command.Command, client *api.Client, id string) int {
		if *expanded {
			x, _, err := client.ACL().TokenReadExpanded(cmp.Or(id, "self"), c.Query())
			if err != nil {
				return failed(c, fmt.Sprintf("Error reading token %q", id), err)
			}
			return f.print(x, sayExpanded(c, x, *meta))
		}
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
		return f.print(t, sayToken(c, t, *meta))
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
	var meta *bool
	var description *string
	return onToken(a, "clone", "Makes a token like another", func(c *command.Command) {
		description = c.Flags.String("description", "", "What it is for; without one, as the other.")
		meta, f = withMeta(c), withForm(c)
	}, func(c *command.Command, client *api.Client, id string) int {
		t, _, err := client.ACL().TokenClone(id, *description, c.Write())
		if err != nil {
			return failed(c, "Error cloning token", err)
		}
		return f.print(t, func() {
			c.Say("Token cloned successfully.")
			sayToken(c, t, *meta)()
		})
	})
}

func tokenList(a *command.App) *command.Command {
	c := a.New("consul acl token list [options]", "Lists tokens", "Lists all tokens.").WithClient(true)
	meta, f := withMeta(c), withForm(c)
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
					ServiceIdentities: t.ServiceIdentities, NodeIdentities: t.NodeIdentities, TemplatedPolicies: t.TemplatedPolicies,
					Hash: t.Hash, CreateIndex: t.CreateIndex, ModifyIndex: t.ModifyIndex}, *meta)()
			}
		})
	})
}
