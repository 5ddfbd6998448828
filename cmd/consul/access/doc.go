// Package access has the commands about who may do what: tokens, policies and roles,
// and about who logs in.
package access

import "consul.internal/cmd/consul/command"

// Commands lists this family.
func Commands() command.Set {
	return command.Set{
		"acl":                          parent("acl", "Makes and shows tokens, policies and roles"),
		"acl auth-method":              parent("acl auth-method", "Makes and shows auth methods"),
		"acl auth-method create":       methodCreate,
		"acl auth-method delete":       methodDelete,
		"acl auth-method list":         methodList,
		"acl auth-method read":         methodRead,
		"acl auth-method update":       methodUpdate,
		"acl binding-rule":             parent("acl binding-rule", "Makes and shows binding rules"),
		"acl binding-rule create":      ruleCreate,
		"acl binding-rule delete":      ruleDelete,
		"acl binding-rule list":        ruleList,
		"acl binding-rule read":        ruleRead,
		"acl binding-rule update":      ruleUpdate,
		"acl bootstrap":                bootstrapCommand,
		"acl policy":                   parent("acl policy", "Makes and shows policies"),
		"acl policy create":            policyCreate,
		"acl policy delete":            policyDelete,
		"acl policy list":              policyList,
		"acl policy read":              policyRead,
		"acl policy update":            policyUpdate,
		"acl role":                     parent("acl role", "Makes and shows roles"),
		"acl role create":              roleCreate,
		"acl role delete":              roleDelete,
		"acl role list":                roleList,
		"acl role read":                roleRead,
		"acl role update":              roleUpdate,
		"acl set-agent-token":          setAgentToken,
		"acl templated-policy":         parent("acl templated-policy", "Shows templated policies"),
		"acl templated-policy list":    templateList,
		"acl templated-policy preview": templatePreview,
		"acl templated-policy read":    templateRead,
		"acl token":                    parent("acl token", "Makes and shows tokens"),
		"acl token clone":              tokenClone,
		"acl token create":             tokenCreate,
		"acl token delete":             tokenDelete,
		"acl token list":               tokenList,
		"acl token read":               tokenRead,
		"acl token update":             tokenUpdate,
		"login":                        loginCommand,
		"logout":                       logoutCommand,
	}
}

func parent(name, what string) func(*command.App) *command.Command {
	return func(a *command.App) *command.Command {
		return a.Parent("consul "+name+" <subcommand> [options]", what, what+".")
	}
}
