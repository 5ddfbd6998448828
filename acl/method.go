package acl

import "time"

// AuthMethod is how strangers prove who they are.
type AuthMethod struct {
	Name            string
	Type            string
	DisplayName     string        `json:",omitempty"`
	Description     string        `json:",omitempty"`
	MaxTokenTTL     time.Duration `json:",omitempty"` // of tokens that come by it; 0: they do not end
	TokenLocality   string        `json:",omitempty"` // "local" (also "") or "global"
	TokenNameFormat string        `json:",omitempty"`
	Config          map[string]any
	CreateIndex     uint64
	ModifyIndex     uint64
}

// BindingRule is what who comes by an AuthMethod is granted.
type BindingRule struct {
	ID          string
	Description string
	AuthMethod  string
	Selector    string             // a filter over what was proved; empty: everybody
	BindType    string             // one of BindTypes
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
