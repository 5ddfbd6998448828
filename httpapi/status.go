package httpapi

import (
	"net/http"

	"consul.internal/httpapi/edge"
	"consul.internal/rpc"
)

// statusAPI answers /v1/status.
type statusAPI struct{ *Server }

func (s statusAPI) leader(_ http.ResponseWriter, r *http.Request) (any, error) {
	out, err := rpc.Call(r.Context(), s.deps.Caller, rpc.StatusLeader, &rpc.StatusRequest{Target: edge.Target(r)})
	if err != nil {
		return nil, edge.Remote(err)
	}
	return out.Leader, nil
}

func (s statusAPI) peers(_ http.ResponseWriter, r *http.Request) (any, error) {
	out, err := rpc.Call(r.Context(), s.deps.Caller, rpc.StatusPeers, &rpc.StatusRequest{Target: edge.Target(r)})
	if err != nil {
		return nil, edge.Remote(err)
	}
	return edge.List(out.Peers), nil
}
