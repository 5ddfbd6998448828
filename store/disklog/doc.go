// Package disklog is what a raft node keeps on its disk: the log with its stable
// values, a mark of how far it reached, and snapshots.
//
// Everything that is read back is checked: each entry, the list of the log's
// segments, each snapshot, each small sealed file. What is not as it was written
// comes back as a Damage that names the file; it is never used, and nothing is
// repaired or deleted on its account. Only what a kill or a power cut can leave
// behind is put right.
//
// While the disk hangs or is full, the Gate is shut.
//
// The package knows nothing of what the entries mean, who the servers are, or what
// follows from damage: that is for whoever opens it.
package disklog
