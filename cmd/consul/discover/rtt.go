package discover

import (
	"strings"

	"github.com/hashicorp/consul/api"

	"consul.internal/cmd/consul/command"
)

func rttCommand(a *command.App) *command.Command {
	c := a.New("consul rtt [options] node1 [node2]", "Estimates the round-trip time between two nodes",
		`Estimates the network's round-trip time between two nodes out of the coordinates
that gossip has found. Without a second node it is the agent's own.`).WithClient(false)
	wan := c.Flags.Bool("wan", false, "Nodes are servers of any datacenter, named NODE.DATACENTER.")
	c.Do = func(args []string) int {
		if len(args) != 1 && len(args) != 2 {
			return c.Misused("One or two node names must be specified")
		}
		client, ok := c.Open()
		if !ok {
			return 1
		}
		if len(args) == 1 {
			own, ok := ownName(c, client, *wan)
			if !ok {
				return 1
			}
			args = []string{args[0], own}
		}
		coords, kind, err := coordinates(client, *wan)
		if err != nil {
			c.Fail("Error getting coordinates: %s", err)
			return 1
		}
		for _, name := range args {
			switch {
			case *wan && !strings.Contains(name, "."):
				c.Fail("Node names must be specified as <node name>.<datacenter> with -wan, which %q is not", name)
				return 1
			case len(coords[name]) == 0:
				c.Fail("Could not find a coordinate for node %q", name)
				return 1
			}
		}
		for area, x := range coords[args[0]] {
			y := coords[args[1]][area]
			if y == nil || x.Coord == nil || y.Coord == nil || !x.Coord.IsCompatibleWith(y.Coord) {
				continue
			}
			ms := x.Coord.DistanceTo(y.Coord).Seconds() * 1000
			c.Say("Estimated %s <-> %s rtt: %.3f ms (using %s coordinates)", args[0], args[1], ms, kind)
			return 0
		}
		c.Fail("Could not find a common coordinate for nodes %q and %q", args[0], args[1])
		return 1
	}
	return c
}

// ownName is the name of the agent's node, as coordinates are kept under.
func ownName(c *command.Command, client *api.Client, wan bool) (string, bool) {
	self, err := client.Agent().Self()
	if err != nil {
		c.Fail("Unable to look up the agent's info: %s", err)
		return "", false
	}
	name, _ := self["Config"]["NodeName"].(string)
	if wan {
		dc, _ := self["Config"]["Datacenter"].(string)
		name += "." + dc
	}
	return name, true
}

// coordinates are those of all nodes by name, and by the area in which they can
// be compared.
func coordinates(client *api.Client, wan bool) (map[string]map[string]*api.CoordinateEntry, string, error) {
	out := map[string]map[string]*api.CoordinateEntry{}
	add := func(name, area string, e *api.CoordinateEntry) {
		if out[name] == nil {
			out[name] = map[string]*api.CoordinateEntry{}
		}
		out[name][area] = e
	}
	if !wan {
		entries, _, err := client.Coordinate().Nodes(nil)
		for _, e := range entries {
			add(e.Node, e.Segment, e)
		}
		return out, "LAN", err
	}
	dcs, err := client.Coordinate().Datacenters()
	for _, dc := range dcs {
		for i := range dc.Coordinates {
			e := &dc.Coordinates[i]
			name := e.Node
			if suffix := "." + dc.Datacenter; !strings.HasSuffix(name, suffix) {
				name += suffix
			}
			add(name, dc.AreaID, e)
		}
	}
	return out, "WAN", err
}
