package state

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-memdb"

	"consul.internal/acl"
	"consul.internal/internal/fault"
)

const (
	// Each table's name is also the key of its index.
	tableTokens   = "acl-tokens"
	tablePolicies = "acl-policies"
	tableRoles    = "acl-roles"
	bySecret      = "secret"
	byExpiry      = "expiry"
	byName        = "name"
	keyACL        = "acl"           // anything that decides who may do what
	keyBootstrap  = "acl-bootstrap" // Index is that of the bootstrap
)

func tokenTable() table {
	return table{
		record: func() any { return new(acl.Token) },
		schema: &memdb.TableSchema{Name: tableTokens, Indexes: indexSchemas(
			by(primary, true, func(t *acl.Token) (string, bool) { return idKey(t.AccessorID), true }),
			by(bySecret, true, func(t *acl.Token) (string, bool) { return joined(t.SecretID), true }),
			by(byExpiry, false, func(t *acl.Token) (string, bool) {
				if t.ExpirationTime == nil {
					return "", false
				}
				return fmt.Sprintf("%016x", max(t.ExpirationTime.Unix(), 0)), true
			}),
		)},
	}
}

func policyTable() table {
	return table{
		record: func() any { return new(acl.Policy) },
		schema: &memdb.TableSchema{Name: tablePolicies, Indexes: indexSchemas(
			by(primary, true, func(p *acl.Policy) (string, bool) { return idKey(p.ID), true }),
			by(byName, true, func(p *acl.Policy) (string, bool) { return idKey(p.Name), true }),
		)},
	}
}

func roleTable() table {
	return table{
		record: func() any { return new(acl.Role) },
		schema: &memdb.TableSchema{Name: tableRoles, Indexes: indexSchemas(
			by(primary, true, func(r *acl.Role) (string, bool) { return idKey(r.ID), true }),
			by(byName, true, func(r *acl.Role) (string, bool) { return idKey(r.Name), true }),
		)},
	}
}

// idKey makes IDs and names the same in all spellings of case.
func idKey(id string) string { return joined(strings.ToLower(id)) }

// ACLs reads tokens, policies and roles. It is an acl.Finder.
type ACLs struct {
	tx   *memdb.Txn
	ws   memdb.WatchSet
	life *database
}

// ACLs gives the tokens, policies and roles as they are now, together. What is
// looked at is watched through ws, which may be nil.
func (s *State) ACLs(ws memdb.WatchSet) ACLs {
	db := s.db.Load()
	ws.Add(db.abandoned)
	return ACLs{db.Txn(false), ws, db}
}

// ACLStamp stands for all that decides who may do what: it is another one when
// any of that may have changed. They are compared by ==.
type ACLStamp struct {
	life  *database // after a restore the same index may say something else
	index uint64
}

// Stamp is that of now.
func (r ACLs) Stamp() ACLStamp { return ACLStamp{r.life, indexAt(r.tx, r.ws, keyACL, nil)} }

// TokenIndex is that of the last change of any token. A new one is no change of what
// the others may do, but somebody may have waited for it.
func (r ACLs) TokenIndex() uint64 { return indexAt(r.tx, r.ws, tableTokens, nil) }

// Bootstrapped is the index at which the first token was made; 0 = it was not.
func (r ACLs) Bootstrapped() uint64 {
	row, ok := first[*indexRow](r.tx, tableIndexes, primary, joined(keyBootstrap))
	if !ok {
		return 0
	}
	return row.Index
}

// MayBootstrap refuses a bootstrap that would not happen now. Whether it happens is
// decided when it is applied.
func (r ACLs) MayBootstrap(reset uint64) error {
	row, _ := first[*indexRow](r.tx, tableIndexes, primary, joined(keyBootstrap))
	return mayBootstrap(row, reset)
}

