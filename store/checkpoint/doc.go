// Package checkpoint compares the states of the servers, which checksums of what is
// on disk do not: a bit that turned in memory, or a mistake of the program.
//
// Now and then the leader has a checkpoint written into the log. Every server sums
// up its state as it is right after that entry, beside its work, and the leader
// asks each for its sum. Where they differ, those are wrong that have another one
// than more than half of all voters, the leader itself among them:
//
//   - The leader has the majority's: it writes that sum into the log, and whoever
//     finds that his own was another heals as a server with a damaged disk does, one
//     at a time. The log, not a message, says so: nobody but a leader can have a
//     server give up its data.
//   - The leader has not: it hands leadership to a server that has. That one compares
//     anew, and the former leader heals.
//   - No sum has a majority: nobody heals, the log says who differs in what.
//
// Sums of different versions of the program are not compared: a record may have
// fields that the other does not know.
//
// The package knows neither raft nor the network: what it needs of its server it is
// given.
package checkpoint
