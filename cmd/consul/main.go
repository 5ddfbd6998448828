// Command consul is the appliance: "consul agent" runs a server or a client,
// every other command talks to a running agent through the official API client.
//
// Nothing is decided here: the agent command hands its configuration to package
// daemon, the other commands print what the API answers.
package main

import (
	"io"
	"os"

	"consul.internal/cmd/consul/access"
	"consul.internal/cmd/consul/command"
	"consul.internal/cmd/consul/discover"
	"consul.internal/cmd/consul/doctor"
	"consul.internal/cmd/consul/entries"
	"consul.internal/cmd/consul/keys"
	"consul.internal/cmd/consul/operate"
	"consul.internal/internal/version"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run executes one command line and returns its exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return commands().Run(&command.App{In: stdin, Out: stdout, Err: stderr}, versionText(), args)
}

// commands are all of them: those about the agent's own process, and the
// families.
func commands() command.Set {
	own := command.Set{
		"agent":    agentCommand,
		"keygen":   keygenCommand,
		"leave":    leaveCommand,
		"reload":   reloadCommand,
		"manual":   manualCommand,
		"validate": validateCommand,
		"version":  versionCommand,
	}
	return command.Join(own, access.Commands(), discover.Commands(), doctor.Commands(), entries.Commands(), keys.Commands(), operate.Commands())
}

// manualCommand is for those who make packages.
func manualCommand(a *command.App) *command.Command {
	return a.ManualCommand(commands, version.Version)
}
