package operate

import (
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"

	"consul.internal/cmd/consul/command"
)

func joinCommand(a *command.App) *command.Command {
	c := a.New("consul join [options] address ...", "Makes the agent join a cluster",
		"Makes a running agent join the cluster of the members at the addresses. One that\nanswers is enough. Scripts that must survive a restart set retry_join instead.").WithClient(false)
	wan := c.Flags.Bool("wan", false, "Join the pool of all servers instead; the agent must be a server.")
	c.Do = func(args []string) int {
		if len(args) == 0 {
			return c.Misused("At least one address to join must be specified.")
		}
		client, ok := c.Open()
		if !ok {
			return 1
		}
		joined := 0
		for _, addr := range args {
			if err := client.Agent().Join(addr, *wan); err != nil {
				c.Fail("Error joining address '%s': %s", addr, err)
				continue
			}
			joined++
		}
		if joined == 0 {
			c.Fail("Failed to join any nodes.")
			return 1
		}
		c.Say("Successfully joined cluster by contacting %d nodes.", joined)
		return 0
	}
	return c
}

func forceLeaveCommand(a *command.App) *command.Command {
	c := a.New("consul force-leave [options] name", "Takes a failed member out of the cluster",
		`Makes a failed member count as one that has left: nobody tries to reach it any
more, and a server loses its seat among the servers. A member that is alive comes
back by itself.

Asked of a server, NAME.DATACENTER names a server of another datacenter.`).WithClient(false)
	prune := c.Flags.Bool("prune", false, "Forget the member altogether, also one that has left.")
	wan := c.Flags.Bool("wan", false, "Only in the pool of all servers.")
	c.Do = func(args []string) int {
		if len(args) != 1 {
			return c.Misused("A single node name must be specified to force leave.")
		}
		client, ok := c.Open()
		if !ok {
			return 1
		}
		if err := client.Agent().ForceLeaveOptions(args[0], api.ForceLeaveOpts{Prune: *prune, WAN: *wan}, nil); err != nil {
			c.Fail("Error force leaving: %s", err)
			return 1
		}
		return 0
	}
	return c
}

// maxRelay is the most members that answers may be relayed through, as documented.
const maxRelay = 5

func keyringCommand(a *command.App) *command.Command {
	c := a.New("consul keyring [options]", "Manages the keys of gossip encryption",
		`Lists, installs, changes and removes the keys with which members encrypt what they
gossip. A new key is installed first, then used, then the old one removed:

    $ consul keyring -install="$NEW"
    $ consul keyring -use="$NEW"
    $ consul keyring -remove="$OLD"

All members of all pools are asked; one that fails makes it fail.`).WithClient(false)
	list := c.Flags.Bool("list", false, "List the keys that members have.")
	listPrimary := c.Flags.Bool("list-primary", false, "List the keys that members encrypt with.")
	install := c.Flags.String("install", "", "Key that all members are to accept.")
	use := c.Flags.String("use", "", "Key that all members are to encrypt with. They must have it.")
	remove := c.Flags.String("remove", "", "Key that no member is to accept any more. None may encrypt with it.")
	relay := c.Flags.Int("relay-factor", 0, "How many other members each answer goes through as well, 0 to 5.")
	local := c.Flags.Bool("local-only", false, "List only the pool of the agent's datacenter.")
	c.Do = func(args []string) int {
		actions := 0
		for _, given := range []bool{*list, *listPrimary, *install != "", *use != "", *remove != ""} {
			if given {
				actions++
			}
		}
		switch {
		case !c.NoArguments(args):
			return 1
		case actions != 1:
			c.Fail("%s", c.Help())
			return 1
		case *relay < 0 || *relay > maxRelay:
			c.Fail("Error parsing relay factor: %d is not in the range 0 to %d", *relay, maxRelay)
			return 1
		case *local && !*list && !*listPrimary:
			c.Fail("Error: -local-only can only be used with -list and -list-primary")
			return 1
		}
		client, ok := c.Open()
		if !ok {
			return 1
		}
		w := &api.WriteOptions{RelayFactor: uint8(*relay)}
		switch op := client.Operator(); {
		case *install != "":
			return keyringChange(c, "Installing new gossip encryption key...", op.KeyringInstall, *install, w)
		case *use != "":
			return keyringChange(c, "Changing primary gossip encryption key...", op.KeyringUse, *use, w)
		case *remove != "":
			return keyringChange(c, "Removing gossip encryption key...", op.KeyringRemove, *remove, w)
		default:
			return keyringList(c, op, &api.QueryOptions{RelayFactor: uint8(*relay), LocalOnly: *local}, *listPrimary)
		}
	}
	return c
}

func keyringChange(c *command.Command, doing string, change func(string, *api.WriteOptions) error, key string, w *api.WriteOptions) int {
	c.Say("==> %s", doing)
	if err := change(key, w); err != nil {
		c.Fail("error: %s", err)
		return 1
	}
	c.Say("==> Done!")
	return 0
}

func keyringList(c *command.Command, op *api.Operator, q *api.QueryOptions, primary bool) int {
	c.Say("==> Gathering installed encryption keys...")
	pools, err := op.KeyringList(q)
	if err != nil {
		c.Fail("error: %s", err)
		return 1
	}
	c.Say("==> Done!")
	for _, p := range pools {
		name := p.Datacenter + " (LAN)"
		if p.WAN {
			name = "WAN"
		}
		if p.Segment != "" {
			name += " [" + p.Segment + "]"
		}
		keys := p.Keys
		if primary {
			keys = p.PrimaryKeys
		}
		c.Say("\n%s:", name)
		for _, node := range slices.Sorted(maps.Keys(p.Messages)) {
			c.Say("  ===> %s: %s", node, strings.TrimSpace(p.Messages[node]))
		}
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			c.Say("  %s [%d/%d]", key, keys[key], p.NumNodes)
		}
	}
	return 0
}
