// Package operate has the commands of those who run a cluster: who is in it, the
// raft cluster, autopilot, gossip keys, snapshots, certificates, and what an
// agent does at the moment.
package operate

import "consul.internal/cmd/consul/command"

// Commands lists this family.
func Commands() command.Set {
	return command.Set{
		"debug":                         debugCommand,
		"federation":                    federationCommand,
		"federation forget":             federationForgetCommand,
		"force-leave":                   forceLeaveCommand,
		"join":                          joinCommand,
		"keyring":                       keyringCommand,
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
		"snapshot":                      snapshotCommand,
		"snapshot decode":               snapshotDecodeCommand,
		"snapshot inspect":              snapshotInspectCommand,
		"snapshot restore":              snapshotRestoreCommand,
		"snapshot save":                 snapshotSaveCommand,
		"tls":                           tlsCommand,
		"tls ca":                        tlsCACommand,
		"tls ca create":                 tlsCACreateCommand,
		"tls cert":                      tlsCertCommand,
		"tls cert create":               tlsCertCreateCommand,
	}
}
