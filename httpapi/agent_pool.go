package httpapi

import (
	"context"
	"net/http"
	"slices"

	"consul.internal/acl"
	"consul.internal/httpapi/edge"
	"consul.internal/internal/filter"
	"consul.internal/rpc"
)

// Pool is the agent's gossip pools as the API shows and steers them.
type Pool interface {
	// Members lists the pool of this datacenter, or the pool of all servers.
	Members(wan bool) []Member
	// Join contacts members by address and says how many answered; that none did is an error.
	Join(ctx context.Context, addrs []string, wan bool) (int, error)
}

// Member is a member of a gossip pool.
type Member struct {
	Name        string
	Addr        string
	Port        uint16
	Tags        map[string]string
	Status      int // as Serf counts: 1 alive, 2 leaving, 3 left, 4 failed
	ProtocolMin uint8
	ProtocolMax uint8
	ProtocolCur uint8
	DelegateMin uint8
	DelegateMax uint8
	DelegateCur uint8
}

func (s agentAPI) members(w http.ResponseWriter, r *http.Request) (any, error) {
	q := r.URL.Query()
	if seg := q.Get("segment"); seg != "" && seg != "_all" {
		return nil, edge.Failed(http.StatusInternalServerError, "Network segments are not supported in this version of Consul")
	}
	f, err := filter.New[Member](q.Get("filter"))
	if err != nil {
		return nil, edge.Remote(err)
	}
	who, err := s.Who(r)
	if err != nil {
		return nil, err
	}
	// Only a value makes ?wan count: that is how it has always been.
	all := s.deps.Pool.Members(q.Get("wan") != "")
	seen := slices.DeleteFunc(slices.Clone(all), func(m Member) bool { return !who.Allowed(acl.Node, m.Name, acl.Read) })
	if len(seen) < len(all) {
		edge.SetFiltered(w, who)
	}
	members, err := filter.Slice(f, seen)
	if err != nil {
		return nil, edge.Remote(err)
	}
	return edge.List(members), nil
}

// join answers /v1/agent/join/: this agent itself joins.
func (s agentAPI) join(_ http.ResponseWriter, r *http.Request) (any, error) {
	addr, err := edge.Item(r, "Missing address to join")
	if err != nil {
		return nil, err
	}
	wan, err := edge.Bool(r, "wan")
	if err != nil {
		return nil, err
	}
	if _, err := s.deps.Pool.Join(r.Context(), []string{addr}, wan); err != nil {
		return nil, edge.Remote(err)
	}
	return nil, nil
}

// forceLeave answers /v1/agent/force-leave/: a server does it, so that it works
// from every agent.
func (s agentAPI) forceLeave(_ http.ResponseWriter, r *http.Request) (any, error) {
	node, err := edge.Item(r, "Missing node name")
	if err != nil {
		return nil, err
	}
	prune, err := edge.Bool(r, "prune")
	if err != nil {
		return nil, err
	}
	wan, err := edge.Bool(r, "wan")
	if err != nil {
		return nil, err
	}
	in := &rpc.ForceLeaveRequest{Target: edge.Target(r), Node: node, Prune: prune, WAN: wan}
	if _, err := rpc.Call(r.Context(), s.deps.Caller, rpc.PoolForceLeave, in); err != nil {
		return nil, edge.Remote(err)
	}
	return nil, nil
}
