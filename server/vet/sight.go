package vet

import (
	"consul.internal/acl"
	"consul.internal/catalog"
	"consul.internal/kv"
)

// Sight is what whoever makes a request may see and do, as the rules are now.
type Sight struct {
	*acl.Bearer
	Hidden bool // something was left out
}

// Masked reports whether it is kept secret that something was left out: who shows
// no token learns nothing of what there is.
func (v *Sight) Masked() bool { return v.Accessor == acl.AnonymousID }

// Sees reports whether something may be read.
func (v *Sight) Sees(r acl.Resource, name string) bool { return v.Allowed(r, name, acl.Read) }

// Node reports whether a node may be seen.
func (v *Sight) Node(n *catalog.Node) bool { return v.Sees(acl.Node, n.Name) }

// Instance reports whether an instance may be seen: it takes its service and its node.
func (v *Sight) Instance(i *catalog.Instance) bool {
	return v.Sees(acl.Service, i.Service.Name) && v.Sees(acl.Node, i.Node.Name)
}

// Check: one of a service is the service's, any other the node's.
func (v *Sight) Check(c *catalog.Check) bool {
	return v.Sees(acl.Node, c.Node) && (c.ServiceName == "" || v.Sees(acl.Service, c.ServiceName))
}

// Visible leaves out what may not be seen, and remembers that it did. What it is
// given stays as it is.
func Visible[T any](v *Sight, items []T, sees func(T) bool) []T {
	for _, item := range items {
		if !sees(item) {
			v.Hidden = true
			var kept []T
			for _, item := range items {
				if sees(item) {
					kept = append(kept, item)
				}
			}
			return kept
		}
	}
	return items
}

// Session reports whether a session may be seen.
func (v *Sight) Session(s *kv.Session) bool { return v.Sees(acl.Session, s.Node) }

// Result reports whether a transaction's result may be seen. Of a tree of keys some
// may not be read; all else was asked for by name.
func (v *Sight) Result(r kv.Result) bool { return r.KV == nil || v.Sees(acl.Key, r.KV.Key) }

// Services leaves out the services that may not be seen. What it is given
// stays as it is.
func Services(v *Sight, all map[string][]string) map[string][]string {
	seen := make(map[string][]string, len(all))
	for name, tags := range all {
		if v.Sees(acl.Service, name) {
			seen[name] = tags
		}
	}
	v.Hidden = v.Hidden || len(seen) < len(all)
	return seen
}
