package main

import (
	"fmt"
	"strings"

	"consul.internal/cmd/consul/command"
	"consul.internal/internal/version"
)

// The gossip protocol versions that clients and scripts expect to read here.
const (
	protocolDefault = 2
	protocolMin     = 2
	protocolMax     = 3
)

func versionText() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Consul v%s\n", version.Human())
	if version.Revision != "" {
		fmt.Fprintf(&b, "Revision %s\n", version.Revision)
	}
	fmt.Fprintf(&b, "Build Date %s\n", version.BuildDate)
	fmt.Fprintf(&b, "Protocol %d spoken by default, understands %d to %d (agent will automatically use protocol >%d when speaking to compatible agents)\n",
		protocolDefault, protocolMin, protocolMax, protocolDefault)
	return b.String()
}

func versionCommand(a *command.App) *command.Command {
	c := a.New("consul version [options]", "Prints the version",
		"Prints the version of this binary and the protocol versions that it understands.")
	format := c.Flags.String("format", "pretty", "Output format: pretty or json.")
	c.Do = func(args []string) int {
		if !c.NoArguments(args) {
			return 1
		}
		switch *format {
		case "pretty":
			c.Say("%s", strings.TrimSuffix(versionText(), "\n"))
		case "json":
			var v struct {
				Version, Revision, Prerelease, BuildDate string
				RPC                                      struct{ Default, Min, Max int }
			}
			v.Version, v.Revision, v.Prerelease, v.BuildDate = version.Version, version.Revision, version.Prerelease, version.BuildDate
			v.RPC.Default, v.RPC.Min, v.RPC.Max = protocolDefault, protocolMin, protocolMax
			return c.JSON(v, "    ")
		default:
			c.Fail("Unknown format: %s", *format)
			return 1
		}
		return 0
	}
	return c
}
