package acl

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/hashicorp/go-uuid"

	"consul.internal/acl"
	"consul.internal/httpapi/edge"
	"consul.internal/internal/fault"
	"consul.internal/rpc"
)

// The endpoints of the time when a token had rules of its own. Such a token is one of
// today's that links to a policy of its own, named after its accessor; ID is the secret.

const (
	olderClient     = "client"
	olderManagement = "management"
	olderAnonymous  = "anonymous" // ID of the token of who brings none
	olderPolicy     = "older-"    // how the names of those policies begin
	// tidyTime bounds taking back the first half of what failed in the second.
	tidyTime = 5 * time.Second
)

// olderToken is a token as it was.
type olderToken struct {
	CreateIndex uint64
	ModifyIndex uint64
	ID          string
	Name        string
	Type        string
	Rules       string
}

type olders struct{ handlers }

type olderID struct{ ID string }

func olderRoutes(h handlers) []edge.Route {
	a := olders{h}
	return []edge.Route{
		edge.Put("/v1/acl/create", a.olderCreate),
		edge.Put("/v1/acl/update", a.olderUpdate),
		edge.Put("/v1/acl/clone/", a.olderClone),
		edge.Put("/v1/acl/destroy/", a.olderDestroy),
		edge.Get("/v1/acl/info/", a.olderInfo),
		edge.Get("/v1/acl/list", a.olderList),
		edge.On("/v1/acl/rules/translate", a.translate, http.MethodPost),
	}
}

// bySecret finds the token of a secret, which whoever knows it may see; nil = there is none.
func (a olders) bySecret(r *http.Request, secret string) (*rpc.ACLTokenReply, error) {
	in := &rpc.ACLTokenGetRequest{ReadOptions: rpc.ReadOptions{Target: rpc.Target{Datacenter: edge.Target(r).Datacenter, Token: secret}}, Expanded: true}
	if secret == olderAnonymous {
		in.Token, in.Accessor = edge.Token(r), acl.AnonymousID
	}
	out, err := rpc.Call(r.Context(), a.Caller, rpc.ACLTokenGet, in)
	if secret != olderAnonymous && errors.Is(err, fault.Denied) {
		return nil, nil
	}
	return out, err
}

// older shows a token as it was.
func older(t *acl.Token, policies []*acl.Policy) *olderToken {
	o := &olderToken{CreateIndex: t.CreateIndex, ModifyIndex: t.ModifyIndex, ID: t.SecretID, Name: t.Description, Type: olderClient}
	for _, p := range policies {
		switch p.Name {
		case acl.ManagementName:
			o.Type = olderManagement
		case olderPolicy + t.AccessorID:
			o.Rules, o.ModifyIndex = p.Rules, max(o.ModifyIndex, p.ModifyIndex)
		}
	}
	return o
}

func (a olders) olderCreate(_ http.ResponseWriter, r *http.Request) (any, error) {
	in := new(olderToken)
	if err := decode(r, "ACL", in); err != nil {
		return nil, err
	}
	return a.olderNew(r, in)
}

// olderNew makes a token, and its policy first: without that it could do nothing.
func (a olders) olderNew(r *http.Request, in *olderToken) (any, error) {
	accessor, err := uuid.GenerateUUID()
	if err != nil {
		return nil, err
	}
	t := acl.Token{AccessorID: accessor, SecretID: in.ID, Description: in.Name}
	var own *acl.Policy
	switch in.Type {
	case olderManagement:
		t.Policies = []acl.Link{{ID: acl.ManagementID}}
	case "", olderClient:
		if own, err = a.olderRules(r, accessor, "", in.Rules); err != nil {
			return nil, err
		}
		t.Policies = []acl.Link{{ID: own.ID}}
	default:
		return nil, edge.BadRequest("Invalid ACL Type: it is client or management")
	}
	out, err := rpc.Call(r.Context(), a.Caller, rpc.ACLTokenSet, &rpc.ACLTokenSetRequest{ACLWrite: write(r), Set: t})
	if err != nil {
		if own != nil {
			a.olderTidy(r, own.ID)
		}
		return nil, failed(err)
	}
	return olderID{out.Token.SecretID}, nil
}

// olderTidy takes a policy away that no token links to. One that stays has no effect.
func (a olders) olderTidy(r *http.Request, policy string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), tidyTime)
	defer cancel()
	_, _ = rpc.Call(ctx, a.Caller, rpc.ACLPolicyDelete, &rpc.ACLDeleteRequest{ACLWrite: write(r), ID: policy})
}

// olderRules writes the policy of a token; id is that of the one it has, "" = none.
func (a olders) olderRules(r *http.Request, accessor, id, rules string) (*acl.Policy, error) {
	text, err := acl.Translate(rules)
	if err != nil {
		return nil, edge.BadRequest("ACL rule compilation failed: " + err.Error())
	}
	out, err := rpc.Call(r.Context(), a.Caller, rpc.ACLPolicySet, &rpc.ACLPolicySetRequest{ACLWrite: write(r), Set: acl.Policy{
		ID: id, Name: olderPolicy + accessor, Rules: text, Description: "rules of the token with this accessor",
	}})
	if err != nil {
		return nil, failed(err)
	}
	return out.Policy, nil
}

