package query

import (
	"maps"
	"slices"
	"strings"
	"time"

	"consul.internal/internal/fault"
)

// Query is a prepared query as users define it.
type Query struct {
	ID   string `json:"ID"`
	Name string `json:"Name"`
	// Session is a session that the query ends with, "" = none.
	Session  string   `json:"Session"`
	Token    string   `json:"Token"`
	Template Template `json:"Template"`
	Service  Service  `json:"Service"`
	DNS      DNS      `json:"DNS"`

	CreateIndex uint64 `json:"CreateIndex"`
	ModifyIndex uint64 `json:"ModifyIndex"`
}

// Template makes a query one for all names that begin with its own.
type Template struct {
	Type            string `json:"Type"` // PrefixMatch, or "" for a query that is no template
	Regexp          string `json:"Regexp"`
	RemoveEmptyTags bool   `json:"RemoveEmptyTags"`
}

// PrefixMatch is the one type of template.
const PrefixMatch = "name_prefix_match"

// DNS says how DNS serves the query's results.
type DNS struct {
	TTL string `json:"TTL"` // a duration, or "" for what the agent's configuration says
}

// Service says which instances are wanted. In a template its texts may hold
// interpolations.
type Service struct {
	Service        string            `json:"Service"`
	SamenessGroup  string            `json:"SamenessGroup,omitempty"` // kept, of no effect
	Failover       Failover          `json:"Failover"`
	OnlyPassing    bool              `json:"OnlyPassing"`    // warnings are not good enough
	IgnoreCheckIDs []string          `json:"IgnoreCheckIDs"` // checks that do not count
	Near           string            `json:"Near"`           // a node's name, NearAgent or NearIP
	Tags           []string          `json:"Tags"`           // that must be carried, or must not if they begin with "!"
	NodeMeta       map[string]string `json:"NodeMeta"`
	ServiceMeta    map[string]string `json:"ServiceMeta"`
	Connect        bool              `json:"Connect"`    // mesh-capable instances instead
	IncludeAll     bool              `json:"IncludeAll"` // kept, of no effect
}

// Names with a meaning of their own in Service.Near.
const (
	NearAgent = "_agent" // the agent that was asked
	NearIP    = "_ip"    // the node at the asker's address
)

// Failover says where to look when no instance is left.
type Failover struct {
	NearestN            int      `json:"NearestN"`            // that many datacenters by round-trip time, first
	SkipLocalDatacenter bool     `json:"SkipLocalDatacenter"` // kept, of no effect
	Datacenters         []string `json:"Datacenters"`         // then these
	Targets             []Target `json:"Targets"`             // instead of both
}

// Target is one place to fail over to.
type Target struct {
	Peer       string `json:"Peer"` // of a peering, which is not built: it is passed over
	Datacenter string `json:"Datacenter"`
}

// IsTemplate reports whether the query is a template.
func (q *Query) IsTemplate() bool { return q.Template.Type != "" }

// Duration is the TTL; ok is false where there is none.
func (d DNS) Duration() (ttl time.Duration, ok bool) {
	ttl, err := time.ParseDuration(d.TTL)
	return ttl, d.TTL != "" && err == nil
}

// Validate says what is wrong with a definition. The texts are known to users.
func (q *Query) Validate() error {
	if q.Service.Service == "" {
		return fault.Newf(fault.Invalid, "Must provide a Service name to query")
	}
	f := &q.Service.Failover
	if f.NearestN < 0 {
		return fault.Newf(fault.Invalid, "Bad NearestN '%d', must be >= 0", f.NearestN)
	}
	if len(f.Targets) > 0 && (f.NearestN != 0 || len(f.Datacenters) > 0) {
		return fault.Newf(fault.Invalid, "Targets cannot be populated with NearestN or Datacenters")
	}
	if q.DNS.TTL != "" {
		ttl, err := time.ParseDuration(q.DNS.TTL)
		if err != nil {
			return fault.Newf(fault.Invalid, "Bad DNS TTL '%s': %w", q.DNS.TTL, err)
		}
		if ttl < 0 {
			return fault.Newf(fault.Invalid, "DNS TTL '%s', must be >=0", q.DNS.TTL)
		}
	}
	for _, s := range []string{q.ID, q.Name, q.Session} {
		if strings.ContainsRune(s, 0) {
			return fault.Newf(fault.Invalid, "ID, Name and Session must not hold a NUL character")
		}
	}
	return nil
}

// Clone copies the query and all it holds.
func (q *Query) Clone() *Query {
	c := *q
	s := &c.Service
	s.IgnoreCheckIDs, s.Tags = slices.Clone(s.IgnoreCheckIDs), slices.Clone(s.Tags)
	s.NodeMeta, s.ServiceMeta = maps.Clone(s.NodeMeta), maps.Clone(s.ServiceMeta)
	s.Failover.Datacenters = slices.Clone(s.Failover.Datacenters)
	s.Failover.Targets = slices.Clone(s.Failover.Targets)
	return &c
}
