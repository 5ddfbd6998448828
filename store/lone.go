package store

import (
	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

// standAlone has a server that is the only one of its cluster stand for election
// at once: nobody else can lead, and waiting out a timeout would only keep its
// names unanswered. It sends itself the message with which a leader hands over
// (Raft dissertation, section 3.10). If that fails, the timeout does it.
func standAlone(r *raft.Raft, id raft.ServerID, t raft.Transport, log *zap.Logger) {
	f := r.GetConfiguration()
	if f.Error() != nil {
		return // raft is ending
	}
	servers := f.Configuration().Servers
	if addr, _ := r.LeaderWithID(); addr != "" || r.State() != raft.Follower {
		return // it has been elected meanwhile; the message would depose it
	}
	if len(servers) != 1 || servers[0].ID != id || servers[0].Suffrage != raft.Voter {
		return
	}
	req := &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{
		ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(id), Addr: t.EncodePeer(id, t.LocalAddr()),
	}}
	if err := t.TimeoutNow(id, t.LocalAddr(), req, new(raft.TimeoutNowResponse)); err != nil {
		log.Debug("cannot elect itself at once; waiting for the election timeout", zap.Error(err))
	}
	if c, ok := t.(interface{ CloseStreams() }); ok {
		c.CloseStreams() // the connection to itself is not needed again
	}
}
