package vet

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"consul.internal/acl"
	"consul.internal/store/state"
	"consul.internal/view"
)

// names is what an authorizer lets see of names; rules stand for it.
func names(a *acl.Authorizer, rules string) view.Sight {
	if a.Under(acl.Service, "", acl.Read) && a.Under(acl.Node, "", acl.Read) {
		return view.Sight{Rules: "all"}
	}
	return view.Sight{
		Service: func(name string) bool { return a.Allowed(acl.Service, name, acl.Read) },
		Node:    func(name string) bool { return a.Allowed(acl.Node, name, acl.Read) },
		Rules:   rules,
	}
}

// rulesOf stands for what a token grants in a datacenter: others for other policies.
func rulesOf(b *Bearer, now state.ACLs, datacenter string) string {
	t := b.Token
	if now.Token(t.AccessorID) == nil && t.AccessorID != acl.AnonymousID {
		return fmt.Sprintf("%p", b.Auth) // another datacenter's: what it said holds for a time
	}
	h := sha256.New()
	policies := t.Grants(now).Policies
	slices.SortFunc(policies, func(x, y *acl.Policy) int { return slices.Compare([]byte(x.ID), []byte(y.ID)) })
	for _, p := range policies {
		if p.Counts(datacenter) {
			fmt.Fprintf(h, "%d:%s", len(p.Rules), p.Rules)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
