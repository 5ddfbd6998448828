// Package state holds a datacenter's replicated tables in memory: nodes,
// services, checks, and the indexes that blocking queries compare.
//
// Tables are multi-version (hashicorp/go-memdb): a reader sees one committed
// state and never waits for a writer. There is one writer, the replicated log,
// which calls Begin with the index of its entry. What a transaction changed goes,
// in commit order, to the feed as one catalog.Batch.
//
// The package does no I/O, reads no clock and logs nothing: the same entries
// make the same state everywhere. It knows nothing of raft, of who may read what,
// or of how a snapshot is encoded. Records that it returns are shared with the
// state; they are read, never changed.
//
// A new table is one file with a function that returns its table, and a line in
// tables().
package state
