package store

import (
	"github.com/hashicorp/raft"
	"go.uber.org/zap"

	"consul.internal/store/transport"
)

// standAlone has a server that is the only one of its cluster stand for election
// at once: nobody else can lead, and waiting out a timeout would only keep its
// names unanswered.
func standAlone(n *node, id raft.ServerID, log *zap.Logger) {
	f := n.GetConfiguration()
	if f.Error() != nil {
		return // raft is ending
	}
	servers := f.Configuration().Servers
	if len(servers) != 1 || servers[0].ID != id || servers[0].Suffrage != raft.Voter {
		return
	}
	stand(n.Raft, id, n.door, log)
}

// stand has a server stand for election at once. It sends itself the message with
// which a leader hands over (Raft dissertation, section 3.10). If that fails, the
// timeout does it.
func stand(r *raft.Raft, id raft.ServerID, d *transport.Door, log *zap.Logger) {
	if addr, _ := r.LeaderWithID(); addr != "" || r.State() != raft.Follower {
		return // it has been elected meanwhile; the message would depose it
	}
	addr := d.LocalAddr()
	answer := make(chan raft.RPCResponse, 1)
	d.Hand(raft.RPC{RespChan: answer, Command: &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{
		ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(id), Addr: d.EncodePeer(id, addr),
	}}})
	select {
	case a := <-answer:
		if a.Error != nil {
			log.Debug("cannot stand for election at once; waiting for the election timeout", zap.Error(a.Error))
		}
	case <-d.Ended():
	}
}
