package acl

import (
	"net/http"

	"consul.internal/acl"
	"consul.internal/httpapi/edge"
	"consul.internal/rpc"
)

// logins answers for auth methods and binding rules, and for who logs in by them.
type logins struct{ handlers }

// methodStub is an auth method in a list: without its configuration.
type methodStub struct {
	Name          string
	Type          string
	DisplayName   string `json:",omitempty"`
	Description   string `json:",omitempty"`
	MaxTokenTTL   string `json:",omitempty"`
	TokenLocality string `json:",omitempty"`
	CreateIndex   uint64
	ModifyIndex   uint64
}

func (a logins) methods(w http.ResponseWriter, r *http.Request) (any, error) {
	out, err := read(a.handlers, w, r, rpc.ACLMethodList, func(o rpc.ReadOptions) *rpc.ACLListRequest {
		return &rpc.ACLListRequest{ReadOptions: o}
	}, func(o *rpc.ACLMethodsReply) *rpc.ReadMeta { return &o.ReadMeta })
	if err != nil {
		return nil, err
	}
	list := make([]methodStub, len(out.Methods))
	for i, m := range out.Methods {
		list[i] = methodStub{Name: m.Name, Type: m.Type, DisplayName: m.DisplayName, Description: m.Description,
			TokenLocality: m.TokenLocality, CreateIndex: m.CreateIndex, ModifyIndex: m.ModifyIndex}
		if m.MaxTokenTTL != 0 {
			list[i].MaxTokenTTL = m.MaxTokenTTL.String()
		}
	}
	return list, nil
}

func (a logins) setMethod(r *http.Request, m *acl.AuthMethod, update bool) (any, error) {
	out, err := rpc.Call(r.Context(), a.Caller, rpc.ACLMethodSet, &rpc.ACLMethodSetRequest{ACLWrite: write(r), Set: *m, Update: update})
	if err != nil {
		return nil, failed(err)
	}
	return out.Method, nil
}

func (a logins) createMethod(_ http.ResponseWriter, r *http.Request) (any, error) {
	in := new(acl.AuthMethod)
	if err := decode(r, "AuthMethod", in); err != nil {
		return nil, err
	}
	return a.setMethod(r, in, false)
}

// method answers for one auth method: read, changed or deleted.
func (a logins) method(w http.ResponseWriter, r *http.Request) (any, error) {
	name, err := edge.Item(r, "Missing auth method name")
	if err != nil {
		return nil, err
	}
	switch r.Method {
	case http.MethodGet:
		out, err := read(a.handlers, w, r, rpc.ACLMethodGet, func(o rpc.ReadOptions) *rpc.ACLGetRequest {
			return &rpc.ACLGetRequest{ReadOptions: o, Name: name}
		}, func(o *rpc.ACLMethodReply) *rpc.ReadMeta { return &o.ReadMeta })
		if err != nil {
			return nil, err
		}
		return out.Method, nil
	case http.MethodDelete:
		return a.remove(r, rpc.ACLMethodDelete, name)
	}
	in := new(acl.AuthMethod)
	if err := decode(r, "AuthMethod", in); err != nil {
		return nil, err
	}
	if in.Name != "" && in.Name != name {
		return nil, edge.BadRequest("AuthMethod Name in URL and payload do not match")
	}
	in.Name = name
	return a.setMethod(r, in, true)
}

func (a logins) bindings(w http.ResponseWriter, r *http.Request) (any, error) {
	out, err := read(a.handlers, w, r, rpc.ACLBindingList, func(o rpc.ReadOptions) *rpc.ACLBindingListRequest {
		return &rpc.ACLBindingListRequest{ReadOptions: o, AuthMethod: r.URL.Query().Get("authmethod")}
	}, func(o *rpc.ACLBindingsReply) *rpc.ReadMeta { return &o.ReadMeta })
	if err != nil {
		return nil, err
	}
	return edge.List(out.Rules), nil
}

func (a logins) setBinding(r *http.Request, b *acl.BindingRule) (any, error) {
	out, err := rpc.Call(r.Context(), a.Caller, rpc.ACLBindingSet, &rpc.ACLBindingSetRequest{ACLWrite: write(r), Set: *b})
	if err != nil {
		return nil, failed(err)
	}
	return out.Rule, nil
}

func (a logins) createBinding(_ http.ResponseWriter, r *http.Request) (any, error) {
	in := new(acl.BindingRule)
	if err := decode(r, "BindingRule", in); err != nil {
		return nil, err
	}
	if in.ID != "" {
		return nil, edge.BadRequest("Cannot specify the ID when creating a new binding rule")
	}
	return a.setBinding(r, in)
}

// binding answers for one binding rule: read, changed or deleted.
func (a logins) binding(w http.ResponseWriter, r *http.Request) (any, error) {
	id, err := edge.Item(r, "Missing binding rule ID")
	if err != nil {
		return nil, err
	}
	switch r.Method {
	case http.MethodGet:
		out, err := read(a.handlers, w, r, rpc.ACLBindingGet, func(o rpc.ReadOptions) *rpc.ACLGetRequest {
			return &rpc.ACLGetRequest{ReadOptions: o, ID: id}
		}, func(o *rpc.ACLBindingReply) *rpc.ReadMeta { return &o.ReadMeta })
		if err != nil {
			return nil, err
		}
		return out.Rule, nil
	case http.MethodDelete:
		return a.remove(r, rpc.ACLBindingDelete, id)
	}
	in := new(acl.BindingRule)
	if err := decode(r, "BindingRule", in); err != nil {
		return nil, err
	}
	if in.ID != "" && in.ID != id {
		return nil, edge.BadRequest("BindingRule ID in URL and payload do not match")
	}
	in.ID = id
	return a.setBinding(r, in)
}

// login gives a token to who proves who he is. It takes none: what a browser or an
// agent adds by itself is left out.
func (a logins) login(_ http.ResponseWriter, r *http.Request) (any, error) {
	var in struct {
		AuthMethod  string
		BearerToken string
		Meta        map[string]string
	}
	if err := decode(r, "Login", &in); err != nil {
		return nil, err
	}
	out, err := rpc.Call(r.Context(), a.Caller, rpc.ACLLogin, &rpc.ACLLoginRequest{
		Target:     rpc.Target{Datacenter: r.URL.Query().Get("dc")},
		AuthMethod: in.AuthMethod, BearerToken: in.BearerToken, Meta: in.Meta,
	})
	if err != nil {
		return nil, failed(err)
	}
	return inUTC(out.Token), nil
}

// logout takes away the token that the request itself brings.
func (a logins) logout(_ http.ResponseWriter, r *http.Request) (any, error) {
	own := edge.OwnToken(r)
	if own == "" {
		return nil, edge.Failed(http.StatusUnauthorized, "Supplied token does not exist")
	}
	in := &rpc.ACLLogoutRequest{ACLWrite: write(r)}
	in.Token = own
	if _, err := rpc.Call(r.Context(), a.Caller, rpc.ACLLogout, in); err != nil {
		return nil, failed(err)
	}
	return true, nil
}