// Token returns the token of an accessor, nil if there is none.
func (r ACLs) Token(accessor string) *acl.Token {
	t, _ := watched[*acl.Token](r.tx, r.ws, tableTokens, primary, idKey(accessor))
	return t
}

// TokenBySecret returns the token of a secret, nil if there is none.
func (r ACLs) TokenBySecret(secret string) *acl.Token {
	t, _ := watched[*acl.Token](r.tx, r.ws, tableTokens, bySecret, joined(secret))
	return t
}

// Tokens returns all tokens by accessor.
func (r ACLs) Tokens() (uint64, []*acl.Token) { return allOf[*acl.Token](r, tableTokens) }

// Policies returns all policies by ID.
func (r ACLs) Policies() (uint64, []*acl.Policy) { return allOf[*acl.Policy](r, tablePolicies) }

// Roles returns all roles by ID.
func (r ACLs) Roles() (uint64, []*acl.Role) { return allOf[*acl.Role](r, tableRoles) }

func allOf[T any](r ACLs, table string) (uint64, []T) {
	return indexAt(r.tx, r.ws, table, nil), slices.Collect(under[T](r.tx, table, primary, ""))
}

// Expired returns accessors of tokens whose time was over at a moment, at most so many.
func (r ACLs) Expired(now time.Time, most int) (accessors []string) {
	for t := range under[*acl.Token](r.tx, tableTokens, byExpiry, "") {
		if !t.Expired(now) || len(accessors) == most {
			break
		}
		accessors = append(accessors, t.AccessorID)
	}
	return accessors
}

// FindPolicy returns the policy of an ID, nil if there is none.
func (r ACLs) FindPolicy(id string) *acl.Policy {
	p, _ := watched[*acl.Policy](r.tx, r.ws, tablePolicies, primary, idKey(id))
	return p
}

// PolicyNamed returns the policy of a name, nil if there is none.
func (r ACLs) PolicyNamed(name string) *acl.Policy {
	p, _ := watched[*acl.Policy](r.tx, r.ws, tablePolicies, byName, idKey(name))
	return p
}

// FindRole returns the role of an ID, nil if there is none.
func (r ACLs) FindRole(id string) *acl.Role {
	o, _ := watched[*acl.Role](r.tx, r.ws, tableRoles, primary, idKey(id))
	return o
}

// RoleNamed returns the role of a name, nil if there is none.
func (r ACLs) RoleNamed(name string) *acl.Role {
	o, _ := watched[*acl.Role](r.tx, r.ws, tableRoles, byName, idKey(name))
	return o
}

// ACLWriter changes tokens, policies and roles in a transaction.
type ACLWriter struct{ *Txn }

func (t ACLWriter) changed(table string) {
	t.raise(keyACL)
	t.raise(table)
}

// replace puts n in the place of the row with its key, if there is one, whose other keys
// may differ. created and modified are n's indexes; since gives that of the old row.
func replace[T any](t ACLWriter, table, key string, n *T, created, modified *uint64, since func(*T) uint64) {
	*created, *modified = t.index, t.index
	if old, ok := get[*T](t, table, key); ok {
		*created = since(old)
		t.remove(table, key, old)
	}
	t.put(table, key, n)
}

// drop takes the row of a key away, and tells whether there was one.
func drop[T any](t ACLWriter, table, key string) bool {
	old, ok := get[*T](t, table, key)
	if ok {
		t.remove(table, key, old)
	}
	return ok
}

// Bootstrap makes the first token. That is done once, and again only for who can
// name the index of the last time.
func (t ACLWriter) Bootstrap(token *acl.Token, reset uint64) error {
	row, _ := get[*indexRow](t, tableIndexes, joined(keyBootstrap))
	if err := mayBootstrap(row, reset); err != nil {
		return err
	}
	if err := t.PutToken(token, false); err != nil {
		return err
	}
	// Not raised, which is written with the transaction: its next entry may be another bootstrap.
	t.putIndex(indexRow{Key: keyBootstrap, Index: t.index})
	return nil
}

