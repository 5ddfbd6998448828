package acl

import (
	"encoding/json"
	"fmt"
	"time"
)

// AuthMethod is how strangers prove who they are.
type AuthMethod struct {
	Name          string
	Type          string
	DisplayName   string        `json:",omitempty"`
	Description   string        `json:",omitempty"`
	MaxTokenTTL   time.Duration `json:",omitempty"` // of tokens that come by it; 0: they do not end
	TokenLocality string        `json:",omitempty"` // LocalTokens (also "") or GlobalTokens
	Config        map[string]any
	CreateIndex   uint64
	ModifyIndex   uint64
}

// The types of methods: what can be used here, and what clients may ask for.
const (
	MethodJWT        = "jwt"
	MethodOIDC       = "oidc"
	MethodKubernetes = "kubernetes"
	MethodAWS        = "aws-iam"
)

// What tokens a method makes.
const (
	LocalTokens  = "local"
	GlobalTokens = "global"
)

// plainMethod has the method's fields, and not its way of being JSON.
type plainMethod AuthMethod

// MarshalJSON writes the longest life of tokens as people write it.
func (m AuthMethod) MarshalJSON() ([]byte, error) {
	longest := ""
	if m.MaxTokenTTL != 0 {
		longest = m.MaxTokenTTL.String()
	}
	return json.Marshal(struct {
		plainMethod
		MaxTokenTTL string `json:",omitempty"`
	}{plainMethod(m), longest})
}

// UnmarshalJSON reads it: a text such as "1h", or nanoseconds.
func (m *AuthMethod) UnmarshalJSON(data []byte) error {
	in := struct {
		*plainMethod
		MaxTokenTTL any
	}{plainMethod: (*plainMethod)(m)}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	switch v := in.MaxTokenTTL.(type) {
	case nil:
	case float64:
		m.MaxTokenTTL = time.Duration(v)
	case string:
		if v == "" {
			return nil
		}
		d, err := time.ParseDuration(v)
		if err != nil {
			return err
		}
		m.MaxTokenTTL = d
	default:
		return fmt.Errorf("MaxTokenTTL is neither a text nor a number")
	}
	return nil
}

// BindingRule is what who comes by an AuthMethod is granted.
type BindingRule struct {
	ID          string
	Description string
	AuthMethod  string
	Selector    string             // a filter over Proven; empty: everybody
	BindType    string             // one of those below
	BindName    string             // may hold ${value.x}
	BindVars    *TemplateVariables `json:",omitempty"`
	CreateIndex uint64
	ModifyIndex uint64
}

// The kinds of grants by a BindingRule.
const (
	BindService   = "service"
	BindNode      = "node"
	BindRole      = "role"
	BindPolicy    = "policy"
	BindTemplated = "templated-policy"
)
