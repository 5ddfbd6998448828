package state

import (
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/go-memdb"

	"consul.internal/acl"
	"consul.internal/internal/fault"
)

func (f *fixture) acl(fn func(ACLWriter) error) (uint64, error) {
	return f.do(func(tx *Txn) error { return fn(ACLWriter{tx}) })
}

func TestTokensByBothKeys(t *testing.T) {
	f := newFixture(t)
	put := func(accessor, secret string, update bool) error {
		_, err := f.acl(func(w ACLWriter) error {
			return w.PutToken(&acl.Token{AccessorID: accessor, SecretID: secret}, update)
		})
		return err
	}
	if _, err := f.acl(func(w ACLWriter) error { return w.PutPolicy(&acl.Policy{ID: "p", Name: "p"}) }); err != nil {
		t.Fatal(err)
	}
	ws := memdb.NewWatchSet()
	before := f.ACLs(ws).Stamp()
	if err := put("A", "s", false); err != nil {
		t.Fatal(err)
	}
	if fired(ws) || f.ACLs(nil).Stamp() != before {
		t.Error("a token that nobody has used yet changes what others may do")
	}
	if err := put("a", "other", false); !errors.Is(err, fault.Conflict) {
		t.Errorf("the same accessor: %v", err)
	}
	if err := put("b", "s", false); !errors.Is(err, fault.Conflict) {
		t.Errorf("the same secret: %v", err)
	}
	if err := put("c", "u", true); !errors.Is(err, fault.NotFound) {
		t.Errorf("one that is not there: %v", err)
	}
	if err := put("a", "t", true); err != nil {
		t.Fatal(err)
	}
	if !fired(ws) || f.ACLs(nil).Stamp() == before {
		t.Error("nobody learns of a change")
	}
	now := f.ACLs(nil)
	if now.TokenBySecret("s") != nil || now.TokenBySecret("t") == nil || now.Token("A").CreateIndex == now.Token("a").ModifyIndex {
		t.Errorf("after a change: %+v", now.Token("a"))
	}
	if _, err := f.acl(func(w ACLWriter) error { w.DeleteToken("a"); w.DeleteToken("a"); return nil }); err != nil {
		t.Fatal(err)
	}
	if f.ACLs(nil).TokenBySecret("t") != nil {
		t.Error("it is still there")
	}
}

func TestEndedTokens(t *testing.T) {
	f := newFixture(t)
	now := time.Unix(1_700_000_000, 0)
	for name, after := range map[string]time.Duration{"early": -time.Minute, "now": 0, "late": time.Minute} {
		end := now.Add(after)
		if _, err := f.acl(func(w ACLWriter) error {
			return w.PutToken(&acl.Token{AccessorID: name, SecretID: name, ExpirationTime: &end}, false)
		}); err != nil {
			t.Fatal(err)
		}
	}
	if got := f.ACLs(nil).Expired(now, 9); len(got) != 2 || got[0] != "early" || got[1] != "now" {
		t.Errorf("ended: %v", got)
	}
	if got := f.ACLs(nil).Expired(now, 1); len(got) != 1 {
		t.Errorf("one of them: %v", got)
	}
}

func TestNamesOfPoliciesAndRoles(t *testing.T) {
	f := newFixture(t)
	steps := []struct {
		do   func(ACLWriter) error
		want error
	}{
		{func(w ACLWriter) error { return w.PutPolicy(&acl.Policy{ID: "1", Name: "p"}) }, nil},
		{func(w ACLWriter) error { return w.PutPolicy(&acl.Policy{ID: "2", Name: "P"}) }, fault.Conflict},
		{func(w ACLWriter) error { return w.PutPolicy(&acl.Policy{ID: "1", Name: "q"}) }, nil},
		{func(w ACLWriter) error { return w.PutPolicy(&acl.Policy{ID: "2", Name: "p"}) }, nil},
		{func(w ACLWriter) error { return w.PutRole(&acl.Role{ID: "1", Name: "r"}) }, nil},
		{func(w ACLWriter) error { return w.PutRole(&acl.Role{ID: "2", Name: "R"}) }, fault.Conflict},
		{func(w ACLWriter) error { w.DeleteRole("1"); w.DeletePolicy("1"); return nil }, nil},
		{func(w ACLWriter) error { return w.PutRole(&acl.Role{ID: "2", Name: "R"}) }, nil},
	}
	for i, s := range steps {
		if _, err := f.acl(s.do); !errors.Is(err, s.want) {
			t.Errorf("step %d: %v, want %v", i, err, s.want)
		}
	}
	now := f.ACLs(nil)
	if now.PolicyNamed("q") != nil || now.PolicyNamed("p").ID != "2" || now.RoleNamed("r").ID != "2" {
		t.Error("names lead to the wrong records")
	}
}

func TestBootstrapIndex(t *testing.T) {
	f := newFixture(t)
	boot := func(id string, reset uint64) error {
		_, err := f.acl(func(w ACLWriter) error { return w.Bootstrap(&acl.Token{AccessorID: id, SecretID: id}, reset) })
		return err
	}
	if err := boot("1", 0); err != nil {
		t.Fatal(err)
	}
	at := f.ACLs(nil).Bootstrapped()
	if err := boot("2", at+1); !errors.Is(err, fault.Denied) || f.ACLs(nil).Token("2") != nil {
		t.Errorf("again: %v", err)
	}
	if err := boot("3", at); err != nil || f.ACLs(nil).Bootstrapped() <= at {
		t.Errorf("with its index: %v", err)
	}
}
