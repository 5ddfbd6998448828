// Package access has the commands about who may do what: tokens, policies and roles.
package access

import "consul.internal/cmd/consul/command"

// Commands lists this family.
func Commands() command.Set {
	return command.Set{
		"acl":               parent("acl", "Makes and shows tokens, policies and roles"),
		"acl bootstrap":     bootstrapCommand,
		"acl policy":        parent("acl policy", "Makes and shows policies"),
		"acl policy create": policyCreate,
		"acl policy delete": policyDelete,
		"acl policy list":   policyList,
		"acl policy read":   policyRead,
		"acl policy update": policyUpdate,
		"acl role":          parent("acl role", "Makes and shows roles"),
		"acl role create":   roleCreate,
		"acl role delete":   roleDelete,
		"acl role list":     roleList,
		"acl role read":     roleRead,
		"acl role update":   roleUpdate,
		"acl token":         parent("acl token", "Makes and shows tokens"),
		"acl token clone":   tokenClone,
		"acl token create":  tokenCreate,
		"acl token delete":  tokenDelete,
		"acl token list":    tokenList,
		"acl token read":    tokenRead,
		"acl token update":  tokenUpdate,
	}
}

func parent(name, what string) func(*command.App) *command.Command {
	return func(a *command.App) *command.Command {
		return a.Parent("consul "+name+" <subcommand> [options]", what, what+".")
	}
}
