package httpapi

import (
	"net/http"
	"time"

	"consul.internal/httpapi/edge"
	"consul.internal/rpc"
)

// operatorAPI answers /v1/operator.
type operatorAPI struct{ *Server }

func (s operatorAPI) raftConfiguration(_ http.ResponseWriter, r *http.Request) (any, error) {
	opts, err := s.ReadOptions(r)
	if err != nil {
		return nil, err
	}
	out, err := rpc.Call(r.Context(), s.deps.Caller, rpc.RaftConfiguration, &rpc.RaftConfigurationRequest{ReadOptions: opts})
	if err != nil {
		return nil, edge.Remote(err)
	}
	return struct {
		Servers []*rpc.RaftServer
		Index   uint64
	}{edge.List(out.Servers), out.Index}, nil
}

// raftPeer answers DELETE /v1/operator/raft/peer.
func (s operatorAPI) raftPeer(_ http.ResponseWriter, r *http.Request) (any, error) {
	q := r.URL.Query()
	in := &rpc.RaftPeerRequest{Target: edge.Target(r), ID: q.Get("id"), Address: q.Get("address")}
	switch {
	case in.ID == "" && in.Address == "":
		return nil, edge.BadRequest("Must specify either ?id with the server's ID or ?address with IP:port of peer to remove")
	case in.ID != "" && in.Address != "":
		return nil, edge.BadRequest("Must specify only one of ?id or ?address")
	}
	if _, err := rpc.Call(r.Context(), s.deps.Caller, rpc.RaftRemovePeer, in); err != nil {
		return nil, edge.Remote(err)
	}
	return nil, nil
}

func (s operatorAPI) raftTransferLeader(_ http.ResponseWriter, r *http.Request) (any, error) {
	in := &rpc.RaftPeerRequest{Target: edge.Target(r), ID: r.URL.Query().Get("id")}
	out, err := rpc.Call(r.Context(), s.deps.Caller, rpc.RaftTransferLeader, in)
	if err != nil {
		return nil, edge.Remote(err)
	}
	return struct{ Success bool }{out.Success}, nil
}

// usageReply is the answer of /v1/operator/usage, which repeats in its body what
// other answers have in their headers.
type usageReply struct {
	Usage                 map[string]rpc.Usage
	Index                 uint64
	LastContact           time.Duration // nanoseconds
	KnownLeader           bool
	ConsistencyLevel      string
	NotModified           bool
	Backend               int
	ResultsFilteredByACLs bool
}

func (s operatorAPI) usage(w http.ResponseWriter, r *http.Request) (any, error) {
	opts, err := s.ReadOptions(r)
	if err != nil {
		return nil, err
	}
	global, err := edge.Bool(r, "global")
	if err != nil {
		return nil, err
	}
	out, err := edge.Read(w, r, s.deps.Caller, rpc.OperatorUsage, &rpc.UsageRequest{ReadOptions: opts, Global: global},
		func(o *rpc.UsageReply) *rpc.ReadMeta { return &o.ReadMeta })
	if err != nil {
		return nil, err
	}
	usage := out.Usage
	if usage == nil {
		usage = map[string]rpc.Usage{}
	}
	if global {
		if err := s.usageElsewhere(r.Context(), opts, usage); err != nil {
			return nil, edge.Remote(err)
		}
	}
	return usageReply{
		Usage: usage, Index: max(out.Index, 1), LastContact: out.LastContact, KnownLeader: out.KnownLeader,
		ConsistencyLevel: out.Consistency.String(), NotModified: out.NotModified,
	}, nil
}
