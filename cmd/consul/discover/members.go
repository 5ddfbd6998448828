package discover

import (
	"cmp"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/consul/api"

	"consul.internal/cmd/consul/command"
)

// noMembers is the exit code for a list without a single member, so that scripts
// can tell it from an error.
const noMembers = 2

func membersCommand(a *command.App) *command.Command {
	c := a.New("consul members [options]", "Lists the members of the cluster",
		"Lists the agents that the asked agent knows, with their state as gossip sees it.").WithClient(false)
	detailed := c.Flags.Bool("detailed", false, "Show all tags of each member.")
	wan := c.Flags.Bool("wan", false, "List the servers of all datacenters instead; the agent must be a server.")
	status := c.Flags.String("status", ".*", "Only members whose status matches this regular expression.")
	segment := c.Flags.String("segment", api.AllSegments, "Only members of this network segment.")
	filter := c.Flags.String("filter", "", "Filter expression, as Name == \"web1\".")
	c.Do = func(args []string) int {
		if !c.NoArguments(args) {
			return 1
		}
		match, err := regexp.Compile(*status)
		if err != nil {
			c.Fail("Failed to compile status regexp: %v", err)
			return 1
		}
		client, ok := c.Open()
		if !ok {
			return 1
		}
		members, err := client.Agent().MembersOpts(api.MembersOpts{WAN: *wan, Segment: *segment, Filter: *filter})
		if err != nil {
			c.Fail("Error retrieving members: %s", err)
			return 1
		}
		rows := memberRows(members, match, *detailed)
		if len(rows) < 2 {
			return noMembers
		}
		c.Table(rows)
		return 0
	}
	return c
}

// memberStates are the names of the numbers in AgentMember.Status.
var memberStates = [...]string{"none", "alive", "leaving", "left", "failed"}

func memberState(n int) string {
	if n >= 0 && n < len(memberStates) {
		return memberStates[n]
	}
	return "unknown"
}

// memberRows makes the table, heading first, sorted by segment and name.
func memberRows(members []*api.AgentMember, status *regexp.Regexp, detailed bool) [][]string {
	rows := [][]string{{"Node", "Address", "Status", "Type", "Build", "Protocol", "DC", "Partition", "Segment"}}
	if detailed {
		rows[0] = []string{"Node", "Address", "Status", "Tags"}
	}
	members = slices.Clone(members)
	slices.SortFunc(members, func(x, y *api.AgentMember) int {
		return cmp.Or(strings.Compare(x.Tags["segment"], y.Tags["segment"]), strings.Compare(x.Name, y.Name))
	})
	for _, m := range members {
		state := memberState(m.Status)
		if !status.MatchString(state) {
			continue
		}
		addr := net.JoinHostPort(m.Addr, strconv.Itoa(int(m.Port)))
		if detailed {
			rows = append(rows, []string{m.Name, addr, state, joinTags(m.Tags)})
			continue
		}
		rows = append(rows, memberRow(m, addr, state))
	}
	return rows
}

func memberRow(m *api.AgentMember, addr, state string) []string {
	kind, segment := "unknown", m.Tags["segment"]
	switch m.Tags["role"] {
	case "consul":
		kind, segment = "server", "<all>"
	case "node":
		kind = "client"
		if segment == "" {
			segment = "<default>"
		}
	}
	build, _, _ := strings.Cut(m.Tags["build"], ":")
	protocol := m.Tags["vsn"]
	if protocol == "" {
		protocol = strconv.Itoa(int(m.DelegateCur))
	}
	partition := m.Tags["ap"]
	if partition == "" {
		partition = "default"
	}
	return []string{m.Name, addr, state, kind, cmp.Or(build, "unknown"), protocol, cmp.Or(m.Tags["dc"], "-"), partition, cmp.Or(segment, "-")}
}

func joinTags(tags map[string]string) string {
	var out []string
	for k, v := range tags {
		out = append(out, fmt.Sprintf("%s=%s", k, v))
	}
	slices.Sort(out)
	return strings.Join(out, ",")
}
