package acl

import (
	"net/http"

	"consul.internal/acl"
	"consul.internal/httpapi/edge"
	"consul.internal/rpc"
)

// policyStub is a policy in a list.
type policyStub struct {
	ID          string
	Name        string
	Description string
	Datacenters []string
	Hash        []byte
	CreateIndex uint64
	ModifyIndex uint64
}

func (a handlers) policies(w http.ResponseWriter, r *http.Request) (any, error) {
	out, err := read(a, w, r, rpc.ACLPolicyList, func(o rpc.ReadOptions) *rpc.ACLListRequest {
		return &rpc.ACLListRequest{ReadOptions: o}
	}, func(o *rpc.ACLPoliciesReply) *rpc.ReadMeta { return &o.ReadMeta })
	if err != nil {
		return nil, err
	}
	list := make([]policyStub, len(out.Policies))
	for i, p := range out.Policies {
		list[i] = policyStub{p.ID, p.Name, p.Description, p.Datacenters, p.Hash, p.CreateIndex, p.ModifyIndex}
	}
	return list, nil
}

func (a handlers) setPolicy(r *http.Request, p *acl.Policy) (any, error) {
	out, err := rpc.Call(r.Context(), a.Caller, rpc.ACLPolicySet, &rpc.ACLPolicySetRequest{ACLWrite: write(r), Set: *p})
	if err != nil {
		return nil, failed(err)
	}
	return out.Policy, nil
}

func (a handlers) createPolicy(_ http.ResponseWriter, r *http.Request) (any, error) {
	in := new(acl.Policy)
	if err := decode(r, "Policy", in); err != nil {
		return nil, err
	}
	if in.ID != "" {
		return nil, edge.BadRequest("Cannot specify the ID when creating a new policy")
	}
	return a.setPolicy(r, in)
}

func (a handlers) showPolicy(w http.ResponseWriter, r *http.Request, id, name string) (any, error) {
	out, err := read(a, w, r, rpc.ACLPolicyGet, func(o rpc.ReadOptions) *rpc.ACLGetRequest {
		return &rpc.ACLGetRequest{ReadOptions: o, ID: id, Name: name}
	}, func(o *rpc.ACLPolicyReply) *rpc.ReadMeta { return &o.ReadMeta })
	if err != nil {
		return nil, err
	}
	return out.Policy, nil
}

func (a handlers) policyByName(w http.ResponseWriter, r *http.Request) (any, error) {
	name, err := edge.Item(r, "Missing policy Name")
	if err != nil {
		return nil, err
	}
	return a.showPolicy(w, r, "", name)
}

// policy answers for one policy: read, changed or deleted.
func (a handlers) policy(w http.ResponseWriter, r *http.Request) (any, error) {
	id, err := edge.Item(r, "Missing policy ID")
	if err != nil {
		return nil, err
	}
	switch r.Method {
	case http.MethodGet:
		return a.showPolicy(w, r, id, "")
	case http.MethodDelete:
		return a.remove(r, rpc.ACLPolicyDelete, id)
	}
	in := new(acl.Policy)
	if err := decode(r, "Policy", in); err != nil {
		return nil, err
	}
	if in.ID != "" && in.ID != id {
		return nil, edge.BadRequest("Policy ID in URL and payload do not match")
	}
	in.ID = id
	return a.setPolicy(r, in)
}

// permitted makes sure that the request's token may read ACLs.
func (a handlers) permitted(r *http.Request) error { return a.may(r, acl.Read) }

func (a handlers) may(r *http.Request, want acl.Access) error {
	_, err := rpc.Call(r.Context(), a.Caller, rpc.ACLPermitted, &rpc.ACLPermittedRequest{
		Target: edge.Target(r), Resource: acl.ACL, Access: want,
	})
	return edge.Remote(err)
}

func (a handlers) templates(_ http.ResponseWriter, r *http.Request) (any, error) {
	if err := a.permitted(r); err != nil {
		return nil, err
	}
	all := map[string]acl.Template{}
	for _, t := range acl.Templates() {
		all[t.TemplateName] = t
	}
	return all, nil
}

func (a handlers) template(_ http.ResponseWriter, r *http.Request) (any, error) {
	name, err := edge.Item(r, "Missing templated policy Name")
	if err != nil {
		return nil, err
	}
	if err := a.permitted(r); err != nil {
		return nil, err
	}
	t, ok := acl.FindTemplate(name)
	if !ok {
		return nil, edge.BadRequest("Invalid templated policy Name: " + name)
	}
	return t, nil
}

// preview shows the policy that a template and its variables make.
func (a handlers) preview(_ http.ResponseWriter, r *http.Request) (any, error) {
	name, err := edge.Item(r, "Missing templated policy Name")
	if err != nil {
		return nil, err
	}
	if err := a.permitted(r); err != nil {
		return nil, err
	}
	in := &acl.TemplatedPolicy{TemplateName: name}
	body, err := edge.Body(r)
	if err != nil {
		return nil, err
	}
	if len(body) > 0 {
		in.TemplateVariables = new(acl.TemplateVariables)
		if err := decode(r, "Templated policy variables", in.TemplateVariables); err != nil {
			return nil, err
		}
	}
	if err := in.Validate(); err != nil {
		return nil, edge.BadRequest(err.Error())
	}
	return in.Policy(), nil
}

// replication answers how copying from the primary datacenter goes.
func (a handlers) replication(_ http.ResponseWriter, r *http.Request) (any, error) {
	out, err := rpc.Call(r.Context(), a.Caller, rpc.ACLReplication, &rpc.ACLReplicationRequest{Target: edge.Target(r)})
	if err != nil {
		return nil, failed(err)
	}
	return out, nil
}
