package acl

import (
	"errors"
	"net/http"

	"consul.internal/httpapi/edge"
	"consul.internal/internal/fault"
	"consul.internal/rpc"
)

// Routes is what this package answers.
func Routes(b *edge.Base) []edge.Route {
	a := handlers{b}
	l := logins{a}
	all := []edge.Route{
		edge.Put("/v1/acl/bootstrap", a.bootstrap),
		edge.Get("/v1/acl/tokens", a.tokens),
		edge.Put("/v1/acl/token", a.createToken),
		edge.Get("/v1/acl/token/self", a.self),
		edge.On("/v1/acl/token/", a.token, http.MethodGet, http.MethodPut, http.MethodDelete),
		edge.Get("/v1/acl/policies", a.policies),
		edge.Put("/v1/acl/policy", a.createPolicy),
		edge.Get("/v1/acl/policy/name/", a.policyByName),
		edge.On("/v1/acl/policy/", a.policy, http.MethodGet, http.MethodPut, http.MethodDelete),
		edge.Get("/v1/acl/roles", a.roles),
		edge.Put("/v1/acl/role", a.createRole),
		edge.Get("/v1/acl/role/name/", a.roleByName),
		edge.On("/v1/acl/role/", a.role, http.MethodGet, http.MethodPut, http.MethodDelete),
		edge.Get("/v1/acl/templated-policies", a.templates),
		edge.Get("/v1/acl/templated-policy/name/", a.template),
		edge.On("/v1/acl/templated-policy/preview/", a.preview, http.MethodPost),
		edge.Get("/v1/acl/replication", a.replication),
		edge.Put("/v1/acl/auth-method", l.createMethod),
		edge.Get("/v1/acl/auth-methods", l.methods),
		edge.On("/v1/acl/auth-method/", l.method, http.MethodGet, http.MethodPut, http.MethodDelete),
		edge.Put("/v1/acl/binding-rule", l.createBinding),
		edge.Get("/v1/acl/binding-rules", l.bindings),
		edge.On("/v1/acl/binding-rule/", l.binding, http.MethodGet, http.MethodPut, http.MethodDelete),
		edge.On("/v1/acl/login", l.login, http.MethodPost),
		edge.On("/v1/acl/logout", l.logout, http.MethodPost),
	}
	all = append(all, olderRoutes(a)...)
	for i := range all {
		all[i].Handle = a.enabled(all[i].Handle)
	}
	return all
}

type handlers struct{ *edge.Base }

// enabled answers as known where there is no access control.
func (a handlers) enabled(next edge.Handler) edge.Handler {
	return func(w http.ResponseWriter, r *http.Request) (any, error) {
		if !a.Settings().ACLs {
			return nil, edge.Failed(http.StatusUnauthorized, "ACL support disabled")
		}
		return next(w, r)
	}
}

// write is what every change carries.
func write(r *http.Request) rpc.ACLWrite { return rpc.ACLWrite{Target: edge.Target(r)} }

// failed gives an operation's error its status: what is not there is 404 here.
func failed(err error) error {
	if errors.Is(err, fault.NotFound) {
		return edge.Failed(http.StatusNotFound, err.Error())
	}
	return edge.Remote(err)
}

// read performs a read and writes its headers, but for one that clients do not
// know from here.
func read[Req, Resp any](a handlers, w http.ResponseWriter, r *http.Request, m rpc.Method[Req, Resp], fill func(rpc.ReadOptions) *Req, meta func(*Resp) *rpc.ReadMeta) (*Resp, error) {
	opts, err := a.ReadOptions(r)
	if err != nil {
		return nil, err
	}
	out, err := edge.Read(w, r, a.Caller, m, fill(opts), meta)
	if err != nil {
		if errors.Is(err, fault.NotFound) {
			return nil, edge.Failed(http.StatusNotFound, err.Error())
		}
		return nil, err
	}
	w.Header().Del("X-Consul-Effective-Consistency")
	return out, nil
}

// remove takes something away, and answers true.
func (a handlers) remove(r *http.Request, m rpc.Method[rpc.ACLDeleteRequest, rpc.Empty], id string) (any, error) {
	if _, err := rpc.Call(r.Context(), a.Caller, m, &rpc.ACLDeleteRequest{ACLWrite: write(r), ID: id}); err != nil {
		return nil, failed(err)
	}
	return true, nil
}

// decode reads a body; what names it in errors.
func decode(r *http.Request, what string, v any) error {
	err := edge.Decode(r, v)
	if s, ok := errors.AsType[*edge.Status](err); ok {
		const prefix = "Request decode failed: "
		if len(s.Text) > len(prefix) && s.Text[:len(prefix)] == prefix {
			return edge.BadRequest(what + " decoding failed: " + s.Text[len(prefix):])
		}
	}
	return err
}
