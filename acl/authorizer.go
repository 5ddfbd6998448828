package acl

import (
	"slices"
	"strings"
)

// Authorizer decides. It is never changed.
type Authorizer struct {
	fallback  Access // of what no rule speaks of: Write or Deny
	unguarded bool   // all is allowed, tokens too
	rules     *Rules
	lengths   [resources][]int // of prefixes, the longest first
	lists     bool             // listing keys needs List
}

// Everything is an Authorizer that allows all.
func Everything() *Authorizer { return &Authorizer{fallback: Write, unguarded: true, rules: &Rules{}} }

// Options are settings of the whole datacenter.
type Options struct {
	DefaultAllow  bool // what no rule speaks of is allowed, but for tokens and policies
	KeyListPolicy bool // to list keys takes "list"
}

// NewAuthorizer returns the decision by rules.
func NewAuthorizer(rules *Rules, o Options) *Authorizer {
	a := &Authorizer{fallback: Deny, rules: rules, lists: o.KeyListPolicy}
	if o.DefaultAllow {
		a.fallback = Write
	}
	for i := range resources {
		for p := range rules.names[i].prefix {
			if !slices.Contains(a.lengths[i], len(p)) {
				a.lengths[i] = append(a.lengths[i], len(p))
			}
		}
		slices.SortFunc(a.lengths[i], func(x, y int) int { return y - x })
	}
	return a
}

// Allowed reports whether something may be read, listed or written. The name is ""
// for resources that have none.
func (a *Authorizer) Allowed(r Resource, name string, want Access) bool {
	if a.unguarded {
		return true
	}
	if want == List && !a.lists {
		want = Read
	}
	return enough(a.access(r, name), want)
}

// Under reports whether all things may be accessed whose names begin so: the
// deletion of a tree of keys needs it, and so does what shows everything.
func (a *Authorizer) Under(r Resource, prefix string, want Access) bool {
	if a.unguarded {
		return true
	}
	if !enough(a.byPrefix(r, prefix), want) {
		return false
	}
	for _, m := range []map[string]Access{a.rules.names[r].exact, a.rules.names[r].prefix} {
		for name, given := range m {
			if strings.HasPrefix(name, prefix) && !enough(given, want) {
				return false
			}
		}
	}
	return true
}

// Any reports whether there can be something of the resource that may be accessed.
func (a *Authorizer) Any(r Resource, want Access) bool {
	if a.unguarded || enough(a.byPrefix(r, ""), want) {
		return true
	}
	for _, m := range []map[string]Access{a.rules.names[r].exact, a.rules.names[r].prefix} {
		for _, given := range m {
			if enough(given, want) {
				return true
			}
		}
	}
	return false
}

func enough(given, want Access) bool { return given != Deny && given >= want }

// access is what the rule that fits best gives.
func (a *Authorizer) access(r Resource, name string) Access {
	if !r.named() {
		return a.whole(r)
	}
	if given := a.rules.names[r].exact[name]; given != None {
		return given
	}
	return a.byPrefix(r, name)
}

// whole is the access to a resource without names. The mesh and peerings are the
// operator's where no rule speaks of them; tokens need a rule always.
func (a *Authorizer) whole(r Resource) Access {
	given := a.rules.whole[r]
	switch {
	case given != None:
		return given
	case r == Mesh || r == Peering:
		return a.whole(Operator)
	case r == ACL:
		return Deny
	}
	return a.fallback
}

// byPrefix is what the longest prefix of the name gives.
func (a *Authorizer) byPrefix(r Resource, name string) Access {
	for _, n := range a.lengths[r] {
		if n <= len(name) {
			if given := a.rules.names[r].prefix[name[:n]]; given != None {
				return given
			}
		}
	}
	return a.fallback
}
