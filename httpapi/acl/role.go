package acl

import (
	"net/http"

	"consul.internal/acl"
	"consul.internal/httpapi/edge"
	"consul.internal/rpc"
)

func (a handlers) roles(w http.ResponseWriter, r *http.Request) (any, error) {
	out, err := read(a, w, r, rpc.ACLRoleList, func(o rpc.ReadOptions) *rpc.ACLListRequest {
		return &rpc.ACLListRequest{ReadOptions: o, Policy: r.URL.Query().Get("policy")}
	}, func(o *rpc.ACLRolesReply) *rpc.ReadMeta { return &o.ReadMeta })
	if err != nil {
		return nil, err
	}
	return edge.List(out.Roles), nil
}

func (a handlers) setRole(r *http.Request, o *acl.Role) (any, error) {
	out, err := rpc.Call(r.Context(), a.Caller, rpc.ACLRoleSet, &rpc.ACLRoleSetRequest{ACLWrite: write(r), Set: *o})
	if err != nil {
		return nil, failed(err)
	}
	return out.Role, nil
}

func (a handlers) createRole(_ http.ResponseWriter, r *http.Request) (any, error) {
	in := new(acl.Role)
	if err := decode(r, "Role", in); err != nil {
		return nil, err
	}
	if in.ID != "" {
		return nil, edge.BadRequest("Cannot specify the ID when creating a new role")
	}
	return a.setRole(r, in)
}

func (a handlers) showRole(w http.ResponseWriter, r *http.Request, id, name string) (any, error) {
	out, err := read(a, w, r, rpc.ACLRoleGet, func(o rpc.ReadOptions) *rpc.ACLGetRequest {
		return &rpc.ACLGetRequest{ReadOptions: o, ID: id, Name: name}
	}, func(o *rpc.ACLRoleReply) *rpc.ReadMeta { return &o.ReadMeta })
	if err != nil {
		return nil, err
	}
	return out.Role, nil
}

func (a handlers) roleByName(w http.ResponseWriter, r *http.Request) (any, error) {
	name, err := edge.Item(r, "Missing role Name")
	if err != nil {
		return nil, err
	}
	return a.showRole(w, r, "", name)
}

// role answers for one role: read, changed or deleted.
func (a handlers) role(w http.ResponseWriter, r *http.Request) (any, error) {
	id, err := edge.Item(r, "Missing role ID")
	if err != nil {
		return nil, err
	}
	switch r.Method {
	case http.MethodGet:
		return a.showRole(w, r, id, "")
	case http.MethodDelete:
		return a.remove(r, rpc.ACLRoleDelete, id)
	}
	in := new(acl.Role)
	if err := decode(r, "Role", in); err != nil {
		return nil, err
	}
	if in.ID != "" && in.ID != id {
		return nil, edge.BadRequest("Role ID in URL and payload do not match")
	}
	in.ID = id
	return a.setRole(r, in)
}
