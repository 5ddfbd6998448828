package state

import (
	"errors"
	"testing"

	"consul.internal/acl"
	"consul.internal/internal/fault"
)

// With a method go its rules and all who came by it, and nobody else.
func TestDeletedMethod(t *testing.T) {
	f := newFixture(t)
	token := func(id, method string) *acl.Token {
		return &acl.Token{AccessorID: id, SecretID: id, AuthMethod: method}
	}
	if _, err := f.acl(func(w ACLWriter) error {
		w.PutMethod(&acl.AuthMethod{Name: "one"})
		w.PutMethod(&acl.AuthMethod{Name: "one-more"})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	at := f.ACLs(nil).Method("ONE").ModifyIndex
	if _, err := f.acl(func(w ACLWriter) error {
		return errors.Join(
			w.PutBinding(&acl.BindingRule{ID: "b1", AuthMethod: "one"}),
			w.PutBinding(&acl.BindingRule{ID: "b2", AuthMethod: "one-more"}),
			w.Login(token("t1", "one"), at), w.Login(token("t2", "one-more"), at), w.PutToken(token("t3", ""), false))
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.acl(func(w ACLWriter) error { return w.Login(token("t4", "one"), at+100) }); !errors.Is(err, fault.Conflict) {
		t.Errorf("a login by a method that has changed: %v", err)
	}
	if _, err := f.acl(func(w ACLWriter) error { return w.PutBinding(&acl.BindingRule{ID: "b3", AuthMethod: "none"}) }); !errors.Is(err, fault.Invalid) {
		t.Errorf("a rule of no method: %v", err)
	}
	stamp := f.ACLs(nil).Stamp()
	if _, err := f.acl(func(w ACLWriter) error { w.DeleteMethod("One"); w.DeleteMethod("none"); return nil }); err != nil {
		t.Fatal(err)
	}
	now := f.ACLs(nil)
	if now.Method("one") != nil || now.Binding("b1") != nil || now.Token("t1") != nil || now.Stamp() == stamp {
		t.Error("something of the method is left, or nobody learns of it")
	}
	if _, rules := now.Bindings(""); len(rules) != 1 || now.Method("one-more") == nil || now.Token("t2") == nil || now.Token("t3") == nil {
		t.Error("something of others is gone")
	}
}
