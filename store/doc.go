// Package store is the state, replicated: a hashicorp/raft node with its log,
// snapshots, first start and leadership around package state.
//
// A command goes through Apply to the log, is committed, and changes the state on
// every server in the same order. Reads go to State directly; VerifyLeader makes
// one linearizable.
//
// On disk, below <data_dir>/raft:
//
//	lock          one process at a time
//	cluster       the cluster's ID, minted at the first start
//	mark          the highest index that was acknowledged (see type mark)
//	wal/          the log's segments (hashicorp/raft-wal) and their meta file
//	snapshots/    one file a snapshot
//
// Everything that is read back is checked: each log entry, the meta file, each
// chunk of a snapshot. Damage is never used and never repaired in silence; Open
// refuses, or Failed fires, with the name of the file and what to do, and nothing
// is deleted.
//
// The package decides neither who may write nor what a leader does; it lends
// leadership as a context. It opens no ports: the transport is given to it.
package store
