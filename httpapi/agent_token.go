package httpapi

import (
	"net/http"

	"consul.internal/acl"
	"consul.internal/agent/tokens"
	"consul.internal/httpapi/edge"
)

// aclOff is the known text for what only makes sense with access control.
const aclOff = "ACL support disabled"

// olderTokens are the names of the agent's tokens in earlier releases.
var olderTokens = map[string]tokens.Kind{
	"acl_token":              tokens.Default,
	"acl_agent_token":        tokens.Agent,
	"acl_agent_master_token": tokens.Recovery,
	"agent_master":           tokens.Recovery,
	"acl_replication_token":  tokens.Replication,
}

// token answers /v1/agent/token/: a token that this agent has for itself is set.
func (s agentAPI) token(_ http.ResponseWriter, r *http.Request) (any, error) {
	if !s.config().ACLs || s.deps.Tokens == nil {
		return nil, edge.Failed(http.StatusUnauthorized, aclOff)
	}
	if err := s.Need(r, acl.Agent, s.config().NodeName, acl.Write); err != nil {
		return nil, err
	}
	var in struct{ Token string }
	if err := edge.Decode(r, &in); err != nil {
		return nil, err
	}
	name := r.PathValue("item")
	kind, older := olderTokens[name]
	if !older {
		kind = tokens.Kind(name)
	}
	if err := s.deps.Tokens.Set(kind, in.Token); err != nil {
		return nil, err
	}
	s.deps.Local.SyncNow() // what was refused may be permitted now
	return nil, nil
}
