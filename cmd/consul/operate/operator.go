package operate

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/hashicorp/consul/api"

	"consul.internal/cmd/consul/command"
)

func operatorCommand(a *command.App) *command.Command {
	return a.Parent("consul operator <subcommand> [options]", "Tools for those who run the cluster",
		`Shows and changes the cluster itself: the servers of the raft cluster, autopilot,
how much the catalog holds. Read what a subcommand does before using it: removing
the wrong server can end the service of all.`)
}

func operatorRaftCommand(a *command.App) *command.Command {
	return a.Parent("consul operator raft <subcommand> [options]", "Shows and changes the raft cluster",
		`Shows the servers of the raft cluster, removes one that is gone for good, and lets
another one lead.

    $ consul operator raft list-peers`)
}

func raftListPeersCommand(a *command.App) *command.Command {
	c := a.New("consul operator raft list-peers [options]", "Lists the servers of the raft cluster",
		"Lists the servers of the raft cluster, who leads them, and how far behind each is.\nWithout a leader it takes -stale.").WithClient(true)
	return c.Asking(func(client *api.Client) int {
		conf, err := client.Operator().RaftGetConfiguration(c.Query())
		if err != nil {
			c.Fail("Error getting peers: Failed to retrieve raft configuration: %v", err)
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
				s.Node, s.ID, s.Address, state, strconv.FormatBool(s.Voter), cmp.Or(s.ProtocolVersion, "<=1"),
				strconv.FormatUint(s.LastIndex, 10), trails,
			})
		}
		c.Table(rows)
		return 0
	})
}

func commits(n uint64) string {
	if n == 1 {
		return "1 commit"
	}
	return fmt.Sprintf("%d commits", n)
}

func raftRemovePeerCommand(a *command.App) *command.Command {
	c := a.New("consul operator raft remove-peer [options]", "Removes a server from the raft cluster",
		`Removes a server that is gone for good but still counts in the raft cluster. While
"consul members" shows it, "consul force-leave" is the better way.`).WithClient(true)
	address := c.Flags.String("address", "", "Address (IP:port) of the server, as list-peers shows it.")
	id := c.Flags.String("id", "", "ID of the server.")
	return c.Asking(func(client *api.Client) int {
		w := c.Write()
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
			c.Fail("Error removing peer: %v", err)
			return 1
		}
		c.Say("Removed peer with %s %q", kind, name)
		return 0
	})
}

func raftTransferLeaderCommand(a *command.App) *command.Command {
	c := a.New("consul operator raft transfer-leader [options]", "Lets another server lead",
		"Hands the lead to another server: that of -id, or one that is up to date.").WithClient(true)
	id := c.Flags.String("id", "", "ID of the server that is to lead.")
	return c.Asking(func(client *api.Client) int {
		out, err := client.Operator().RaftLeaderTransfer(*id, c.Query())
		if err == nil && !out.Success {
			err = fmt.Errorf("the leader did not hand over")
		}
		if err != nil {
			c.Fail("Error transfering leadership: Failed to transfer leadership %v", err)
			return 1
		}
		c.Say("Success")
		return 0
	})
}

func operatorUsageCommand(a *command.App) *command.Command {
	return a.Parent("consul operator usage <subcommand> [options]", "Shows how much the catalog holds",
		"Shows how many nodes, services and instances there are.\n\n    $ consul operator usage instances -all-datacenters")
}

func usageInstancesCommand(a *command.App) *command.Command {
	c := a.New("consul operator usage instances [options]", "Shows how many instances of services there are",
		"Shows how many nodes, services and instances of services there are.").WithClient(true)
	all := c.Flags.Bool("all-datacenters", false, "Of all datacenters, not only the agent's.")
	billable := c.Flags.Bool("billable", false, "Only services that are not part of the mesh or of the servers.")
	connect := c.Flags.Bool("connect", false, "Only parts of the mesh.")
	return c.Asking(func(client *api.Client) int {
		if *billable && *connect {
			c.Fail("Cannot specify both -billable and -connect")
			return 1
		}
		q := c.Query()
		q.Global = *all
		usage, _, err := client.Operator().Usage(q)
		if err != nil {
			c.Fail("Error fetching usage information: %s", err)
			return 1
		}
		if !*connect {
			billableUsage(c, usage.Usage)
		}
		if !*billable && !*connect {
			c.Say("")
			nodeUsage(c, usage.Usage)
		}
		if !*billable {
			if !*connect {
				c.Say("")
			}
			connectUsage(c, usage.Usage)
		}
		return 0
	})
}

func billableUsage(c *command.Command, usage map[string]api.ServiceUsage) {
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
	c.Say("Billable Service Instances Total: %d", instances)
	for _, l := range lines {
		c.Say("%s", l)
	}
	c.Say("\nBillable Services")
	c.Table(append(rows, []string{"", "", ""}, []string{"Total", strconv.Itoa(services), strconv.Itoa(instances)}))
}

func nodeUsage(c *command.Command, usage map[string]api.ServiceUsage) {
	total := 0
	rows := [][]string{{"Datacenter", "Count"}}
	for _, dc := range slices.Sorted(maps.Keys(usage)) {
		total += usage[dc].Nodes
		rows = append(rows, []string{dc, strconv.Itoa(usage[dc].Nodes)})
	}
	c.Say("Nodes")
	c.Table(append(rows, []string{"", ""}, []string{"Total", strconv.Itoa(total)}))
}

func connectUsage(c *command.Command, usage map[string]api.ServiceUsage) {
	total := 0
	rows := [][]string{{"Datacenter", "Type", "Service instances"}}
	for _, dc := range slices.Sorted(maps.Keys(usage)) {
		counts := usage[dc].ConnectServiceInstances
		for _, kind := range slices.Sorted(maps.Keys(counts)) {
			total += counts[kind]
			rows = append(rows, []string{dc, kind, strconv.Itoa(counts[kind])})
		}
	}
	c.Say("Connect Services")
	c.Table(append(rows, []string{"", "", ""}, []string{"Total", "", strconv.Itoa(total)}))
}
