package state

import (
	"strings"

	"github.com/hashicorp/go-memdb"

	"consul.internal/acl"
	"consul.internal/internal/fault"
)

const (
	// Each table's name is also the key of its index.
	tableMethods  = "acl-auth-methods"
	tableBindings = "acl-binding-rules"
	byMethod      = "method"
)

func methodTable() table {
	return table{
		record: func() any { return new(acl.AuthMethod) },
		schema: &memdb.TableSchema{Name: tableMethods, Indexes: indexSchemas(
			by(primary, true, func(m *acl.AuthMethod) (string, bool) { return idKey(m.Name), true }),
		)},
	}
}

func bindingTable() table {
	return table{
		record: func() any { return new(acl.BindingRule) },
		schema: &memdb.TableSchema{Name: tableBindings, Indexes: indexSchemas(
			by(primary, true, func(b *acl.BindingRule) (string, bool) { return idKey(b.ID), true }),
			by(byMethod, false, func(b *acl.BindingRule) (string, bool) { return idKey(b.AuthMethod), true }),
		)},
	}
}

// Methods returns all auth methods by name.
func (r ACLs) Methods() (uint64, []*acl.AuthMethod) { return allOf[*acl.AuthMethod](r, tableMethods) }

// Method returns the auth method of a name, nil if there is none.
func (r ACLs) Method(name string) *acl.AuthMethod {
	m, _ := watched[*acl.AuthMethod](r.tx, r.ws, tableMethods, primary, idKey(name))
	return m
}

// Binding returns the binding rule of an ID, nil if there is none.
func (r ACLs) Binding(id string) *acl.BindingRule {
	b, _ := watched[*acl.BindingRule](r.tx, r.ws, tableBindings, primary, idKey(id))
	return b
}

// Bindings returns the binding rules of a method; "" is all methods.
func (r ACLs) Bindings(method string) (index uint64, all []*acl.BindingRule) {
	index, found := allOf[*acl.BindingRule](r, tableBindings)
	for _, b := range found {
		if method == "" || strings.EqualFold(b.AuthMethod, method) {
			all = append(all, b)
		}
	}
	return index, all
}

// PutMethod creates or replaces an auth method, which has been found right by itself.
func (t ACLWriter) PutMethod(in *acl.AuthMethod) {
	n := *in
	replace(t, tableMethods, idKey(in.Name), &n, &n.CreateIndex, &n.ModifyIndex, func(old *acl.AuthMethod) uint64 { return old.CreateIndex })
	t.raise(tableMethods)
}

// DeleteMethod takes an auth method away, and all that came by it: its binding
// rules and the tokens of who logged in there.
func (t ACLWriter) DeleteMethod(name string) {
	key := idKey(name)
	if !drop[acl.AuthMethod](t, tableMethods, key) {
		return
	}
	t.raise(tableMethods)
	var rules []string
	for b := range every[*acl.BindingRule](t.reader(tableBindings), tableBindings, byMethod, key) {
		rules = append(rules, b.ID)
	}
	for _, id := range rules {
		t.DeleteBinding(id)
	}
	var tokens []string
	for o := range under[*acl.Token](t.reader(tableTokens), tableTokens, primary, "") {
		if o.AuthMethod != "" && idKey(o.AuthMethod) == key {
			tokens = append(tokens, o.AccessorID)
		}
	}
	for _, accessor := range tokens {
		t.DeleteToken(accessor)
	}
}

// PutBinding creates or replaces a binding rule of a method that there is.
func (t ACLWriter) PutBinding(in *acl.BindingRule) error {
	if _, ok := get[*acl.AuthMethod](t, tableMethods, idKey(in.AuthMethod)); !ok {
		return fault.Newf(fault.Invalid, "cannot find auth method with name %q", in.AuthMethod)
	}
	n := *in
	replace(t, tableBindings, idKey(in.ID), &n, &n.CreateIndex, &n.ModifyIndex, func(old *acl.BindingRule) uint64 { return old.CreateIndex })
	t.raise(tableBindings)
	return nil
}

// DeleteBinding takes a binding rule away; that there is none is no failure.
func (t ACLWriter) DeleteBinding(id string) {
	if drop[acl.BindingRule](t, tableBindings, idKey(id)) {
		t.raise(tableBindings)
	}
}

// Login makes the token of who came by a method, if that method still is as it was
// when it judged him.
func (t ACLWriter) Login(in *acl.Token, methodIndex uint64) error {
	m, ok := get[*acl.AuthMethod](t, tableMethods, idKey(in.AuthMethod))
	if !ok || m.ModifyIndex != methodIndex {
		return fault.Newf(fault.Conflict, "auth method %q has just been changed: log in again", in.AuthMethod)
	}
	return t.PutToken(in, false)
}
