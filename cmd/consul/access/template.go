package access

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/consul/api"

	"consul.internal/cmd/consul/command"
)

func sayTemplate(c *command.Command, t *api.ACLTemplatedPolicyResponse) {
	c.Say("Name:            %s\nDescription:     %s", t.TemplateName, t.Description)
	if t.Schema == "" {
		c.Say("Input variables: None")
	} else {
		c.Say("Input variables:\n\tName: String - Required - The name to be filled in.\nSchema:\n%s", t.Schema)
	}
	c.Say("Raw Template:\n%s", t.Template)
}

func templateList(a *command.App) *command.Command {
	c := a.New("consul acl templated-policy list [options]", "Lists templated policies", "Lists the names of all templated policies.").WithClient(true)
	f := withForm(c)
	return c.Asking(func(client *api.Client) int {
		all, _, err := client.ACL().TemplatedPolicyList(c.Query())
		if err != nil {
			return failed(c, "Failed to retrieve the templated policies list", err)
		}
		return f.print(all, func() {
			for _, name := range slices.Sorted(maps.Keys(all)) {
				c.Say("%s", name)
			}
		})
	})
}

func templateRead(a *command.App) *command.Command {
	c := a.New("consul acl templated-policy read -name NAME [options]", "Shows a templated policy", "Shows a templated policy.").WithClient(true)
	name := c.Flags.String("name", "", "Name of the templated policy.")
	f := withForm(c)
	return c.Asking(func(client *api.Client) int {
		if *name == "" {
			return c.Misused("Must specify the -name parameter")
		}
		t, _, err := client.ACL().TemplatedPolicyReadByName(*name, c.Query())
		if err == nil && t == nil {
			err = fmt.Errorf("there is none")
		}
		if err != nil {
			return failed(c, fmt.Sprintf("Error reading templated policy %q", *name), err)
		}
		return f.print(t, func() { sayTemplate(c, t) })
	})
}

func templatePreview(a *command.App) *command.Command {
	c := a.New("consul acl templated-policy preview (-name NAME [-var name:VALUE] | -file FILE) [options]", "Shows the policy that a template makes",
		`Shows the policy that a template and its variables make.

    $ consul acl templated-policy preview -name builtin/service -var name:web`).WithClient(true)
	name := c.Flags.String("name", "", "Name of the templated policy.")
	g := &grants{variables: new(command.List)}
	c.Flags.Var(g.variables, "var", "NAME:VALUE of a variable.")
	file := c.Flags.String("file", "", "File with a templated policy and its variables, instead of -name and -var.")
	f := withForm(c)
	return c.Asking(func(client *api.Client) int {
		if (*name == "") == (*file == "") {
			return c.Misused("Cannot preview a templated policy without specifying either -name or -file")
		}
		t, err := g.previewed(*name, *file)
		if err != nil {
			return failed(c, "Failed to generate the templated policy preview", err)
		}
		p, _, err := client.ACL().TemplatedPolicyPreview(t, c.Write())
		if err != nil {
			return failed(c, "Failed to generate the templated policy preview", err)
		}
		return f.print(p, sayPolicy(c, p))
	})
}

// previewed is the one templated policy that a name and variables, or a file, give.
func (g *grants) previewed(name, file string) (*api.ACLTemplatedPolicy, error) {
	if file == "" {
		g.templates = command.List{name}
		return g.template()
	}
	if len(*g.variables) > 0 {
		return nil, errors.New("-var goes with -name; a file has the variables of its own")
	}
	all, err := readTemplates(file)
	if err != nil {
		return nil, err
	}
	if len(all) > 1 {
		return nil, fmt.Errorf("%s has %d templated policies, a preview is of one", file, len(all))
	}
	return all[0], nil
}
