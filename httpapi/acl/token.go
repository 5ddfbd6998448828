package acl

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"consul.internal/acl"
	"consul.internal/httpapi/edge"
	"consul.internal/rpc"
)

// withID is a first token, which also bears its secret under an older name.
type withID struct {
	ID string
	*acl.Token
}

// expanded is a token with all that it grants.
type expanded struct {
	*acl.Token
	ExpandedPolicies          []*acl.Policy
	ExpandedRoles             []*acl.Role
	NamespaceDefaultPolicyIDs []string
	NamespaceDefaultRoleIDs   []string
	AgentACLDefaultPolicy     string
	AgentACLDownPolicy        string
	ResolvedByAgent           string
}

// inUTC is a copy with its times as clients know them.
func inUTC(t *acl.Token) *acl.Token {
	c := *t
	c.CreateTime = c.CreateTime.UTC()
	if c.ExpirationTime != nil {
		end := c.ExpirationTime.UTC()
		c.ExpirationTime = &end
	}
	return &c
}

func (a handlers) bootstrap(_ http.ResponseWriter, r *http.Request) (any, error) {
	body, err := edge.Body(r)
	if err != nil {
		return nil, err
	}
	var in struct{ BootstrapSecret string }
	if len(body) > 0 {
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, edge.BadRequest("Request decode failed: " + err.Error())
		}
	}
	out, err := rpc.Call(r.Context(), a.Caller, rpc.ACLBootstrap, &rpc.ACLBootstrapRequest{ACLWrite: write(r), Secret: in.BootstrapSecret})
	if err != nil {
		return nil, failed(err)
	}
	return withID{out.Token.SecretID, inUTC(out.Token)}, nil
}

func (a handlers) tokens(w http.ResponseWriter, r *http.Request) (any, error) {
	q := r.URL.Query()
	out, err := read(a, w, r, rpc.ACLTokenList, func(o rpc.ReadOptions) *rpc.ACLTokenListRequest {
		return &rpc.ACLTokenListRequest{ReadOptions: o, Policy: q.Get("policy"), Role: q.Get("role"),
			AuthMethod: q.Get("authmethod"), ServiceName: q.Get("servicename")}
	}, func(o *rpc.ACLTokensReply) *rpc.ReadMeta { return &o.ReadMeta })
	if err != nil {
		return nil, err
	}
	list := make([]*acl.Token, len(out.Tokens))
	for i, t := range out.Tokens {
		list[i] = inUTC(t)
	}
	return list, nil
}

// tokenBody is a token as clients write it.
type tokenBody struct {
	acl.Token
	ExpirationTTL span
}

// span is a duration as text, or as a number of nanoseconds.
type span time.Duration

// UnmarshalJSON implements json.Unmarshaler.
func (s *span) UnmarshalJSON(b []byte) error {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	switch v := v.(type) {
	case nil:
	case float64:
		*s = span(v)
	case string:
		if v == "" {
			return nil
		}
		d, err := time.ParseDuration(v)
		if err != nil {
			return err
		}
		*s = span(d)
	default:
		return fmt.Errorf("ExpirationTTL is neither text nor number")
	}
	return nil
}

func (a handlers) setToken(r *http.Request, in *tokenBody, update bool) (any, error) {
	out, err := rpc.Call(r.Context(), a.Caller, rpc.ACLTokenSet, &rpc.ACLTokenSetRequest{
		ACLWrite: write(r), Set: in.Token, TTL: time.Duration(in.ExpirationTTL), Update: update,
	})
	if err != nil {
		return nil, failed(err)
	}
	return inUTC(out.Token), nil
}

func (a handlers) createToken(_ http.ResponseWriter, r *http.Request) (any, error) {
	in := new(tokenBody)
	if err := decode(r, "Token", in); err != nil {
		return nil, err
	}
	return a.setToken(r, in, false)
}

func (a handlers) self(w http.ResponseWriter, r *http.Request) (any, error) { return a.show(w, r, "") }

func (a handlers) show(w http.ResponseWriter, r *http.Request, accessor string) (any, error) {
	whole, err := edge.Bool(r, "expanded")
	if err != nil {
		return nil, err
	}
	out, err := read(a, w, r, rpc.ACLTokenGet, func(o rpc.ReadOptions) *rpc.ACLTokenGetRequest {
		return &rpc.ACLTokenGetRequest{ReadOptions: o, Accessor: accessor, Expanded: whole}
	}, func(o *rpc.ACLTokenReply) *rpc.ReadMeta { return &o.ReadMeta })
	if err != nil {
		return nil, err
	}
	if out.Expanded == nil {
		return inUTC(out.Token), nil
	}
	cfg := a.Settings()
	return expanded{
		Token: inUTC(out.Token), ExpandedPolicies: out.Expanded.Policies, ExpandedRoles: out.Expanded.Roles,
		AgentACLDefaultPolicy: cfg.ACLDefaultPolicy, AgentACLDownPolicy: cfg.ACLDownPolicy, ResolvedByAgent: cfg.NodeName,
	}, nil
}

// token answers for one token: read, changed, cloned or deleted.
func (a handlers) token(w http.ResponseWriter, r *http.Request) (any, error) {
	accessor, err := edge.Item(r, "Missing token AccessorID")
	if err != nil {
		return nil, err
	}
	if of, ok := strings.CutSuffix(accessor, "/clone"); ok && r.Method == http.MethodPut {
		return a.clone(r, of)
	}
	switch r.Method {
	case http.MethodGet:
		return a.show(w, r, accessor)
	case http.MethodDelete:
		return a.remove(r, rpc.ACLTokenDelete, accessor)
	}
	in := new(tokenBody)
	if err := decode(r, "Token", in); err != nil {
		return nil, err
	}
	if in.AccessorID != "" && in.AccessorID != accessor {
		return nil, edge.BadRequest("Token Accessor ID in URL and payload do not match")
	}
	in.AccessorID = accessor
	return a.setToken(r, in, true)
}

func (a handlers) clone(r *http.Request, accessor string) (any, error) {
	var in struct{ Description string }
	if err := decode(r, "Token", &in); err != nil {
		return nil, err
	}
	out, err := rpc.Call(r.Context(), a.Caller, rpc.ACLTokenClone, &rpc.ACLTokenCloneRequest{
		ACLWrite: write(r), Accessor: accessor, Description: in.Description,
	})
	if err != nil {
		return nil, failed(err)
	}
	return inUTC(out.Token), nil
}
