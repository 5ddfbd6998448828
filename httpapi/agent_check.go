package httpapi

import (
	"net/http"

	"consul.internal/agent"
	"consul.internal/catalog"
	"consul.internal/httpapi/edge"
)

func (s agentAPI) checks(_ http.ResponseWriter, r *http.Request) (any, error) {
	return filtered(r, s.deps.Local.Checks())
}

func (s agentAPI) checkRegister(_ http.ResponseWriter, r *http.Request) (any, error) {
	def, err := agent.DecodeCheck(r.Body)
	if err != nil {
		return nil, edge.DecodeFailed(err)
	}
	if def.Token == "" {
		def.Token = edge.Token(r)
	}
	return nil, s.deps.Local.RegisterCheck(def)
}

func (s agentAPI) checkDeregister(_ http.ResponseWriter, r *http.Request) (any, error) {
	return nil, s.deps.Local.DeregisterCheck(r.PathValue("item"))
}

// agentCheckTTL answers /v1/agent/check/pass, warn and fail.
func (s agentAPI) checkTTL(status catalog.Status) edge.Handler {
	return func(_ http.ResponseWriter, r *http.Request) (any, error) {
		return nil, s.deps.Local.UpdateTTL(r.PathValue("item"), status, r.URL.Query().Get("note"))
	}
}

func (s agentAPI) checkUpdate(_ http.ResponseWriter, r *http.Request) (any, error) {
	update, err := agent.DecodeCheckUpdate(r.Body)
	if err != nil {
		return nil, edge.DecodeFailed(err)
	}
	return nil, s.deps.Local.UpdateTTL(r.PathValue("item"), update.Status, update.Output)
}
