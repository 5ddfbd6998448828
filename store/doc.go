// Package store is the state, replicated: a hashicorp/raft node with its log,
// snapshots, membership and leadership around package state. What stands in the log
// and how it is applied is package fsm's, what lies on the disk package disklog's.
//
// A command goes through Apply to the log, is committed, and changes the state on
// every server in the same order. Reads go to State directly; VerifyLeader makes
// one linearizable.
//
// Servers know one another by node ID. Where each of them is, the pool says
// (Deps.Address); the address in raft's configuration is only what holds while
// the pool is silent. So all of them may come back elsewhere. A cluster is founded
// by one server alone (Config.Bootstrap) or by as many as are expected together
// (Config.Expect; Former, with its rules in pledge.go); whoever comes later is
// taken in by the leader (Members) and promoted by Autopilot.
//
// On disk, below <data_dir>/raft:
//
//	lock          one process at a time
//	cluster       the cluster's ID, minted at the first start by a server alone
//	pledge        what this server has promised to those that found a cluster
//	members       who the servers are, for the day on which the log is damaged
//	mark          the highest index that was acknowledged (disklog.Mark)
//	wal/          the log's segments (hashicorp/raft-wal) and their meta file
//	snapshots/    one file a snapshot
//	peers.json    put there by a person to name the members anew, used once
//
// Everything that is read back is checked: each log entry, the meta file, each
// chunk of a snapshot. Damage is never used and never repaired in silence. A server
// that is alone refuses to open, or Failed fires, with the name of the file and what
// to do, and nothing is deleted. One among several gives up its vote first, then
// forgets everything and fetches it from the others (see heal).
//
// While the disk hangs or is full, the server is as good as dead to the others
// (disklog.Gate), and takes part again when the disk does.
//
// A server that founded a cluster which never came to be, while the others founded
// another one, forgets its own (see orphan.go). A dead leader is noticed as soon as
// raft's rules allow (see election.go).
//
// The package decides neither who may write nor what a leader does; it lends
// leadership as a context. It opens no ports: the transport is given to it.
package store
