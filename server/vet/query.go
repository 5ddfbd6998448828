package vet

import (
	"consul.internal/acl"
	"consul.internal/internal/fault"
	"consul.internal/query"
)

// hiddenToken stands for a query's token where it may not be seen.
const hiddenToken = "<hidden>"

// guarded reports whether rules speak of a query. One without a name is for
// whoever knows its ID; a template without a name stands for all names.
func guarded(q *query.Query) bool { return q.Name != "" || q.IsTemplate() }

// Query refuses access to a query's definition.
func (v *Sight) Query(q *query.Query, want acl.Access) error {
	if !guarded(q) {
		return nil
	}
	return v.Need(acl.Query, q.Name, want)
}

// Lists reports whether a query stands in lists: one without a name only for who
// may see everything.
func (v *Sight) Lists(q *query.Query) bool {
	if !guarded(q) {
		return v.Allowed(acl.ACL, "", acl.Write)
	}
	return v.Sees(acl.Query, q.Name)
}

// Shown is a query without its token, but for who may see all tokens.
func (v *Sight) Shown(q *query.Query) *query.Query {
	if q.Token == "" || v.Allowed(acl.ACL, "", acl.Write) {
		return q
	}
	c := *q
	c.Token = hiddenToken
	return &c
}

// ChangeQuery refuses a change of a query: it takes the right to the query as it is,
// and as it is going to be; either may be nil.
func (v *Sight) ChangeQuery(old, next *query.Query) error {
	if next != nil {
		if err := v.Query(next, acl.Write); err != nil {
			return err
		}
		if next.Token == hiddenToken {
			return fault.Newf(fault.Invalid, "Token is %q, which stands for a token that may not be seen: give the token itself, or none", hiddenToken)
		}
	}
	if old == nil {
		return nil
	}
	return v.Query(old, acl.Write)
}
