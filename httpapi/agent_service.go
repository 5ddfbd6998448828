package httpapi

import (
	"cmp"
	"context"
	"net/http"
	"strconv"

	"consul.internal/acl"
	"consul.internal/agent"
	"consul.internal/catalog"
	"consul.internal/httpapi/config"
	"consul.internal/httpapi/edge"
	"consul.internal/internal/filter"
)

// filtered keeps the entries of a map that ?filter lets pass.
func filtered[T any](r *http.Request, items map[string]T) (map[string]T, error) {
	f, err := filter.New[T](r.URL.Query().Get("filter"))
	if err != nil {
		return nil, edge.Remote(err)
	}
	for id, v := range items {
		ok, err := f.Match(v)
		if err != nil {
			return nil, edge.Remote(err)
		}
		if !ok {
			delete(items, id)
		}
	}
	return items, nil
}

func (s agentAPI) services(w http.ResponseWriter, r *http.Request) (any, error) {
	who, err := s.Who(r)
	if err != nil {
		return nil, err
	}
	return filtered(r, sees(w, who, s.deps.Local.Services(), func(i *agent.ServiceInfo) bool {
		return who.Allowed(acl.Service, i.Service, acl.Read)
	}))
}

func (s agentAPI) serviceRead(w http.ResponseWriter, r *http.Request) (any, error) {
	id, q := r.PathValue("item"), r.URL.Query()
	if err := s.guard().mayReadService(r, id); err != nil {
		return nil, err
	}
	var info *agent.ServiceInfo
	var err error
	if hash := q.Get("hash"); hash != "" {
		opts, oerr := s.ReadOptions(r)
		if oerr != nil {
			return nil, oerr
		}
		ctx, cancel := context.WithTimeout(r.Context(), opts.MaxWait)
		defer cancel()
		info, err = s.deps.Local.WaitService(ctx, id, hash)
	} else {
		info, err = s.deps.Local.Service(id)
	}
	if err == nil {
		err = s.Need(r, acl.Service, info.Service, acl.Read) // the wait was long, and another service may have the ID
	}
	if err != nil {
		return nil, err
	}
	w.Header().Set("X-Consul-Contenthash", info.ContentHash)
	if r.URL.Query().Has(mergeCentral) {
		return config.Merged(r, s.deps.Caller, info)
	}
	return info, nil
}

func (s agentAPI) serviceRegister(_ http.ResponseWriter, r *http.Request) (any, error) {
	def, err := agent.DecodeService(r.Body)
	if err != nil {
		return nil, edge.DecodeFailed(err)
	}
	replace, err := edge.Bool(r, "replace-existing-checks")
	if err != nil {
		return nil, err
	}
	if def.Token == "" {
		def.Token = edge.OwnToken(r) // the agent's default is looked up when it is needed
	}
	if err := s.guard().mayWriteService(r, cmp.Or(def.ID, def.Name), def.Name); err != nil {
		return nil, err
	}
	for _, id := range def.CheckIDs() { // which may be another service's now, or the node's
		if err := s.guard().mayWriteCheck(r, id); err != nil {
			return nil, err
		}
	}
	return nil, s.deps.Local.RegisterService(def, agent.RegisterOptions{ReplaceExistingChecks: replace})
}

func (s agentAPI) serviceDeregister(_ http.ResponseWriter, r *http.Request) (any, error) {
	id := r.PathValue("item")
	if err := s.guard().mayWriteServiceID(r, id); err != nil {
		return nil, err
	}
	return nil, s.deps.Local.DeregisterService(id)
}

// maintenance reads ?enable, which must be there.
func maintenance(r *http.Request) (enable bool, reason string, err error) {
	q := r.URL.Query()
	if !q.Has("enable") {
		return false, "", edge.BadRequest("Missing value for enable")
	}
	enable, err = strconv.ParseBool(q.Get("enable"))
	if err != nil {
		return false, "", edge.BadRequest("Invalid value for enable: " + strconv.Quote(q.Get("enable")))
	}
	return enable, q.Get("reason"), nil
}

func (s agentAPI) serviceMaintenance(_ http.ResponseWriter, r *http.Request) (any, error) {
	id, err := edge.Item(r, "Missing service ID")
	if err != nil {
		return nil, err
	}
	enable, reason, err := maintenance(r)
	if err != nil {
		return nil, err
	}
	if err := s.guard().mayWriteServiceID(r, id); err != nil {
		return nil, err
	}
	if enable {
		return nil, s.deps.Local.EnableServiceMaintenance(id, reason)
	}
	return nil, s.deps.Local.DisableServiceMaintenance(id)
}

func (s agentAPI) maintenance(_ http.ResponseWriter, r *http.Request) (any, error) {
	enable, reason, err := maintenance(r)
	if err != nil {
		return nil, err
	}
	if enable {
		return nil, s.deps.Local.EnableNodeMaintenance(reason)
	}
	return nil, s.deps.Local.DisableNodeMaintenance()
}

// statusOfHealth is what load balancers ask for: the state as a status code.
var statusOfHealth = map[catalog.Status]int{
	catalog.Passing:     http.StatusOK,
	catalog.Warning:     http.StatusTooManyRequests,
	catalog.Critical:    http.StatusServiceUnavailable,
	catalog.Maintenance: http.StatusServiceUnavailable,
}

// health answers with a state as status code, and as text if ?format=text.
func health(w http.ResponseWriter, r *http.Request, status catalog.Status, v any) any {
	w.Header().Set("X-Consul-Reason", string(status))
	if r.URL.Query().Get("format") == "text" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		v = edge.Raw(status)
	}
	return edge.Under(statusOfHealth[status], v)
}

func (s agentAPI) healthByID(w http.ResponseWriter, r *http.Request) (any, error) {
	id, err := edge.Item(r, "Missing serviceID")
	if err != nil {
		return nil, err
	}
	if err := s.guard().mayReadService(r, id); err != nil {
		return nil, err
	}
	info, err := s.deps.Local.ServiceHealth(id)
	if err != nil {
		return nil, err
	}
	return health(w, r, info.AggregatedStatus, info), nil
}

func (s agentAPI) healthByName(w http.ResponseWriter, r *http.Request) (any, error) {
	name, err := edge.Item(r, "Missing service Name")
	if err != nil {
		return nil, err
	}
	if err := s.Need(r, acl.Service, name, acl.Read); err != nil {
		return nil, err
	}
	infos, status, err := s.deps.Local.ServicesHealth(name)
	if err != nil {
		return nil, err
	}
	return health(w, r, status, infos), nil
}
