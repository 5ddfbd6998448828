package main

import (
	"maps"
	"slices"
)

func infoCommand(a *app) *command {
	c := a.newCommand("consul info [options]", "Shows what the agent counts about itself",
		"Prints the agent's own figures: build, services and checks, raft, gossip, runtime.").withClient(false)
	c.run = func(args []string) int {
		if !c.noArguments(args) {
			return 1
		}
		client, ok := c.open()
		if !ok {
			return 1
		}
		self, err := client.Agent().Self()
		if err != nil {
			c.fail("Error querying agent: %s", err)
			return 1
		}
		stats, ok := self["Stats"]
		if !ok {
			c.fail("The agent's answer has no Stats")
			return 1
		}
		for _, group := range slices.Sorted(maps.Keys(stats)) {
			values, ok := stats[group].(map[string]any)
			if !ok {
				continue
			}
			c.say("%s:", group)
			for _, k := range slices.Sorted(maps.Keys(values)) {
				c.say("\t%s = %v", k, values[k])
			}
		}
		return 0
	}
	return c
}
