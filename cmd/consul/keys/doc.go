// Package keys has the commands about what is kept by key: the key-value store,
// locks, events, watches, and commands run on other nodes.
package keys

import "consul.internal/cmd/consul/command"

// Commands lists this family.
func Commands() command.Set {
	return command.Set{
		"event":     eventCommand,
		"exec":      execCommand,
		"kv":        kvCommand,
		"kv delete": kvDeleteCommand,
		"kv export": kvExportCommand,
		"kv get":    kvGetCommand,
		"kv import": kvImportCommand,
		"kv put":    kvPutCommand,
		"lock":      lockCommand,
		"watch":     watchCommand,
	}
}