func mayBootstrap(last *indexRow, reset uint64) error {
	if last != nil && last.Index != reset {
		return fault.Newf(fault.Denied, "Permission denied: ACL bootstrap no longer allowed (reset index: %d)", last.Index)
	}
	return nil
}

// HasToken reports whether there is a token of an accessor.
func (t ACLWriter) HasToken(accessor string) bool {
	_, ok := get[*acl.Token](t, tableTokens, idKey(accessor))
	return ok
}

// PutToken creates or replaces a token, which has been found right by itself.
// With update there must be one of its accessor, and without there must not.
func (t ACLWriter) PutToken(in *acl.Token, update bool) error {
	key := idKey(in.AccessorID)
	_, exists := get[*acl.Token](t, tableTokens, key)
	switch {
	case exists && !update:
		return fault.Newf(fault.Conflict, "Invalid Token: AccessorID is already in use")
	case !exists && update:
		return fault.Newf(fault.NotFound, "Cannot find token %q", in.AccessorID)
	}
	if other, taken := first[*acl.Token](t.reader(tableTokens), tableTokens, bySecret, joined(in.SecretID)); taken && idKey(other.AccessorID) != key {
		return fault.Newf(fault.Conflict, "Invalid Token: SecretID is already in use")
	}
	n := *in
	replace(t, tableTokens, key, &n, &n.CreateIndex, &n.ModifyIndex, func(old *acl.Token) uint64 { return old.CreateIndex })
	// A new token changes what nobody may do but its owner, of whom nobody knew. The
	// anonymous one was there before it was written.
	if exists || strings.EqualFold(in.AccessorID, acl.AnonymousID) {
		t.raise(keyACL)
	}
	t.raise(tableTokens)
	return nil
}

// DeleteToken takes a token away; that there is none is no failure.
func (t ACLWriter) DeleteToken(accessor string) {
	if drop[acl.Token](t, tableTokens, idKey(accessor)) {
		t.changed(tableTokens)
	}
}

// PutPolicy creates or replaces a policy, which has been found right by itself.
func (t ACLWriter) PutPolicy(in *acl.Policy) error {
	key := idKey(in.ID)
	if other, taken := first[*acl.Policy](t.reader(tablePolicies), tablePolicies, byName, idKey(in.Name)); taken && idKey(other.ID) != key {
		return fault.Newf(fault.Conflict, "Invalid Policy: A Policy with Name %q already exists", in.Name)
	}
	n := *in
	replace(t, tablePolicies, key, &n, &n.CreateIndex, &n.ModifyIndex, func(old *acl.Policy) uint64 { return old.CreateIndex })
	t.changed(tablePolicies)
	return nil
}

// DeletePolicy takes a policy away; that there is none is no failure. Who links
// to it is left with nothing of it.
func (t ACLWriter) DeletePolicy(id string) {
	if drop[acl.Policy](t, tablePolicies, idKey(id)) {
		t.changed(tablePolicies)
	}
}

// PutRole creates or replaces a role, which has been found right by itself.
func (t ACLWriter) PutRole(in *acl.Role) error {
	key := idKey(in.ID)
	if other, taken := first[*acl.Role](t.reader(tableRoles), tableRoles, byName, idKey(in.Name)); taken && idKey(other.ID) != key {
		return fault.Newf(fault.Conflict, "Invalid Role: A Role with Name %q already exists", in.Name)
	}
	n := *in
	replace(t, tableRoles, key, &n, &n.CreateIndex, &n.ModifyIndex, func(old *acl.Role) uint64 { return old.CreateIndex })
	t.changed(tableRoles)
	return nil
}

// DeleteRole takes a role away; that there is none is no failure.
func (t ACLWriter) DeleteRole(id string) {
	if drop[acl.Role](t, tableRoles, idKey(id)) {
		t.changed(tableRoles)
	}
}
