package httpapi

import (
	"net/http"

	"consul.internal/acl"
	"consul.internal/catalog"
	"consul.internal/httpapi/edge"
)

// agentGuard guards the agent's own endpoints: no server sees these requests.
type agentGuard struct{ *Server }

func (s agentAPI) guard() agentGuard { return agentGuard(s) }

func (s agentGuard) agentRead(next edge.Handler) edge.Handler {
	return s.guarded(acl.Agent, acl.Read, next)
}

func (s agentGuard) agentWrite(next edge.Handler) edge.Handler {
	return s.guarded(acl.Agent, acl.Write, next)
}

func (s agentGuard) nodeWrite(next edge.Handler) edge.Handler {
	return s.guarded(acl.Node, acl.Write, next)
}

func (s agentGuard) operatorRead(next edge.Handler) edge.Handler {
	return s.guarded(acl.Operator, acl.Read, next)
}

func (s agentGuard) operatorWrite(next edge.Handler) edge.Handler {
	return s.guarded(acl.Operator, acl.Write, next)
}

// guarded lets those through who may access the resource, of this node if it has names.
func (s agentGuard) guarded(what acl.Resource, want acl.Access, next edge.Handler) edge.Handler {
	return func(w http.ResponseWriter, r *http.Request) (any, error) {
		name := s.config().NodeName
		if what == acl.Operator {
			name = ""
		}
		if err := s.Need(r, what, name, want); err != nil {
			return nil, err
		}
		return next(w, r)
	}
}

// mayWriteService refuses who may not write a service, or another one that has its ID now.
func (s agentGuard) mayWriteService(r *http.Request, id, name string) error {
	if err := s.Need(r, acl.Service, name, acl.Write); err != nil {
		return err
	}
	if have, ok := s.deps.Local.NameOf(id); ok && have != name {
		return s.Need(r, acl.Service, have, acl.Write)
	}
	return nil
}

// mayWriteServiceID refuses who may not write the service of an ID. That there is
// none is said by who looks for it.
func (s agentGuard) mayWriteServiceID(r *http.Request, id string) error {
	if have, ok := s.deps.Local.NameOf(id); ok {
		return s.Need(r, acl.Service, have, acl.Write)
	}
	return s.known(r)
}

// known refuses a token that is none.
func (s agentGuard) known(r *http.Request) error {
	_, err := s.Who(r)
	return err
}

// mayWriteCheck refuses who may not write the check of an ID, if there is one: that
// of a service is the service's, any other the node's.
func (s agentGuard) mayWriteCheck(r *http.Request, id string) error {
	c, ok := s.deps.Local.Check(id)
	if !ok {
		return s.known(r)
	}
	return s.mayWriteCheckOf(r, c.ServiceID)
}

// mayWriteCheckOf refuses who may not write checks of a service, or "" of the node.
func (s agentGuard) mayWriteCheckOf(r *http.Request, serviceID string) error {
	if serviceID == "" {
		return s.Need(r, acl.Node, s.config().NodeName, acl.Write)
	}
	return s.mayWriteServiceID(r, serviceID)
}

// sees leaves the items of a map that may be seen.
func sees[T any](w http.ResponseWriter, who *acl.Bearer, items map[string]T, see func(T) bool) map[string]T {
	hidden := false
	for id, v := range items {
		if !see(v) {
			delete(items, id)
			hidden = true
		}
	}
	if hidden {
		edge.SetFiltered(w, who)
	}
	return items
}

func (s agentGuard) seesCheck(who *acl.Bearer) func(*catalog.Check) bool {
	return func(c *catalog.Check) bool {
		if c.ServiceID == "" {
			return who.Allowed(acl.Node, s.config().NodeName, acl.Read)
		}
		return who.Allowed(acl.Service, c.ServiceName, acl.Read)
	}
}

// mayReadService refuses who may not read the service of an ID, if there is one.
func (s agentGuard) mayReadService(r *http.Request, id string) error {
	if have, ok := s.deps.Local.NameOf(id); ok {
		return s.Need(r, acl.Service, have, acl.Read)
	}
	return s.known(r)
}
