// Command consul is the appliance: "consul agent" runs a server or a client,
// every other command talks to a running agent through the official API client.
//
// Nothing is decided here: the agent command hands its configuration to package
// daemon, the other commands print what the API answers.
package main

import (
	"io"
	"os"

	"github.com/hashicorp/cli"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run executes one command line and returns its exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{in: stdin, out: stdout, err: stderr}
	c := &cli.CLI{
		Name:       "consul",
		Version:    versionText(),
		Args:       args,
		Commands:   a.commands(),
		HelpFunc:   cli.BasicHelpFunc("consul"),
		HelpWriter: stdout, ErrorWriter: stderr,
		Autocomplete: true,
	}
	code, err := c.Run()
	if err != nil {
		a.fail("%v", err)
		return 1
	}
	return code
}

// commands lists every command; a name with a blank is a subcommand.
func (a *app) commands() map[string]cli.CommandFactory {
	table := map[string]func(*app) *command{
		"agent":                         agentCommand,
		"catalog":                       catalogCommand,
		"catalog datacenters":           catalogDatacentersCommand,
		"catalog nodes":                 catalogNodesCommand,
		"catalog services":              catalogServicesCommand,
		"debug":                         debugCommand,
		"federation":                    federationCommand,
		"federation forget":             federationForgetCommand,
		"force-leave":                   forceLeaveCommand,
		"info":                          infoCommand,
		"join":                          joinCommand,
		"keygen":                        keygenCommand,
		"keyring":                       keyringCommand,
		"leave":                         leaveCommand,
		"maint":                         maintCommand,
		"members":                       membersCommand,
		"monitor":                       monitorCommand,
		"operator":                      operatorCommand,
		"operator autopilot":            autopilotCommand,
		"operator autopilot get-config": autopilotGetCommand,
		"operator autopilot set-config": autopilotSetCommand,
		"operator autopilot state":      autopilotStateCommand,
		"operator raft":                 operatorRaftCommand,
		"operator raft list-peers":      raftListPeersCommand,
		"operator raft remove-peer":     raftRemovePeerCommand,
		"operator raft transfer-leader": raftTransferLeaderCommand,
		"operator usage":                operatorUsageCommand,
		"operator usage instances":      usageInstancesCommand,
		"reload":                        reloadCommand,
		"rtt":                           rttCommand,
		"services":                      servicesCommand,
		"services deregister":           servicesDeregisterCommand,
		"services register":             servicesRegisterCommand,
		"snapshot":                      snapshotCommand,
		"snapshot inspect":              snapshotInspectCommand,
		"snapshot restore":              snapshotRestoreCommand,
		"snapshot save":                 snapshotSaveCommand,
		"tls":                           tlsCommand,
		"tls ca":                        tlsCACommand,
		"tls ca create":                 tlsCACreateCommand,
		"tls cert":                      tlsCertCommand,
		"tls cert create":               tlsCertCreateCommand,
		"validate":                      validateCommand,
		"version":                       versionCommand,
	}
	out := make(map[string]cli.CommandFactory, len(table))
	for name, make := range table {
		out[name] = func() (cli.Command, error) { return make(a), nil }
	}
	return out
}
