package operate

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"consul.internal/cmd/consul/command"
)

func autopilotCommand(a *command.App) *command.Command {
	return a.Parent("consul operator autopilot <subcommand> [options]", "Shows and changes autopilot",
		`Shows and changes by what the leader goes when it gives servers a vote and removes
dead ones, and how it sees them.

    $ consul operator autopilot state`)
}

func autopilotGetCommand(a *command.App) *command.Command {
	c := a.New("consul operator autopilot get-config [options]", "Shows autopilot's configuration",
		"Shows by what the leader goes when it gives servers a vote and removes dead ones.").WithClient(true)
	return c.Asking(func(client *api.Client) int {
		conf, err := client.Operator().AutopilotGetConfiguration(c.Query())
		if err != nil {
			c.Fail("Error querying Autopilot configuration: %s", err)
			return 1
		}
		c.Say("CleanupDeadServers = %v", conf.CleanupDeadServers)
		c.Say("LastContactThreshold = %v", conf.LastContactThreshold.String())
		c.Say("MaxTrailingLogs = %v", conf.MaxTrailingLogs)
		c.Say("MinQuorum = %v", conf.MinQuorum)
		c.Say("ServerStabilizationTime = %v", conf.ServerStabilizationTime.String())
		c.Say("RedundancyZoneTag = %q", conf.RedundancyZoneTag)
		c.Say("DisableUpgradeMigration = %v", conf.DisableUpgradeMigration)
		c.Say("UpgradeVersionTag = %q", conf.UpgradeVersionTag)
		return 0
	})
}

func autopilotSetCommand(a *command.App) *command.Command {
	c := a.New("consul operator autopilot set-config [options]", "Changes autopilot's configuration",
		"Changes what the flags name; the rest stays as it is.").WithClient(true)
	cleanup := c.Flags.Bool("cleanup-dead-servers", true, "Remove dead servers when others have taken their place (true or false).")
	contact := c.Flags.Duration("last-contact-threshold", 0, "How long a healthy server may be without contact to the leader, as 200ms.")
	trailing := c.Flags.Uint64("max-trailing-logs", 0, "How many log entries a healthy server may be behind the leader.")
	quorum := c.Flags.Uint("min-quorum", 0, "Servers below whose number none is removed.")
	stable := c.Flags.Duration("server-stabilization-time", 0, "How long a new server must be healthy before it gets a vote, as 10s.")
	migration := c.Flags.Bool("disable-upgrade-migration", false, "Kept for scripts that pass it; it changes nothing.")
	zone := c.Flags.String("redundancy-zone-tag", "", "Kept for scripts that pass it; it changes nothing.")
	upgrade := c.Flags.String("upgrade-version-tag", "", "Kept for scripts that pass it; it changes nothing.")
	return c.Asking(func(client *api.Client) int {
		fresh := c.Query()
		fresh.AllowStale = false // it is written back
		conf, err := client.Operator().AutopilotGetConfiguration(fresh)
		if err != nil {
			c.Fail("Error querying Autopilot configuration: %s", err)
			return 1
		}
		c.Flags.Visit(func(f *flag.Flag) {
			switch f.Name {
			case "cleanup-dead-servers":
				conf.CleanupDeadServers = *cleanup
			case "last-contact-threshold":
				conf.LastContactThreshold = api.NewReadableDuration(*contact)
			case "max-trailing-logs":
				conf.MaxTrailingLogs = *trailing
			case "min-quorum":
				conf.MinQuorum = *quorum
			case "server-stabilization-time":
				conf.ServerStabilizationTime = api.NewReadableDuration(*stable)
			case "disable-upgrade-migration":
				conf.DisableUpgradeMigration = *migration
			case "redundancy-zone-tag":
				conf.RedundancyZoneTag = *zone
			case "upgrade-version-tag":
				conf.UpgradeVersionTag = *upgrade
			}
		})
		done, err := client.Operator().AutopilotCASConfiguration(conf, c.Write())
		if err != nil {
			c.Fail("Error setting Autopilot configuration: %s", err)
			return 1
		}
		if !done {
			c.Fail("Configuration could not be atomically updated, please try again")
			return 1
		}
		c.Say("Configuration updated!")
		return 0
	})
}

func autopilotStateCommand(a *command.App) *command.Command {
	c := a.New("consul operator autopilot state [options]", "Shows how autopilot sees the servers",
		"Shows how the leader sees the servers: who is healthy, who has a vote, and how\nmany may fail before the cluster does.").WithClient(true)
	format := c.Flags.String("format", "pretty", "Output format: pretty or json.")
	return c.Asking(func(client *api.Client) int {
		if *format != "pretty" && *format != "json" {
			c.Fail("Invalid format: %s, known are pretty and json", *format)
			return 1
		}
		state, err := client.Operator().AutopilotState(c.Query())
		if err != nil {
			c.Fail("Error querying Autopilot state: %s", err)
			return 1
		}
		if *format == "json" {
			return c.JSON(state, "    ")
		}
		c.Say("%s", autopilotText(state))
		return 0
	})
}

func autopilotText(s *api.AutopilotState) string {
	var b strings.Builder
	line := func(indent int, key string, value any) {
		width := 29 // of the longest key
		if indent > 0 {
			width = 16
		}
		fmt.Fprintf(&b, "%s%-*s %v\n", strings.Repeat(" ", indent), width, key+":", value)
	}
	head := func(indent int, text string) { fmt.Fprintf(&b, "%s%s\n", strings.Repeat(" ", indent), text) }
	line(0, "Healthy", s.Healthy)
	line(0, "Failure Tolerance", s.FailureTolerance)
	line(0, "Optimistic Failure Tolerance", s.OptimisticFailureTolerance)
	line(0, "Leader", s.Leader)
	head(0, "Voters:")
	for _, id := range s.Voters {
		head(3, id)
	}
	head(0, "Servers:")
	for _, id := range slices.Sorted(maps.Keys(s.Servers)) {
		x := s.Servers[id]
		head(3, id)
		line(6, "Name", x.Name)
		line(6, "Address", x.Address)
		line(6, "Version", x.Version)
		line(6, "Status", x.Status)
		line(6, "Node Type", x.NodeType)
		line(6, "Node Status", x.NodeStatus)
		line(6, "Healthy", x.Healthy)
		line(6, "Last Contact", x.LastContact.String())
		line(6, "Last Term", x.LastTerm)
		line(6, "Last Index", x.LastIndex)
		if !x.StableSince.IsZero() {
			line(6, "Stable Since", x.StableSince.Format(time.RFC3339))
		}
		if len(x.Meta) > 0 {
			head(6, "Meta")
			for _, k := range slices.Sorted(maps.Keys(x.Meta)) {
				fmt.Fprintf(&b, "         %q: %q\n", k, x.Meta[k])
			}
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}
