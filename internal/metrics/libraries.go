package metrics

import "strings"

// Libraries describe what raft, serf, memberlist and the files of the log report
// themselves. A part of a name in angle brackets is one of many.
func Libraries() []Definition { return libraries }

// libraries are all such names, sorted. Those of raft are by hashicorp/raft, and
// labelled network by the pool where they are serf's and memberlist's.
var libraries = []Definition{
	{"memberlist.degraded.probe", "counter", "probes", "network", "Probes that were made more slowly, since this agent has trouble of its own."},
	{"memberlist.degraded.timeout", "counter", "members", "network", "Members believed dead without the word of enough others."},
	{"memberlist.gossip", "timer", "ms", "network", "How long rounds of gossip took."},
	{"memberlist.health.score", "gauge", "score", "network", "How much trouble this agent has by its own judgement: 0 is none."},
	{"memberlist.msg.alive", "counter", "messages", "network", "Messages that a member is alive."},
	{"memberlist.msg.dead", "counter", "messages", "network", "Messages that a member is dead."},
	{"memberlist.msg.suspect", "counter", "messages", "network", "Messages that a member may be dead."},
	{"memberlist.node.instances", "gauge", "members", "network,node_state", "Members by state."},
	{"memberlist.probeNode", "timer", "ms", "network", "How long probes of members took."},
	{"memberlist.pushPullNode", "timer", "ms", "network", "How long exchanges of everything with a member took."},
	{"memberlist.queue.broadcasts", "timer", "messages", "network", "Messages that waited to be gossiped."},
	{"memberlist.size.local", "gauge", "bytes", "network", "Size of what this agent told a member in an exchange of everything."},
	{"memberlist.size.remote", "timer", "bytes", "network", "Size of what members told in exchanges of everything."},
	{"memberlist.tcp.accept", "counter", "connections", "network", "Connections of gossip that came in."},
	{"memberlist.tcp.connect", "counter", "connections", "network", "Connections of gossip that were made."},
	{"memberlist.tcp.sent", "counter", "bytes", "network", "Bytes of gossip sent over connections."},
	{"memberlist.udp.received", "counter", "bytes", "network", "Bytes of gossip received in packets."},
	{"memberlist.udp.sent", "counter", "bytes", "network", "Bytes of gossip sent in packets."},
	{"raft.apply", "counter", "entries", "", "Changes that this server, leading, was asked for."},
	{"raft.barrier", "counter", "barriers", "", "Times that this server waited until all earlier changes were in its state."},
	{"raft.candidate.electSelf", "timer", "ms", "", "How long it took to ask for votes."},
	{"raft.candidate.preElectSelf", "timer", "ms", "", "How long it took to ask whether votes would be given."},
	{"raft.commitNumLogs", "gauge", "entries", "", "Entries that were handed to the state at once the last time."},
	{"raft.commitTime", "timer", "ms", "", "How long it took on the leader until a majority had an entry."},
	{"raft.compactLogs", "timer", "ms", "", "How long it took to cut the log behind a snapshot."},
	{"raft.fsm.apply", "timer", "ms", "", "How long single entries took to become part of the state."},
	{"raft.fsm.applyBatch", "timer", "ms", "", "How long batches of entries took to become part of the state."},
	{"raft.fsm.applyBatchNum", "timer", "entries", "", "How many entries a batch had."},
	{"raft.fsm.enqueue", "timer", "ms", "", "How long batches waited for the state."},
	{"raft.fsm.lastRestoreDuration", "gauge", "ms", "", "How long it took to load a snapshot the last time."},
	{"raft.fsm.restore", "timer", "ms", "", "How long it took to load snapshots."},
	{"raft.fsm.snapshot", "timer", "ms", "", "How long the state stood still for snapshots."},
	{"raft.fsm.store_config", "timer", "ms", "", "How long changes of raft's configuration took to become part of the state."},
	{"raft.leader.dispatchLog", "timer", "ms", "", "How long it took on the leader to write entries to its disk."},
	{"raft.leader.dispatchNumLogs", "gauge", "entries", "", "Entries that the leader wrote to its disk at once the last time."},
	{"raft.leader.lastContact", "timer", "ms", "", "How long ago followers had answered when the leader looked."},
	{"raft.leader.oldestLogAge", "gauge", "ms", "", "Age of the oldest entry in the leader's log."},
	{"raft.net.getRPCType", "timer", "ms", "", "How long it took to read the kind of a request of raft."},
	{"raft.net.rpcDecode", "timer", "ms", "rpcType", "How long it took to read a request of raft."},
	{"raft.net.rpcEnqueue", "timer", "ms", "rpcType", "How long requests of raft waited."},
	{"raft.net.rpcRespond", "timer", "ms", "rpcType", "How long answers to requests of raft took."},
	{"raft.removeOldLogs", "timer", "ms", "", "How long it took to remove the whole log behind a snapshot."},
	{"raft.replication.appendEntries.logs", "counter", "entries", "peer_id", "Entries sent to a follower."},
	{"raft.replication.appendEntries.rpc", "timer", "ms", "peer_id", "How long followers took to take entries."},
	{"raft.replication.heartbeat", "timer", "ms", "peer_id", "How long followers took to answer a heartbeat."},
	{"raft.replication.installSnapshot", "timer", "ms", "peer_id", "How long followers took to take a snapshot."},
	{"raft.restore", "counter", "restores", "", "Restores by a person."},
	{"raft.restoreUserSnapshot", "timer", "ms", "", "How long restores by a person took."},
	{"raft.rpc.appendEntries", "timer", "ms", "", "How long this server, following, took to take entries."},
	{"raft.rpc.appendEntries.processLogs", "timer", "ms", "", "How long it took to hand entries that were known to be committed to the state."},
	{"raft.rpc.appendEntries.storeLogs", "timer", "ms", "", "How long this server, following, took to write entries to its disk."},
	{"raft.rpc.installSnapshot", "timer", "ms", "", "How long this server, following, took to take a snapshot."},
	{"raft.rpc.processHeartbeat", "timer", "ms", "", "How long this server, following, took to answer a heartbeat."},
	{"raft.rpc.requestPreVote", "timer", "ms", "", "How long it took to say whether a vote would be given."},
	{"raft.rpc.requestVote", "timer", "ms", "", "How long it took to give a vote, or not."},
	{"raft.snapshot.create", "timer", "ms", "", "How long it took to begin snapshots."},
	{"raft.snapshot.persist", "timer", "ms", "", "How long it took to write snapshots."},
	{"raft.snapshot.takeSnapshot", "timer", "ms", "", "How long snapshots took in all."},
	{"raft.state.candidate", "counter", "times", "", "Times that this server stood for election."},
	{"raft.state.follower", "counter", "times", "", "Times that this server became a follower."},
	{"raft.state.leader", "counter", "times", "", "Times that this server became leader."},
	{"raft.thread.fsm.saturation", "timer", "share", "", "Part of its time, from 0 to 1, that raft's loop of the state worked."},
	{"raft.thread.main.saturation", "timer", "share", "", "Part of its time, from 0 to 1, that raft's main loop worked."},
	{"raft.transition.heartbeat_timeout", "counter", "times", "", "Times that this server heard nothing of the leader for too long."},
	{"raft.transition.leader_lease_timeout", "counter", "times", "", "Times that this server stepped down, since it did not reach a majority."},
	{"raft.verify_leader", "counter", "rounds", "", "Times that this server made sure of a majority that it still leads."},
	{"raft.wal.head_truncations", "counter", "entries", "", "Entries cut off the old end of the log."},
	{"raft.wal.last_segment_age_seconds", "gauge", "s", "", "How long the last full file of the log had been written to."},
	{"raft.wal.log_appends", "counter", "batches", "", "Batches of entries written to the log."},
	{"raft.wal.log_entries_read", "counter", "entries", "", "Entries read from the log's files."},
	{"raft.wal.log_entries_written", "counter", "entries", "", "Entries written to the log."},
	{"raft.wal.log_entry_bytes_read", "counter", "bytes", "", "Size of the entries read from the log's files."},
	{"raft.wal.log_entry_bytes_written", "counter", "bytes", "", "Size of the entries written to the log."},
	{"raft.wal.segment_rotations", "counter", "files", "", "Times that the log went on in another file."},
	{"raft.wal.stable_gets", "counter", "reads", "", "Reads of raft's term and vote."},
	{"raft.wal.stable_sets", "counter", "writes", "", "Writes of raft's term and vote."},
	{"raft.wal.tail_truncations", "counter", "entries", "", "Entries cut off the new end of the log, for another leader had others."},
	{"serf.coordinate.adjustment-ms", "timer", "ms", "network", "How far this agent's network coordinate moved."},
	{"serf.coordinate.rejected", "counter", "coordinates", "network", "Network coordinates of others that made no sense."},
	{"serf.events", "counter", "events", "network", "User events."},
	{"serf.events.<name>", "counter", "events", "network", "User events by name."},
	{"serf.member.failed", "counter", "members", "network", "Members that failed."},
	{"serf.member.flap", "counter", "members", "network", "Members that failed and came back soon."},
	{"serf.member.join", "counter", "members", "network", "Members that joined."},
	{"serf.member.leave", "counter", "members", "network", "Members that left."},
	{"serf.member.left", "counter", "members", "network", "Members that left."},
	{"serf.member.update", "counter", "members", "network", "Members that changed their tags."},
	{"serf.msgs.received", "timer", "bytes", "network", "Size of serf's messages that came in."},
	{"serf.msgs.sent", "timer", "bytes", "network", "Size of serf's messages that were sent."},
	{"serf.queries", "counter", "queries", "network", "Queries of one agent to all."},
	{"serf.queries.<name>", "counter", "queries", "network", "Queries of one agent to all, by name."},
	{"serf.query_acks", "counter", "answers", "network", "Acknowledgements of such queries."},
	{"serf.query_duplicate_acks", "counter", "answers", "network", "Acknowledgements of such queries that had come already."},
	{"serf.query_duplicate_responses", "counter", "answers", "network", "Answers to such queries that had come already."},
	{"serf.query_responses", "counter", "answers", "network", "Answers to such queries."},
	{"serf.queue.Event", "timer", "messages", "network", "User events that waited to be gossiped."},
	{"serf.queue.Intent", "timer", "messages", "network", "Joins and leaves that waited to be gossiped."},
	{"serf.queue.Query", "timer", "messages", "network", "Queries that waited to be gossiped."},
	{"serf.snapshot.appendLine", "timer", "ms", "network", "How long it took to write a line to the memory of members."},
	{"serf.snapshot.compact", "timer", "ms", "network", "How long it took to write the memory of members anew."},
}

// lasting are gauges that a library sets once and that stay true.
func lasting(name string) bool { return name == "raft.fsm.lastRestoreDuration" }

// Defined finds what is said about a name without prefix.
func Defined(name string) (Definition, bool) {
	for _, list := range [][]Definition{definitions, libraries} {
		for _, d := range list {
			begin, _, many := strings.Cut(d.Name, "<")
			if d.Name == name || many && strings.HasPrefix(name, begin) {
				return d, true
			}
		}
	}
	return Definition{}, false
}
