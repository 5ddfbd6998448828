package httpapi

import (
	"context"
	"net/http"

	"consul.internal/internal/filter"
	"consul.internal/internal/version"
)

// Process is the agent's process as the API shows and steers it.
type Process interface {
	// Self describes the process for /v1/agent/self.
	Self() Self
	// Members lists the pool of this datacenter, or the pool of all servers.
	Members(wan bool) []Member
	// Reload reads the configuration again.
	Reload(ctx context.Context) error
	// Leave takes the agent out of the cluster in order and ends the process.
	Leave(ctx context.Context) error
}

// Self is the answer of /v1/agent/self.
type Self struct {
	Config      map[string]any
	DebugConfig map[string]any
	Coord       map[string]any
	Member      Member
	Stats       map[string]map[string]string
	Meta        map[string]string
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

// agentAPI answers /v1/agent.
type agentAPI struct{ *Server }

func (s agentAPI) self(http.ResponseWriter, *http.Request) (any, error) {
	return s.deps.Process.Self(), nil
}

func (s agentAPI) members(_ http.ResponseWriter, r *http.Request) (any, error) {
	q := r.URL.Query()
	if seg := q.Get("segment"); seg != "" && seg != "_all" {
		return nil, &statusError{http.StatusInternalServerError, "Network segments are not supported in this version of Consul"}
	}
	f, err := filter.New[Member](q.Get("filter"))
	if err != nil {
		return nil, remote(err)
	}
	// Only a value makes ?wan count: that is how it has always been.
	members, err := filter.Slice(f, s.deps.Process.Members(q.Get("wan") != ""))
	if err != nil {
		return nil, remote(err)
	}
	return list(members), nil
}

func (s agentAPI) version(http.ResponseWriter, *http.Request) (any, error) {
	return struct{ SHA, BuildDate, HumanVersion, FIPS string }{version.Revision, version.BuildDate, version.Version, ""}, nil
}

func (s agentAPI) reload(_ http.ResponseWriter, r *http.Request) (any, error) {
	if err := s.deps.Process.Reload(r.Context()); err != nil {
		return nil, remote(err)
	}
	return nil, nil
}

func (s agentAPI) leave(_ http.ResponseWriter, r *http.Request) (any, error) {
	if err := s.deps.Process.Leave(r.Context()); err != nil {
		return nil, remote(err)
	}
	return nil, nil
}
