package rpc

// Operations on the cluster's own state. They are answered by any server.
var (
	StatusLeader = Method[StatusRequest, LeaderReply]{Name: "Status.Leader", Idempotent: true}
	StatusPeers  = Method[StatusRequest, PeersReply]{Name: "Status.Peers", Idempotent: true}
)

// StatusRequest asks about a datacenter's Raft cluster.
type StatusRequest struct {
	Target
	// Awaited makes it an error that there is no leader, so that one is waited for.
	Awaited bool
}

// LeaderReply holds the leader's address (host:port) and its node ID, "" while there
// is none.
type LeaderReply struct{ Leader, ID string }

// PeersReply lists the addresses of all Raft servers.
type PeersReply struct{ Peers []string }
