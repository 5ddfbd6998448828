package discover

import (
	"maps"
	"slices"

	"github.com/hashicorp/consul/api"

	"consul.internal/cmd/consul/command"
)

func infoCommand(a *command.App) *command.Command {
	c := a.New("consul info [options]", "Shows what the agent counts about itself",
		"Prints the agent's own figures: build, services and checks, raft, gossip, runtime.").WithClient(false)
	return c.Asking(func(client *api.Client) int {
		self, err := client.Agent().Self()
		if err != nil {
			c.Fail("Error querying agent: %s", err)
			return 1
		}
		stats, ok := self["Stats"]
		if !ok {
			c.Fail("The agent's answer has no Stats")
			return 1
		}
		for _, group := range slices.Sorted(maps.Keys(stats)) {
			values, ok := stats[group].(map[string]any)
			if !ok {
				continue
			}
			c.Say("%s:", group)
			for _, k := range slices.Sorted(maps.Keys(values)) {
				c.Say("\t%s = %v", k, values[k])
			}
		}
		return 0
	})
}
