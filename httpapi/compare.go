package httpapi

import (
	"net/http"

	"consul.internal/httpapi/edge"
	"consul.internal/rpc"
)

// stateReply is a server's state in the answer of /v1/operator/raft/compare.
type stateReply struct {
	ID, Node      string
	Voter, Leader bool
	// Hash is "" for a server that did not answer, or has not got so far.
	Hash    string
	Tables  map[string]string
	Version string
}

// raftCompare answers PUT /v1/operator/raft/compare: the leader compares the states
// of all servers, as it does by itself now and then.
func (s operatorAPI) raftCompare(_ http.ResponseWriter, r *http.Request) (any, error) {
	out, err := rpc.Call(r.Context(), s.deps.Caller, rpc.RaftCompare, &rpc.RaftCompareRequest{Target: edge.Target(r)})
	if err != nil {
		return nil, edge.Remote(err)
	}
	reply := struct {
		Index   uint64
		Same    bool
		Agreed  string
		Servers []stateReply
	}{out.Index, out.Same, out.Agreed, []stateReply{}}
	for _, sv := range out.Servers {
		reply.Servers = append(reply.Servers, stateReply{sv.ID, sv.Node, sv.Voter, sv.Leader, sv.Sum, sv.Tables, sv.Version})
	}
	return reply, nil
}
