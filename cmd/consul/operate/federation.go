package operate

import (
	"net/url"

	"consul.internal/cmd/consul/command"
)

func federationCommand(a *command.App) *command.Command {
	return a.Parent("consul federation <subcommand> [options]", "Manages which datacenters are known",
		`Datacenters find each other by "consul join -wan", and are known from then on. One
that is no more has to be removed.

    $ consul federation forget dc9`)
}

func federationForgetCommand(a *command.App) *command.Command {
	c := a.New("consul federation forget [options] DATACENTER", "Removes a datacenter that is no more",
		`Takes all servers of a datacenter out of the pool of all servers, in every other
datacenter, and does not let them in again: nobody tries to reach them any more,
and their names do not exist.

The datacenter's servers must be stopped, or cut off, before. To take a datacenter
in again, join one of its servers: consul join -wan ADDRESS.`).WithClient(true)
	c.Do = func(args []string) int {
		if len(args) != 1 {
			return c.Misused("The name of one datacenter must be specified.")
		}
		client, ok := c.Open()
		if !ok {
			return 1
		}
		if _, err := client.Raw().Write("/v1/operator/federation/forget/"+url.PathEscape(args[0]), nil, nil, nil); err != nil {
			c.Fail("Error forgetting datacenter %s: %s", args[0], err)
			return 1
		}
		c.Say("Datacenter %s is forgotten.", args[0])
		return 0
	}
	return c
}
