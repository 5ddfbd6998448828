package acl

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
)

// Finder knows policies and roles by ID; nil = there is none.
type Finder interface {
	FindPolicy(id string) *Policy
	FindRole(id string) *Role
}

// Grants are what a token gives, all told.
type Grants struct {
	Policies []*Policy // each once; also those that nobody wrote
	Roles    []*Role
}

// Grants gathers what the token gives, as far as it is there.
func (t *Token) Grants(find Finder) Grants {
	g := Grants{}
	g.gather(find, t.Policies, t.ServiceIdentities, t.NodeIdentities, t.TemplatedPolicies)
	for _, l := range t.Roles {
		r := find.FindRole(l.ID)
		if r == nil || slices.ContainsFunc(g.Roles, func(o *Role) bool { return o.ID == r.ID }) {
			continue
		}
		g.Roles = append(g.Roles, r)
		g.gather(find, r.Policies, r.ServiceIdentities, r.NodeIdentities, r.TemplatedPolicies)
	}
	return g
}

func (g *Grants) gather(find Finder, links []Link, services []ServiceIdentity, nodes []NodeIdentity, templated []TemplatedPolicy) {
	for _, l := range links {
		g.add(find.FindPolicy(l.ID))
	}
	for i := range services {
		g.add(services[i].Policy())
	}
	for i := range nodes {
		g.add(nodes[i].Policy())
	}
	for i := range templated {
		g.add(templated[i].Policy())
	}
}

// add puts a policy in, once. Synthetic ones with the same rules but for other
// datacenters are two.
func (g *Grants) add(p *Policy) {
	if p == nil || slices.ContainsFunc(g.Policies, func(o *Policy) bool { return o.ID == p.ID && slices.Equal(o.Datacenters, p.Datacenters) }) {
		return
	}
	g.Policies = append(g.Policies, p)
}

// Authorizer is the decision that follows from the grants in a datacenter. A
// policy that cannot be read is an error: leaving it out might allow what it denies.
func (g Grants) Authorizer(datacenter string, o Options) (*Authorizer, error) {
	var all []*Rules
	for _, p := range g.Policies {
		if !p.Counts(datacenter) {
			continue
		}
		r, err := Parse(p.Rules)
		if err != nil {
			return nil, fmt.Errorf("policy %q: %w", p.Name, err)
		}
		all = append(all, r)
	}
	return NewAuthorizer(Merge(all...), o), nil
}

// Sum stands for what the grants come to in a datacenter: others for other rules.
func (g Grants) Sum(datacenter string) string {
	h := sha256.New()
	policies := slices.Clone(g.Policies)
	slices.SortFunc(policies, func(x, y *Policy) int { return cmp.Or(cmp.Compare(x.ID, y.ID), cmp.Compare(x.Rules, y.Rules)) })
	for _, p := range policies {
		if p.Counts(datacenter) {
			fmt.Fprintf(h, "%d:%s", len(p.Rules), p.Rules)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Refusal is what who may not do something is told; accessor is that of his token.
func Refusal(accessor string, r Resource, name string, want Access) string {
	what := fmt.Sprintf("lacks permission '%s:%s'", r, want)
	if name != "" {
		what += fmt.Sprintf(" on %q", name)
	}
	if accessor == AnonymousID {
		return "Permission denied: anonymous token " + what + ". The anonymous token is used implicitly when a request does not specify a token."
	}
	return fmt.Sprintf("Permission denied: token with AccessorID '%s' %s", accessor, what)
}
