package access

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/hashicorp/consul/api"

	"consul.internal/cmd/consul/command"
)

// merges are the flags by which what is given is added, kind by kind. The flags that
// begin with append- have taken their place.
type merges struct{ policies, roles, services, nodes *bool }

func withMerges(c *command.Command) merges {
	flag := func(name, instead string) *bool {
		return c.Flags.Bool("merge-"+name, false, "Older way to say "+instead+".")
	}
	return merges{
		policies: flag("policies", "-append-policy-id and -append-policy-name"), roles: flag("roles", "-append-role-id and -append-role-name"),
		services: flag("service-identities", "-append-service-identity"), nodes: flag("node-identities", "-append-node-identity"),
	}
}

// changes are the flags of a token's change.
type changes struct {
	replace, more *grants
	merges        merges
}

// onto changes a token as the flags say: what is given replaces what it has of its kind, and
// what is to be added is added to that.
func (f *changes) onto(t *api.ACLToken, client *api.Client, c *command.Command) error {
	if f.replace.templated() && f.more.templated() {
		return errors.New("-templated-policy and -append-templated-policy, or their files, cannot be given together")
	}
	by, err := f.replace.given(client, c)
	if err != nil {
		return err
	}
	add, err := f.more.given(client, c)
	if err != nil {
		return err
	}
	was := *t
	replaceGrants(t, by)
	if *f.merges.policies {
		t.Policies = join(was.Policies, by.Policies, sameLink)
	}
	if *f.merges.roles {
		t.Roles = join(was.Roles, by.Roles, sameLink)
	}
	if *f.merges.services {
		t.ServiceIdentities = join(was.ServiceIdentities, by.ServiceIdentities, same)
	}
	if *f.merges.nodes {
		t.NodeIdentities = join(was.NodeIdentities, by.NodeIdentities, same)
	}
	t.Policies, t.Roles = join(t.Policies, add.Policies, sameLink), join(t.Roles, add.Roles, sameLink)
	t.ServiceIdentities, t.NodeIdentities = join(t.ServiceIdentities, add.ServiceIdentities, same), join(t.NodeIdentities, add.NodeIdentities, same)
	t.TemplatedPolicies = join(t.TemplatedPolicies, add.TemplatedPolicies, same)
	return nil
}

// join adds what is not there yet.
func join[T any](was, more []*T, same func(a, b *T) bool) []*T {
	for _, m := range more {
		if !slices.ContainsFunc(was, func(w *T) bool { return same(w, m) }) {
			was = append(slices.Clip(was), m)
		}
	}
	return was
}

func same[T any](a, b *T) bool { return reflect.DeepEqual(a, b) }

// sameLink knows a link by its ID, or by its name if one of the two has no ID.
func sameLink(a, b *api.ACLLink) bool {
	return a.ID != "" && a.ID == b.ID || (a.ID == "" || b.ID == "") && a.Name != "" && a.Name == b.Name
}

// replaceGrants gives a token what another has, of the kinds of which it has any.
func replaceGrants(t, by *api.ACLToken) {
	if len(by.Policies) > 0 {
		t.Policies = by.Policies
	}
	if len(by.Roles) > 0 {
		t.Roles = by.Roles
	}
	if len(by.ServiceIdentities) > 0 {
		t.ServiceIdentities = by.ServiceIdentities
	}
	if len(by.NodeIdentities) > 0 {
		t.NodeIdentities = by.NodeIdentities
	}
	if len(by.TemplatedPolicies) > 0 {
		t.TemplatedPolicies = by.TemplatedPolicies
	}
}

func tokenUpdate(a *command.App) *command.Command {
	var f form
	var by changes
	var description *string
	var meta *bool
	return onToken(a, "update", "Changes a token: what is given replaces what it has of that kind,\nand -append-... adds to it", func(c *command.Command) {
		description = c.Flags.String("description", "", "What it is for.")
		by.replace = withGrants(c, true)
		by.more, by.merges = withMore(c, by.replace, true), withMerges(c)
		c.Flags.Var(&by.replace.templates, "replace-templated-policy", "Other name of -templated-policy.")
		c.Flags.StringVar(&by.replace.templateFile, "replace-templated-policy-file", "", "Other name of -templated-policy-file.")
		meta, f = withMeta(c), withForm(c)
	}, func(c *command.Command, client *api.Client, id string) int {
		t, _, err := client.ACL().TokenRead(id, c.Query())
		if err != nil {
			return failed(c, "Error when retrieving current token", err)
		}
		if err := by.onto(t, client, c); err != nil {
			return failed(c, "Failed to update token", err)
		}
		if *description != "" {
			t.Description = *description
		}
		changed, _, err := client.ACL().TokenUpdate(t, c.Write())
		if err != nil {
			return failed(c, fmt.Sprintf("Failed to update token %s", id), err)
		}
		return f.print(changed, sayToken(c, changed, *meta))
	})
}
