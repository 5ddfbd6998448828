package vet

import (
	"consul.internal/acl"
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
