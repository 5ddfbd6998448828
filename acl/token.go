package acl

import (
	"crypto/sha256"
	"encoding/json"
	"slices"
	"time"
)

// Well-known tokens and policies.
const (
	AnonymousID     = "00000000-0000-0000-0000-000000000002" // accessor of who brings no token
	AnonymousSecret = "anonymous"
	ManagementID    = "00000000-0000-0000-0000-000000000001" // policy that allows everything
	ReadOnlyID      = "00000000-0000-0000-0000-000000000002" // policy that shows everything
)

// Link names a policy or a role.
type Link struct {
	ID   string
	Name string
}

// Token is who somebody is: the secret proves it, the accessor names it.
type Token struct {
	AccessorID        string
	SecretID          string
	Name              string `json:",omitempty"`
	Description       string
	Policies          []Link            `json:",omitempty"`
	Roles             []Link            `json:",omitempty"`
	ServiceIdentities []ServiceIdentity `json:",omitempty"`
	NodeIdentities    []NodeIdentity    `json:",omitempty"`
	TemplatedPolicies []TemplatedPolicy `json:",omitempty"`
	Local             bool              // holds in its own datacenter only
	AuthMethod        string            `json:",omitempty"` // it came by a login there
	ExpirationTime    *time.Time        `json:",omitempty"`
	CreateTime        time.Time
	Hash              []byte
	CreateIndex       uint64
	ModifyIndex       uint64
}

// Expired reports whether the token's time is over.
func (t *Token) Expired(now time.Time) bool {
	return t.ExpirationTime != nil && !now.Before(*t.ExpirationTime)
}

// Policy is a named text of rules.
type Policy struct {
	ID          string
	Name        string
	Description string
	Rules       string
	Datacenters []string `json:",omitempty"` // where it counts; empty: everywhere
	Hash        []byte
	CreateIndex uint64
	ModifyIndex uint64
}

// Role is a named set of grants.
type Role struct {
	ID                string
	Name              string
	Description       string
	Policies          []Link            `json:",omitempty"`
	ServiceIdentities []ServiceIdentity `json:",omitempty"`
	NodeIdentities    []NodeIdentity    `json:",omitempty"`
	TemplatedPolicies []TemplatedPolicy `json:",omitempty"`
	Hash              []byte
	CreateIndex       uint64
	ModifyIndex       uint64
}

// seal is what a hash covers: all of a record but the hash and the indexes.
func seal(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		return nil // strings, flags and times only: it cannot happen
	}
	sum := sha256.Sum256(text)
	return sum[:]
}

// Seal sets the token's hash.
func (t *Token) Seal() {
	plain := *t
	plain.Hash, plain.CreateIndex, plain.ModifyIndex = nil, 0, 0
	t.Hash = seal(plain)
}

// Seal sets the policy's hash.
func (p *Policy) Seal() {
	plain := *p
	plain.Hash, plain.CreateIndex, plain.ModifyIndex = nil, 0, 0
	p.Hash = seal(plain)
}

// Seal sets the role's hash.
func (r *Role) Seal() {
	plain := *r
	plain.Hash, plain.CreateIndex, plain.ModifyIndex = nil, 0, 0
	r.Hash = seal(plain)
}

// counts reports whether what is limited to datacenters counts in one.
func counts(datacenters []string, datacenter string) bool {
	return len(datacenters) == 0 || slices.Contains(datacenters, datacenter)
}

// Counts reports whether the policy counts in a datacenter.
func (p *Policy) Counts(datacenter string) bool { return counts(p.Datacenters, datacenter) }
