package main

import (
	"net/url"
)

func federationCommand(a *app) *command {
	return a.parent("consul federation <subcommand> [options]", "Manages which datacenters are known",
		`Datacenters find each other by "consul join -wan", and are known from then on. One
that is no more has to be removed.

    $ consul federation forget dc9`)
}

func federationForgetCommand(a *app) *command {
	c := a.newCommand("consul federation forget [options] DATACENTER", "Removes a datacenter that is no more",
		`Takes all servers of a datacenter out of the pool of all servers, in every other
datacenter, and does not let them in again: nobody tries to reach them any more,
and their names do not exist.

The datacenter's servers must be stopped, or cut off, before. To take a datacenter
in again, join one of its servers: consul join -wan ADDRESS.`).withClient(true)
	c.run = func(args []string) int {
		if len(args) != 1 {
			return c.misused("The name of one datacenter must be specified.")
		}
		client, ok := c.open()
		if !ok {
			return 1
		}
		if _, err := client.Raw().Write("/v1/operator/federation/forget/"+url.PathEscape(args[0]), nil, nil, nil); err != nil {
			c.fail("Error forgetting datacenter %s: %s", args[0], err)
			return 1
		}
		c.say("Datacenter %s is forgotten.", args[0])
		return 0
	}
	return c
}
