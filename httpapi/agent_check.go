package httpapi

import (
	"cmp"
	"net/http"

	"consul.internal/agent"
	"consul.internal/catalog"
	"consul.internal/httpapi/edge"
)

func (s agentAPI) checks(w http.ResponseWriter, r *http.Request) (any, error) {
	who, err := s.Who(r)
	if err != nil {
		return nil, err
	}
	return filtered(r, sees(w, who, s.deps.Local.Checks(), s.guard().seesCheck(who)))
}

func (s agentAPI) checkRegister(_ http.ResponseWriter, r *http.Request) (any, error) {
	def, err := agent.DecodeCheck(r.Body)
	if err != nil {
		return nil, edge.DecodeFailed(err)
	}
	if def.Token == "" {
		def.Token = edge.OwnToken(r) // the agent's default is looked up when it is needed
	}
	if err := s.guard().mayWriteCheckOf(r, def.ServiceID); err != nil {
		return nil, err
	}
	if err := s.guard().mayWriteCheck(r, cmp.Or(def.ID, def.Name)); err != nil {
		return nil, err
	}
	return nil, s.deps.Local.RegisterCheck(def)
}

func (s agentAPI) checkDeregister(_ http.ResponseWriter, r *http.Request) (any, error) {
	id := r.PathValue("item")
	if err := s.guard().mayWriteCheck(r, id); err != nil {
		return nil, err
	}
	return nil, s.deps.Local.DeregisterCheck(id)
}

// agentCheckTTL answers /v1/agent/check/pass, warn and fail.
func (s agentAPI) checkTTL(status catalog.Status) edge.Handler {
	return func(_ http.ResponseWriter, r *http.Request) (any, error) {
		id := r.PathValue("item")
		if err := s.guard().mayWriteCheck(r, id); err != nil {
			return nil, err
		}
		return nil, s.deps.Local.UpdateTTL(id, status, r.URL.Query().Get("note"))
	}
}

func (s agentAPI) checkUpdate(_ http.ResponseWriter, r *http.Request) (any, error) {
	update, err := agent.DecodeCheckUpdate(r.Body)
	if err != nil {
		return nil, edge.DecodeFailed(err)
	}
	id := r.PathValue("item")
	if err := s.guard().mayWriteCheck(r, id); err != nil {
		return nil, err
	}
	return nil, s.deps.Local.UpdateTTL(id, update.Status, update.Output)
}
