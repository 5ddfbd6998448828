package discover

import (
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"

	"consul.internal/cmd/consul/command"
)

// Check IDs that stand for maintenance.
const (
	nodeMaintenance    = "_node_maintenance"
	serviceMaintenance = "_service_maintenance:"
)

func maintCommand(a *command.App) *command.Command {
	c := a.New("consul maint [options]", "Controls node or service maintenance mode",
		`Takes this agent's node, or one of its services, out of service and back in. What
is in maintenance is handed out neither over DNS nor as healthy over HTTP; it
stays so over a restart. Without -enable and -disable, lists what is in
maintenance.

    $ consul maint -enable -reason="disk is being replaced"
    $ consul maint -disable -service=web-1`).WithClient(false)
	enable := c.Flags.Bool("enable", false, "Begin maintenance, of the node or of the -service.")
	disable := c.Flags.Bool("disable", false, "End maintenance, of the node or of the -service.")
	reason := c.Flags.String("reason", "", "Why; others see it in the notes of the check. Only with -enable.")
	service := c.Flags.String("service", "", "ID of a service of this agent, instead of the node.")
	c.Do = func(args []string) int {
		switch {
		case !c.NoArguments(args):
			return 1
		case *enable && *disable:
			c.Fail("Only one of -enable or -disable may be provided")
			return 1
		case *reason != "" && !*enable:
			c.Fail("Reason may only be provided with -enable")
			return 1
		case *service != "" && !*enable && !*disable:
			c.Fail("Service requires either -enable or -disable")
			return 1
		}
		client, ok := c.Open()
		if !ok {
			return 1
		}
		if !*enable && !*disable {
			return listMaintenance(c, client)
		}
		return setMaintenance(c, client, *enable, *service, *reason)
	}
	return c
}

func setMaintenance(c *command.Command, client *api.Client, enable bool, service, reason string) int {
	agent, state, verb := client.Agent(), "disabled", "disabling"
	if enable {
		state, verb = "enabled", "enabling"
	}
	var err error
	switch {
	case enable && service != "":
		err = agent.EnableServiceMaintenance(service, reason)
	case enable:
		err = agent.EnableNodeMaintenance(reason)
	case service != "":
		err = agent.DisableServiceMaintenance(service)
	default:
		err = agent.DisableNodeMaintenance()
	}
	what := "node"
	if service != "" {
		what = "service"
	}
	switch {
	case err != nil:
		c.Fail("Error %s %s maintenance: %s", verb, what, err)
		return 1
	case service != "":
		c.Say("Service maintenance is now %s for %q", state, service)
	default:
		c.Say("Node maintenance is now %s", state)
	}
	return 0
}

// listMaintenance prints what is in maintenance, the node first.
func listMaintenance(c *command.Command, client *api.Client) int {
	name, err := client.Agent().NodeName()
	if err != nil {
		c.Fail("Error querying Consul agent: %s", err)
		return 1
	}
	checks, err := client.Agent().Checks()
	if err != nil {
		c.Fail("Error getting checks: %s", err)
		return 1
	}
	var blocks []string
	if check, ok := checks[nodeMaintenance]; ok {
		blocks = append(blocks, "Node:\n  Name:   "+name+"\n  Reason: "+check.Notes)
	}
	for _, id := range slices.Sorted(maps.Keys(checks)) {
		if strings.HasPrefix(id, serviceMaintenance) {
			blocks = append(blocks, "Service:\n  ID:     "+checks[id].ServiceID+"\n  Reason: "+checks[id].Notes)
		}
	}
	if len(blocks) > 0 {
		c.Say("%s", strings.Join(blocks, "\n\n"))
	}
	return 0
}
