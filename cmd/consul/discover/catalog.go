package discover

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"

	"consul.internal/cmd/consul/command"
)

// shortID is how much of a node's ID the short list shows.
const shortID = 8

func catalogCommand(a *command.App) *command.Command {
	return a.Parent("consul catalog <subcommand> [options] [args]", "Shows the catalog",
		`Shows what the servers know about all nodes and services of a datacenter. An
agent knows its own services before the catalog does; see the services command
for those.

    $ consul catalog datacenters
    $ consul catalog nodes -service=web
    $ consul catalog services -tags`)
}

func catalogDatacentersCommand(a *command.App) *command.Command {
	c := a.New("consul catalog datacenters [options]", "Lists the known datacenters",
		"Lists all known datacenters, the nearest first.").WithClient(true)
	return c.Asking(func(client *api.Client) int {
		names, err := client.Catalog().Datacenters()
		if err != nil {
			c.Fail("Error listing datacenters: %s", err)
			return 1
		}
		for _, n := range names {
			c.Say("%s", n)
		}
		return 0
	})
}

func catalogNodesCommand(a *command.App) *command.Command {
	c := a.New("consul catalog nodes [options]", "Lists the nodes of a datacenter",
		"Lists the nodes of a datacenter, all or those with a service or certain metadata.").WithClient(true)
	detailed := c.Flags.Bool("detailed", false, "Show whole IDs, tagged addresses and metadata.")
	near := c.Flags.String("near", "", "Sort by distance from this node; _agent is the agent that is asked.")
	service := c.Flags.String("service", "", "Only nodes with this service.")
	filter := c.Flags.String("filter", "", "Filter expression, as Meta.os == \"linux\".")
	var meta command.Map
	c.Flags.Var(&meta, "node-meta", "Only nodes with this metadata, key=value. May be repeated.")
	return c.Asking(func(client *api.Client) int {
		q := c.Query()
		q.Near, q.NodeMeta, q.Filter = *near, meta, *filter
		nodes, err := listNodes(client, *service, q)
		if err != nil {
			c.Fail("Error listing nodes: %s", err)
			return 1
		}
		if len(nodes) == 0 {
			c.Fail("No nodes match the given query - try expanding your search.")
			return 0
		}
		c.Table(nodeRows(nodes, *detailed))
		return 0
	})
}

// listNodes asks for all nodes, or for those that have a service: each once.
func listNodes(client *api.Client, service string, q *api.QueryOptions) ([]*api.Node, error) {
	if service == "" {
		nodes, _, err := client.Catalog().Nodes(q)
		return nodes, err
	}
	list, _, err := client.Catalog().Service(service, "", q)
	if err != nil {
		return nil, err
	}
	var nodes []*api.Node
	seen := map[string]bool{}
	for _, s := range list {
		if !seen[s.Node] {
			seen[s.Node] = true
			nodes = append(nodes, &api.Node{
				ID: s.ID, Node: s.Node, Address: s.Address, Datacenter: s.Datacenter,
				TaggedAddresses: s.TaggedAddresses, Meta: s.NodeMeta,
			})
		}
	}
	return nodes, nil
}

func nodeRows(nodes []*api.Node, detailed bool) [][]string {
	rows := [][]string{{"Node", "ID", "Address", "DC"}}
	if detailed {
		rows[0] = append(rows[0], "TaggedAddresses", "Meta")
	}
	for _, n := range nodes {
		if detailed {
			rows = append(rows, []string{n.Node, n.ID, n.Address, n.Datacenter, pairs(n.TaggedAddresses), pairs(n.Meta)})
		} else {
			rows = append(rows, []string{n.Node, n.ID[:min(len(n.ID), shortID)], n.Address, n.Datacenter})
		}
	}
	return rows
}

func pairs(m map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, fmt.Sprintf("%s=%s", k, m[k]))
	}
	return strings.Join(out, ", ")
}

func catalogServicesCommand(a *command.App) *command.Command {
	c := a.New("consul catalog services [options]", "Lists the services of a datacenter",
		"Lists the names of the services of a datacenter, of one node, or of nodes with\ncertain metadata.").WithClient(true)
	node := c.Flags.String("node", "", "Only services of the node with this name or ID.")
	tags := c.Flags.Bool("tags", false, "Show the tags of each service.")
	filter := c.Flags.String("filter", "", "Filter expression, as ServiceName == \"web\".")
	var meta command.Map
	c.Flags.Var(&meta, "node-meta", "Only services of nodes with this metadata, key=value. May be repeated.")
	return c.Asking(func(client *api.Client) int {
		q := c.Query()
		q.NodeMeta, q.Filter = meta, *filter
		services, err := listServices(client, *node, q)
		if err != nil {
			c.Fail("Error listing services: %s", err)
			return 1
		}
		if len(services) == 0 {
			c.Fail("No services match the given query - try expanding your search.")
			return 0
		}
		var rows [][]string
		for _, name := range slices.Sorted(maps.Keys(services)) {
			row := []string{name}
			if *tags {
				row = append(row, strings.Join(slices.Sorted(slices.Values(services[name])), ","))
			}
			rows = append(rows, row)
		}
		c.Table(rows)
		return 0
	})
}

// listServices returns the names of services with all their tags.
func listServices(client *api.Client, node string, q *api.QueryOptions) (map[string][]string, error) {
	if node == "" {
		services, _, err := client.Catalog().Services(q)
		return services, err
	}
	of, _, err := client.Catalog().Node(node, q)
	if err != nil || of == nil {
		return nil, err
	}
	services := map[string][]string{}
	for _, s := range of.Services {
		list := services[s.Service]
		for _, t := range s.Tags {
			if !slices.Contains(list, t) {
				list = append(list, t)
			}
		}
		services[s.Service] = list
	}
	return services, nil
}
