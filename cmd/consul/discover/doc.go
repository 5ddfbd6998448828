// Package discover has the commands about what is to be found: the nodes and
// services of the catalog, an agent's own services and their maintenance, the
// members of the pool and how far they are from each other.
package discover

import "consul.internal/cmd/consul/command"

// Commands lists this family.
func Commands() command.Set {
	return command.Set{
		"catalog":             catalogCommand,
		"catalog datacenters": catalogDatacentersCommand,
		"catalog nodes":       catalogNodesCommand,
		"catalog services":    catalogServicesCommand,
		"explain":             explainCommand,
		"info":                infoCommand,
		"maint":               maintCommand,
		"members":             membersCommand,
		"rtt":                 rttCommand,
		"services":            servicesCommand,
		"services deregister": servicesDeregisterCommand,
		"services register":   servicesRegisterCommand,
	}
}
