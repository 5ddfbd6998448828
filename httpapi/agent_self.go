package httpapi

import (
	"context"
	"net/http"

	"consul.internal/catalog"
	"consul.internal/httpapi/edge"
	"consul.internal/internal/version"
)

// Process is the agent's process as the API shows and steers it.
type Process interface {
	// Self describes the process for /v1/agent/self.
	Self() Self
	// Reload reads the configuration again.
	Reload(ctx context.Context) error
	// Leave takes the agent out of the cluster in order and ends the process.
	Leave(ctx context.Context) error
}

// Self is the answer of /v1/agent/self.
type Self struct {
	Config      map[string]any
	DebugConfig map[string]any
	Coord       *catalog.Coordinate // nil = it is not shared
	Member      Member
	Stats       map[string]map[string]string
	Meta        map[string]string
}

// agentAPI answers /v1/agent.
type agentAPI struct{ *Server }

func (s agentAPI) self(http.ResponseWriter, *http.Request) (any, error) {
	return s.deps.Process.Self(), nil
}

func (s agentAPI) version(http.ResponseWriter, *http.Request) (any, error) {
	return struct{ SHA, BuildDate, HumanVersion, FIPS string }{version.Revision, version.BuildDate, version.Version, ""}, nil
}

func (s agentAPI) reload(_ http.ResponseWriter, r *http.Request) (any, error) {
	if err := s.deps.Process.Reload(r.Context()); err != nil {
		return nil, edge.Remote(err)
	}
	return nil, nil
}

func (s agentAPI) leave(_ http.ResponseWriter, r *http.Request) (any, error) {
	if err := s.deps.Process.Leave(r.Context()); err != nil {
		return nil, edge.Remote(err)
	}
	return nil, nil
}
