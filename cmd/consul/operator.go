package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/hashicorp/consul/api"
)

func operatorCommand(a *app) *command {
	return a.parent("consul operator <subcommand> [options]", "Tools for those who run the cluster",
		`Shows and changes the cluster itself: the servers of the raft cluster, autopilot,
how much the catalog holds. Read what a subcommand does before using it: removing
the wrong server can end the service of all.`)
}

func operatorRaftCommand(a *app) *command {
	return a.parent("consul operator raft <subcommand> [options]", "Shows and changes the raft cluster",
		`Shows the servers of the raft cluster, removes one that is gone for good, and lets
another one lead.

    $ consul operator raft list-peers`)
}

func raftListPeersCommand(a *app) *command {
	c := a.newCommand("consul operator raft list-peers [options]", "Lists the servers of the raft cluster",
		"Lists the servers of the raft cluster, who leads them, and how far behind each is.\nWithout a leader it takes -stale.").withClient(true)
	return c.asking(func(client *api.Client) int {
		conf, err := client.Operator().RaftGetConfiguration(c.query())
		if err != nil {
			c.fail("Error getting peers: Failed to retrieve raft configuration: %v", err)
			return 1
		}
		var leader uint64
		for _, s := range conf.Servers {
			if s.Leader {
				leader = s.LastIndex
			}
		}
		rows := [][]string{{"Node", "ID", "Address", "State", "Voter", "RaftProtocol", "Commit Index", "Trails Leader By"}}
		for _, s := range conf.Servers {
			state, trails := "follower", "-"
			switch {
			case s.Leader:
				state = "leader"
			case leader >= s.LastIndex && leader > 0:
				trails = commits(leader - s.LastIndex)
			}
			rows = append(rows, []string{
				s.Node, s.ID, s.Address, state, strconv.FormatBool(s.Voter), or(s.ProtocolVersion, "<=1"),
				strconv.FormatUint(s.LastIndex, 10), trails,
			})
		}
		c.table(rows)
		return 0
	})
}

func commits(n uint64) string {
	if n == 1 {
		return "1 commit"
	}
	return fmt.Sprintf("%d commits", n)
}

func raftRemovePeerCommand(a *app) *command {
	c := a.newCommand("consul operator raft remove-peer [options]", "Removes a server from the raft cluster",
		`Removes a server that is gone for good but still counts in the raft cluster. While
"consul members" shows it, "consul force-leave" is the better way.`).withClient(true)
	address := c.fs.String("address", "", "Address (IP:port) of the server, as list-peers shows it.")
	id := c.fs.String("id", "", "ID of the server.")
	return c.asking(func(client *api.Client) int {
		w := &api.WriteOptions{Datacenter: c.client.datacenter}
		var err error
		kind, name := "address", *address
		switch {
		case *address == "" && *id == "":
			err = fmt.Errorf("an address or id is required for the peer to remove")
		case *address != "" && *id != "":
			err = fmt.Errorf("cannot give both an address and id")
		case *address != "":
			err = client.Operator().RaftRemovePeerByAddress(*address, w)
		default:
			kind, name = "id", *id
			err = client.Operator().RaftRemovePeerByID(*id, w)
		}
		if err != nil {
			c.fail("Error removing peer: %v", err)
			return 1
		}
		c.say("Removed peer with %s %q", kind, name)
		return 0
	})
}

func raftTransferLeaderCommand(a *app) *command {
	c := a.newCommand("consul operator raft transfer-leader [options]", "Lets another server lead",
		"Hands the lead to another server: that of -id, or one that is up to date.").withClient(true)
	id := c.fs.String("id", "", "ID of the server that is to lead.")
	return c.asking(func(client *api.Client) int {
		out, err := client.Operator().RaftLeaderTransfer(*id, c.query())
		if err == nil && !out.Success {
			err = fmt.Errorf("the leader did not hand over")
		}
		if err != nil {
			c.fail("Error transfering leadership: Failed to transfer leadership %v", err)
			return 1
		}
		c.say("Success")
		return 0
	})
}

func operatorUsageCommand(a *app) *command {
	return a.parent("consul operator usage <subcommand> [options]", "Shows how much the catalog holds",
		"Shows how many nodes, services and instances there are.\n\n    $ consul operator usage instances -all-datacenters")
}

func usageInstancesCommand(a *app) *command {
	c := a.newCommand("consul operator usage instances [options]", "Shows how many instances of services there are",
		"Shows how many nodes, services and instances of services there are.").withClient(true)
	all := c.fs.Bool("all-datacenters", false, "Of all datacenters, not only the agent's.")
	billable := c.fs.Bool("billable", false, "Only services that are not part of the mesh or of the servers.")
	connect := c.fs.Bool("connect", false, "Only parts of the mesh.")
	return c.asking(func(client *api.Client) int {
		if *billable && *connect {
			c.fail("Cannot specify both -billable and -connect")
			return 1
		}
		q := c.query()
		q.Global = *all
		usage, _, err := client.Operator().Usage(q)
		if err != nil {
			c.fail("Error fetching usage information: %s", err)
			return 1
		}
		if !*connect {
			c.billableUsage(usage.Usage)
		}
		if !*billable && !*connect {
			c.say("")
			c.nodeUsage(usage.Usage)
		}
		if !*billable {
			if !*connect {
				c.say("")
			}
			c.connectUsage(usage.Usage)
		}
		return 0
	})
}

func (c *command) billableUsage(usage map[string]api.ServiceUsage) {
	services, instances := 0, 0
	rows := [][]string{{"Datacenter", "Services", "Service instances"}}
	var lines []string
	for _, dc := range slices.Sorted(maps.Keys(usage)) {
		u := usage[dc]
		services += u.Services
		instances += u.BillableServiceInstances
		lines = append(lines, fmt.Sprintf("%s Billable Service Instances: %d", dc, u.BillableServiceInstances))
		rows = append(rows, []string{dc, strconv.Itoa(u.Services), strconv.Itoa(u.BillableServiceInstances)})
	}
	c.say("Billable Service Instances Total: %d", instances)
	for _, l := range lines {
		c.say("%s", l)
	}
	c.say("\nBillable Services")
	c.table(append(rows, []string{"", "", ""}, []string{"Total", strconv.Itoa(services), strconv.Itoa(instances)}))
}

func (c *command) nodeUsage(usage map[string]api.ServiceUsage) {
	total := 0
	rows := [][]string{{"Datacenter", "Count"}}
	for _, dc := range slices.Sorted(maps.Keys(usage)) {
		total += usage[dc].Nodes
		rows = append(rows, []string{dc, strconv.Itoa(usage[dc].Nodes)})
	}
	c.say("Nodes")
	c.table(append(rows, []string{"", ""}, []string{"Total", strconv.Itoa(total)}))
}

func (c *command) connectUsage(usage map[string]api.ServiceUsage) {
	total := 0
	rows := [][]string{{"Datacenter", "Type", "Service instances"}}
	for _, dc := range slices.Sorted(maps.Keys(usage)) {
		counts := usage[dc].ConnectServiceInstances
		for _, kind := range slices.Sorted(maps.Keys(counts)) {
			total += counts[kind]
			rows = append(rows, []string{dc, kind, strconv.Itoa(counts[kind])})
		}
	}
	c.say("Connect Services")
	c.table(append(rows, []string{"", "", ""}, []string{"Total", "", strconv.Itoa(total)}))
}