func (a olders) olderUpdate(_ http.ResponseWriter, r *http.Request) (any, error) {
	in := new(olderToken)
	if err := decode(r, "ACL", in); err != nil {
		return nil, err
	}
	if in.ID == "" {
		return nil, edge.BadRequest("ACL ID must be set")
	}
	was, err := a.bySecret(r, in.ID)
	switch {
	case err != nil:
		return nil, failed(err)
	case was == nil:
		return a.olderNew(r, in)
	}
	t := *was.Token
	own := slices.IndexFunc(t.Policies, func(l acl.Link) bool { return l.Name == olderPolicy+t.AccessorID })
	if in.Type == olderManagement {
		if !slices.ContainsFunc(t.Policies, func(l acl.Link) bool { return l.ID == acl.ManagementID }) {
			t.Policies = append(t.Policies, acl.Link{ID: acl.ManagementID})
		}
	} else {
		id := ""
		if own >= 0 {
			id = t.Policies[own].ID
		}
		p, err := a.olderRules(r, t.AccessorID, id, in.Rules)
		if err != nil {
			return nil, err
		}
		t.Policies = slices.DeleteFunc(slices.Clone(t.Policies), func(l acl.Link) bool { return l.ID == acl.ManagementID })
		if own < 0 {
			t.Policies = append(t.Policies, acl.Link{ID: p.ID})
		}
	}
	if t.Description = in.Name; t.AccessorID == acl.AnonymousID {
		t.Description = was.Token.Description
	}
	t.SecretID = "" // it stays, and who may write tokens need not have been shown it
	if _, err := rpc.Call(r.Context(), a.Caller, rpc.ACLTokenSet, &rpc.ACLTokenSetRequest{ACLWrite: write(r), Set: t, Update: true}); err != nil {
		return nil, failed(err)
	}
	return olderID{in.ID}, nil
}

// olderOf is the token that a path names.
func (a olders) olderOf(r *http.Request) (*rpc.ACLTokenReply, error) {
	id, err := edge.Item(r, "Missing ACL")
	if err != nil {
		return nil, err
	}
	out, err := a.bySecret(r, id)
	if err != nil {
		return nil, failed(err)
	}
	return out, nil
}

func (a olders) olderClone(_ http.ResponseWriter, r *http.Request) (any, error) {
	was, err := a.olderOf(r)
	switch {
	case err != nil:
		return nil, err
	case was == nil:
		return nil, edge.Failed(http.StatusNotFound, "Target ACL not found")
	}
	o := older(was.Token, was.Expanded.Policies)
	o.ID = ""
	return a.olderNew(r, o)
}

func (a olders) olderDestroy(_ http.ResponseWriter, r *http.Request) (any, error) {
	was, err := a.olderOf(r)
	if err != nil {
		return nil, err
	}
	if was == nil { // it is not there any more; who may not destroy is told so all the same
		err := a.may(r, acl.Write)
		return err == nil, err
	}
	if _, err := a.remove(r, rpc.ACLTokenDelete, was.Token.AccessorID); err != nil {
		return nil, err
	}
	for _, p := range was.Expanded.Policies {
		if p.Name == olderPolicy+was.Token.AccessorID {
			a.olderTidy(r, p.ID)
		}
	}
	return true, nil
}

func (a olders) olderInfo(_ http.ResponseWriter, r *http.Request) (any, error) {
	was, err := a.olderOf(r)
	if err != nil || was == nil {
		return []*olderToken{}, err
	}
	return []*olderToken{older(was.Token, was.Expanded.Policies)}, nil
}

func (a olders) olderList(w http.ResponseWriter, r *http.Request) (any, error) {
	if err := a.may(r, acl.Write); err != nil { // it took a management token
		return nil, err
	}
	policies, err := rpc.Call(r.Context(), a.Caller, rpc.ACLPolicyList, &rpc.ACLListRequest{ReadOptions: rpc.ReadOptions{Target: edge.Target(r)}})
	if err != nil {
		return nil, failed(err)
	}
	byID := map[string]*acl.Policy{}
	for _, p := range policies.Policies {
		byID[p.ID] = p
	}
	out, err := read(a.handlers, w, r, rpc.ACLTokenList, func(o rpc.ReadOptions) *rpc.ACLTokenListRequest {
		return &rpc.ACLTokenListRequest{ReadOptions: o}
	}, func(o *rpc.ACLTokensReply) *rpc.ReadMeta { return &o.ReadMeta })
	if err != nil {
		return nil, err
	}
	list := make([]*olderToken, len(out.Tokens))
	for i, t := range out.Tokens {
		var own []*acl.Policy
		for _, l := range t.Policies {
			if p := byID[l.ID]; p != nil {
				own = append(own, p)
			}
		}
		list[i] = older(t, own)
	}
	return list, nil
}

// translate answers with today's form of older rules.
func (a olders) translate(w http.ResponseWriter, r *http.Request) (any, error) {
	if err := a.permitted(r); err != nil {
		return nil, err
	}
	body, err := edge.Body(r)
	if err != nil {
		return nil, err
	}
	text, err := acl.Translate(string(body))
	if err != nil {
		return nil, edge.BadRequest("Failed to parse ACL rules: " + err.Error())
	}
	return edge.Raw(text), nil
}
