// Package entries has the commands about config entries: write, read, list and
// delete.
package entries

import "consul.internal/cmd/consul/command"

// Commands lists this family.
func Commands() command.Set {
	return command.Set{
		"config":        configCommand,
		"config delete": deleteCommand,
		"config list":   listCommand,
		"config read":   readCommand,
		"config write":  writeCommand,
	}
}
