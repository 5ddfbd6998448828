package access

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"consul.internal/cmd/consul/command"
)

// indented is a value as JSON below a heading.
func indented(v any) string {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func sayMethod(c *command.Command, m *api.ACLAuthMethod, meta bool) func() {
	return func() {
		c.Say("Name:          %s\nType:          %s", m.Name, m.Type)
		if m.DisplayName != "" {
			c.Say("DisplayName:   %s", m.DisplayName)
		}
		c.Say("Description:   %s", m.Description)
		if m.MaxTokenTTL > 0 {
			c.Say("MaxTokenTTL:   %s", m.MaxTokenTTL)
		}
		if m.TokenLocality != "" {
			c.Say("TokenLocality: %s", m.TokenLocality)
		}
		if meta {
			c.Say("Create Index:  %d\nModify Index:  %d", m.CreateIndex, m.ModifyIndex)
		}
		c.Say("Config:\n%s", indented(m.Config))
	}
}

// methodFlags are the flags of what an auth method is.
type methodFlags struct {
	name, display, description, locality, config *string
	ttl                                          *time.Duration
}

func withMethod(c *command.Command) *methodFlags {
	return &methodFlags{
		name:        c.Flags.String("name", "", "Name of the auth method."),
		display:     c.Flags.String("display-name", "", "Name for people."),
		description: c.Flags.String("description", "", "What it is for."),
		locality:    c.Flags.String("token-locality", "", "Where its tokens hold: local (also if it is not given) or global."),
		config:      c.Flags.String("config", "", "Its configuration as JSON, or @FILE, or - for standard input."),
		ttl:         c.Flags.Duration("max-token-ttl", 0, "Its tokens end after this time, such as 8h."),
	}
}

// onto puts what is given into an auth method.
func (f *methodFlags) onto(c *command.Command, m *api.ACLAuthMethod) error {
	for _, s := range []struct {
		flag *string
		to   *string
	}{{f.display, &m.DisplayName}, {f.description, &m.Description}, {f.locality, &m.TokenLocality}} {
		if *s.flag != "" {
			*s.to = *s.flag
		}
	}
	if *f.ttl != 0 {
		m.MaxTokenTTL = *f.ttl
	}
	if *f.config == "" {
		return nil
	}
	text, err := content(c, *f.config)
	if err != nil {
		return fmt.Errorf("Error loading configuration file: %w", err)
	}
	m.Config = nil
	if err := json.Unmarshal([]byte(text), &m.Config); err != nil {
		return fmt.Errorf("Error parsing JSON for auth method config: %w", err)
	}
	return nil
}

func methodCreate(a *command.App) *command.Command {
	c := a.New("consul acl auth-method create -name NAME -type jwt -config JSON [options]", "Creates an auth method",
		`Creates an auth method: a way for people and programs to prove who they are.

    $ consul acl auth-method create -name ci -type jwt -max-token-ttl 1h -config @jwt.json`).WithClient(true)
	flags := withMethod(c)
	kind := c.Flags.String("type", "", "Type of the auth method: jwt.")
	meta := c.Flags.Bool("meta", false, "Print the indexes too.")
	f := withForm(c)
	return c.Asking(func(client *api.Client) int {
		switch {
		case *kind == "":
			return c.Misused("Missing required '-type' flag")
		case *flags.name == "":
			return c.Misused("Missing required '-name' flag")
		}
		m := &api.ACLAuthMethod{Name: *flags.name, Type: *kind}
		if err := flags.onto(c, m); err != nil {
			c.Fail("%v", err)
			return 1
		}
		made, _, err := client.ACL().AuthMethodCreate(m, c.Write())
		if err != nil {
			return failed(c, "Failed to create new auth method", err)
		}
		return f.print(made, sayMethod(c, made, *meta))
	})
}

// findMethod is the auth method of a name.
func findMethod(client *api.Client, c *command.Command, name string) (*api.ACLAuthMethod, error) {
	m, _, err := client.ACL().AuthMethodRead(name, c.Query())
	switch {
	case err != nil:
		return nil, fmt.Errorf("Error reading auth method %q: %w", name, err)
	case m == nil:
		return nil, fmt.Errorf("Auth method not found with name %q", name)
	}
	return m, nil
}

func methodRead(a *command.App) *command.Command {
	c := a.New("consul acl auth-method read -name NAME [options]", "Shows an auth method", "Shows an auth method.").WithClient(true)
	name := c.Flags.String("name", "", "Name of the auth method.")
	meta := c.Flags.Bool("meta", false, "Print the indexes too.")
	f := withForm(c)
	return c.Asking(func(client *api.Client) int {
		if *name == "" {
			return c.Misused("Must specify the -name parameter")
		}
		m, err := findMethod(client, c, *name)
		if err != nil {
			c.Fail("%v", err)
			return 1
		}
		return f.print(m, sayMethod(c, m, *meta))
	})
}

func methodUpdate(a *command.App) *command.Command {
	c := a.New("consul acl auth-method update -name NAME [options]", "Changes an auth method",
		"Changes what the flags give of an auth method. With -no-merge the flags are all there is of it.").WithClient(true)
	flags := withMethod(c)
	replace := c.Flags.Bool("no-merge", false, "What the flags do not give is taken away.")
	meta := c.Flags.Bool("meta", false, "Print the indexes too.")
	f := withForm(c)
	return c.Asking(func(client *api.Client) int {
		if *flags.name == "" {
			return c.Misused("Cannot update an auth method without specifying the -name parameter")
		}
		m, err := findMethod(client, c, *flags.name)
		if err != nil {
			c.Fail("%v", err)
			return 1
		}
		if *replace {
			m = &api.ACLAuthMethod{Name: m.Name, Type: m.Type}
		}
		if err := flags.onto(c, m); err != nil {
			c.Fail("%v", err)
			return 1
		}
		changed, _, err := client.ACL().AuthMethodUpdate(m, c.Write())
		if err != nil {
			return failed(c, fmt.Sprintf("Error updating auth method %q", m.Name), err)
		}
		return f.print(changed, sayMethod(c, changed, *meta))
	})
}

func methodDelete(a *command.App) *command.Command {
	c := a.New("consul acl auth-method delete -name NAME [options]", "Deletes an auth method",
		"Deletes an auth method, its binding rules, and the tokens of all who logged in by it.").WithClient(true)
	name := c.Flags.String("name", "", "Name of the auth method.")
	return c.Asking(func(client *api.Client) int {
		if *name == "" {
			return c.Misused("Must specify the -name parameter")
		}
		if _, err := client.ACL().AuthMethodDelete(*name, c.Write()); err != nil {
			return failed(c, fmt.Sprintf("Error deleting auth method %q", *name), err)
		}
		c.Say("Auth method %q deleted successfully", *name)
		return 0
	})
}

func methodList(a *command.App) *command.Command {
	c := a.New("consul acl auth-method list [options]", "Lists auth methods", "Lists all auth methods.").WithClient(true)
	meta := c.Flags.Bool("meta", false, "Print the indexes too.")
	f := withForm(c)
	return c.Asking(func(client *api.Client) int {
		all, _, err := client.ACL().AuthMethodList(c.Query())
		if err != nil {
			return failed(c, "Failed to retrieve the auth method list", err)
		}
		return f.print(all, func() {
			for _, m := range all {
				c.Say("%s:\n   Type:         %s", m.Name, m.Type)
				if m.DisplayName != "" {
					c.Say("   DisplayName:  %s", m.DisplayName)
				}
				c.Say("   Description:  %s", m.Description)
				if *meta {
					c.Say("   Create Index: %d\n   Modify Index: %d", m.CreateIndex, m.ModifyIndex)
				}
			}
		})
	})
}

func sayRule(c *command.Command, indent string, r *api.ACLBindingRule, meta bool) {
	c.Say("%sAuthMethod:   %s\n%sDescription:  %s\n%sBindType:     %s\n%sBindName:     %s", indent, r.AuthMethod, indent, r.Description, indent, r.BindType, indent, r.BindName)
	if r.BindVars != nil && r.BindVars.Name != "" {
		c.Say("%sBindVars:\n%s   - Name: %s", indent, indent, r.BindVars.Name)
	}
	c.Say("%sSelector:     %s", indent, r.Selector)
	if meta {
		c.Say("%sCreate Index: %d\n%sModify Index: %d", indent, r.CreateIndex, indent, r.ModifyIndex)
	}
}

// ruleFlags are the flags of what a binding rule says.
type ruleFlags struct {
	description, kind, name, selector *string
	vars                              command.List
	meta                              *bool
	form                              form
}

func withRule(c *command.Command) *ruleFlags {
	f := &ruleFlags{
		description: c.Flags.String("description", "", "What it is for."),
		kind:        c.Flags.String("bind-type", "", "What it grants: service (if it is not given), node, role, policy or templated-policy."),
		name:        c.Flags.String("bind-name", "", "Name of what it grants. ${value.NAME} stands for what was proved."),
		selector:    c.Flags.String("selector", "", "To whom, such as 'value.role == web and list.groups contains admin'."),
		meta:        c.Flags.Bool("meta", false, "Print the indexes too."),
		form:        withForm(c),
	}
	c.Flags.Var(&f.vars, "bind-vars", "NAME=VALUE of a variable of the templated policy.")
	return f
}

func (f *ruleFlags) onto(r *api.ACLBindingRule) error {
	if *f.description != "" {
		r.Description = *f.description
	}
	if *f.kind != "" {
		r.BindType = api.BindingRuleBindType(*f.kind)
	}
	if *f.name != "" {
		r.BindName = *f.name
	}
	if *f.selector != "" {
		r.Selector = *f.selector
	}
	for _, v := range f.vars {
		key, value, ok := strings.Cut(v, "=")
		if !ok || key != "name" {
			return fmt.Errorf("Malformed -bind-vars argument: %q: want name=VALUE", v)
		}
		r.BindVars = &api.ACLTemplatedPolicyVariables{Name: value}
	}
	return nil
}

func (f *ruleFlags) print(c *command.Command, r *api.ACLBindingRule) int {
	return f.form.print(r, func() {
		c.Say("ID:           %s", r.ID)
		sayRule(c, "", r, *f.meta)
	})
}

func ruleCreate(a *command.App) *command.Command {
	c := a.New("consul acl binding-rule create -method NAME -bind-name NAME [options]", "Creates a binding rule",
		`Creates a binding rule: what those who log in by an auth method are granted.

    $ consul acl binding-rule create -method ci -bind-type service \
        -bind-name '${value.app}' -selector 'value.stage == prod'`).WithClient(true)
	method := c.Flags.String("method", "", "Name of the auth method.")
	f := withRule(c)
	return c.Asking(func(client *api.Client) int {
		switch {
		case *method == "":
			return c.Misused("Missing required '-method' flag")
		case *f.name == "":
			return c.Misused("Missing required '-bind-name' flag")
		}
		r := &api.ACLBindingRule{AuthMethod: *method, BindType: api.BindingRuleBindTypeService}
		err := f.onto(r)
		if err == nil {
			r, _, err = client.ACL().BindingRuleCreate(r, c.Write())
		}
		if err != nil {
			return failed(c, "Failed to create new binding rule", err)
		}
		return f.print(c, r)
	})
}

// findRule is the rule whose ID begins so.
func findRule(client *api.Client, c *command.Command, id string) (*api.ACLBindingRule, error) {
	all, _, err := client.ACL().BindingRuleList("", c.Query())
	if err == nil {
		id, err = byPrefix("binding rule", id, all, func(r *api.ACLBindingRule) string { return r.ID })
	}
	if err != nil {
		return nil, fmt.Errorf("Error determining binding rule ID: %w", err)
	}
	r, _, err := client.ACL().BindingRuleRead(id, c.Query())
	if err == nil && r == nil {
		err = fmt.Errorf("Binding rule not found with ID %q", id)
	}
	return r, err
}

// onRule makes a command about one rule.
func onRule(a *command.App, verb, what string, flags func(*command.Command), do func(*command.Command, *api.Client, *api.ACLBindingRule) int) *command.Command {
	c := a.New("consul acl binding-rule "+verb+" -id ID [options]", what, what+".\nThe beginning of its ID suffices.").WithClient(true)
	id := c.Flags.String("id", "", "ID of the binding rule, or how it begins.")
	if flags != nil {
		flags(c)
	}
	return c.Asking(func(client *api.Client) int {
		if *id == "" {
			return c.Misused("Must specify the -id parameter")
		}
		r, err := findRule(client, c, *id)
		if err != nil {
			c.Fail("%v", err)
			return 1
		}
		return do(c, client, r)
	})
}

func ruleRead(a *command.App) *command.Command {
	f := new(ruleFlags)
	return onRule(a, "read", "Shows a binding rule", func(c *command.Command) {
		f.meta, f.form = c.Flags.Bool("meta", false, "Print the indexes too."), withForm(c)
	}, func(c *command.Command, _ *api.Client, r *api.ACLBindingRule) int { return f.print(c, r) })
}

func ruleUpdate(a *command.App) *command.Command {
	var f *ruleFlags
	var replace *bool
	return onRule(a, "update", "Changes a binding rule", func(c *command.Command) {
		f = withRule(c)
		replace = c.Flags.Bool("no-merge", false, "What the flags do not give is taken away.")
	}, func(c *command.Command, client *api.Client, r *api.ACLBindingRule) int {
		if *replace {
			r = &api.ACLBindingRule{ID: r.ID, AuthMethod: r.AuthMethod, BindType: api.BindingRuleBindTypeService}
		}
		err := f.onto(r)
		if err == nil {
			r, _, err = client.ACL().BindingRuleUpdate(r, c.Write())
		}
		if err != nil {
			return failed(c, "Error updating binding rule", err)
		}
		return f.print(c, r)
	})
}

func ruleDelete(a *command.App) *command.Command {
	return onRule(a, "delete", "Deletes a binding rule", nil, func(c *command.Command, client *api.Client, r *api.ACLBindingRule) int {
		if _, err := client.ACL().BindingRuleDelete(r.ID, c.Write()); err != nil {
			return failed(c, fmt.Sprintf("Error deleting binding rule %q", r.ID), err)
		}
		c.Say("Binding rule %q deleted successfully", r.ID)
		return 0
	})
}

func ruleList(a *command.App) *command.Command {
	c := a.New("consul acl binding-rule list [options]", "Lists binding rules", "Lists the binding rules of an auth method, or all.").WithClient(true)
	method := c.Flags.String("method", "", "Only those of this auth method.")
	meta := c.Flags.Bool("meta", false, "Print the indexes too.")
	f := withForm(c)
	return c.Asking(func(client *api.Client) int {
		all, _, err := client.ACL().BindingRuleList(*method, c.Query())
		if err != nil {
			return failed(c, "Failed to retrieve the binding rule list", err)
		}
		return f.print(all, func() {
			for _, r := range all {
				c.Say("%s:", r.ID)
				sayRule(c, "   ", r, *meta)
			}
		})
	})
}
