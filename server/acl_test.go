package server_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/acl"
	"consul.internal/internal/fault"
	"consul.internal/rpc"
	"consul.internal/server"
	"consul.internal/store"
)

const master = "aaaaaaaa-0000-0000-0000-00000000000a"

// guarded opens a server with ACLs whose leader has done its first duty.
func guarded(t *testing.T, change func(*server.Config)) (*server.Server, *store.Store) {
	t.Helper()
	s, st := openAs(t, true, 20*time.Second, func(c *server.Config, _ *server.Deps) {
		c.ACL = server.ACL{Enabled: true, InitialManagement: master}
		change(c)
	})
	s.BootstrapACL(t.Context())
	return s, st
}

func by(secret string) rpc.Target { return rpc.Target{Token: secret} }

func asking(secret string) rpc.ReadOptions { return rpc.ReadOptions{Target: by(secret)} }

func writing(secret string) rpc.ACLWrite { return rpc.ACLWrite{Target: by(secret)} }

func do[Req, Resp any](t *testing.T, c rpc.Caller, m rpc.Method[Req, Resp], in *Req) *Resp {
	t.Helper()
	out, err := rpc.Call(t.Context(), c, m, in)
	if err != nil {
		t.Fatalf("%s: %v", m.Name, err)
	}
	return out
}

func denied[Req, Resp any](t *testing.T, c rpc.Caller, m rpc.Method[Req, Resp], in *Req, kind fault.Kind, text string) {
	t.Helper()
	_, err := rpc.Call(t.Context(), c, m, in)
	if !errors.Is(err, kind) || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: %v, want %s: %s", m.Name, err, kind, text)
	}
}

func policy(t *testing.T, s rpc.Caller, name, rules string) *acl.Policy {
	t.Helper()
	return do(t, s, rpc.ACLPolicySet, &rpc.ACLPolicySetRequest{ACLWrite: writing(master), Set: acl.Policy{Name: name, Rules: rules}}).Policy
}

func TestFirstTokens(t *testing.T) {
	s, st := guarded(t, func(*server.Config) {})
	all := do(t, s, rpc.ACLTokenList, &rpc.ACLTokenListRequest{ReadOptions: asking(master)}).Tokens
	if len(all) != 2 || all[0].AccessorID != acl.AnonymousID && all[1].AccessorID != acl.AnonymousID {
		t.Errorf("tokens: %+v", all)
	}
	if n := len(do(t, s, rpc.ACLPolicyList, &rpc.ACLListRequest{ReadOptions: asking(master)}).Policies); n != 2 {
		t.Errorf("%d policies", n)
	}
	before := st.State().Index()
	s.BootstrapACL(t.Context())
	if st.State().Index() != before {
		t.Error("what is there was written again")
	}
	denied(t, s, rpc.ACLBootstrap, &rpc.ACLBootstrapRequest{}, fault.Denied, "ACL bootstrap no longer allowed (reset index: ")
	for _, in := range []*rpc.ACLDeleteRequest{{ID: acl.AnonymousID}, {ID: "x"}} {
		in.ACLWrite = writing(master)
		denied(t, s, rpc.ACLTokenDelete, in, fault.Invalid, "")
	}
	denied(t, s, rpc.ACLPolicyDelete, &rpc.ACLDeleteRequest{ACLWrite: writing(master), ID: acl.ManagementID}, fault.Invalid, "builtin global-management")
}

func TestBootstrapOnceAndAgain(t *testing.T) {
	reset := uint64(0)
	s, st := guarded(t, func(c *server.Config) {
		c.ACL.InitialManagement = ""
		c.ACL.TakeReset = func() uint64 { return reset }
	})
	first := do(t, s, rpc.ACLBootstrap, &rpc.ACLBootstrapRequest{}).Token
	if first.SecretID == "" || first.Policies[0].Name != acl.ManagementName {
		t.Errorf("first: %+v", first)
	}
	denied(t, s, rpc.ACLBootstrap, &rpc.ACLBootstrapRequest{}, fault.Denied, "reset index")
	reset = st.State().ACLs(nil).Bootstrapped()
	second := do(t, s, rpc.ACLBootstrap, &rpc.ACLBootstrapRequest{Secret: master}).Token
	if second.SecretID != master || second.AccessorID == first.AccessorID {
		t.Errorf("second: %+v", second)
	}
	denied(t, s, rpc.ACLBootstrap, &rpc.ACLBootstrapRequest{}, fault.Denied, "reset index") // the same index serves once
}

func TestRefusals(t *testing.T) {
	s, _ := guarded(t, func(*server.Config) {})
	reader := policy(t, s, "reader", `acl = "read"`)
	token := do(t, s, rpc.ACLTokenSet, &rpc.ACLTokenSetRequest{ACLWrite: writing(master), Set: acl.Token{Policies: []acl.Link{{Name: "reader"}}}}).Token
	anonymous := "anonymous token lacks permission 'acl:read'. The anonymous token is used implicitly when a request does not specify a token."
	denied(t, s, rpc.ACLTokenList, &rpc.ACLTokenListRequest{}, fault.Denied, anonymous)
	denied(t, s, rpc.ACLRoleList, &rpc.ACLListRequest{}, fault.Denied, anonymous)
	denied(t, s, rpc.ACLPermitted, &rpc.ACLPermittedRequest{Access: acl.Read}, fault.Denied, anonymous)
	denied(t, s, rpc.ACLTokenList, &rpc.ACLTokenListRequest{ReadOptions: asking("nobody's")}, fault.Denied, "ACL not found")
	denied(t, s, rpc.ACLTokenSet, &rpc.ACLTokenSetRequest{ACLWrite: writing(token.SecretID)}, fault.Denied,
		"token with AccessorID '"+token.AccessorID+"' lacks permission 'acl:write'")
	denied(t, s, rpc.ACLTokenGet, &rpc.ACLTokenGetRequest{}, fault.Denied, "token does not exist: ACL not found")
	for _, x := range do(t, s, rpc.ACLTokenList, &rpc.ACLTokenListRequest{ReadOptions: asking(token.SecretID)}).Tokens {
		if x.SecretID != "<hidden>" {
			t.Errorf("who may only read sees the secret of %s", x.AccessorID)
		}
	}
	if own := do(t, s, rpc.ACLTokenGet, &rpc.ACLTokenGetRequest{ReadOptions: asking(token.SecretID)}); own.Token.SecretID != token.SecretID {
		t.Error("its bearer does not see his token")
	}
	do(t, s, rpc.ACLPolicyDelete, &rpc.ACLDeleteRequest{ACLWrite: writing(master), ID: reader.ID})
	denied(t, s, rpc.ACLTokenList, &rpc.ACLTokenListRequest{ReadOptions: asking(token.SecretID)}, fault.Denied, "lacks permission 'acl:read'")
	if left := do(t, s, rpc.ACLTokenGet, &rpc.ACLTokenGetRequest{ReadOptions: asking(master), Accessor: token.AccessorID}); len(left.Token.Policies) != 0 {
		t.Errorf("a link to nothing is shown: %+v", left.Token.Policies)
	}
	do(t, s, rpc.ACLTokenDelete, &rpc.ACLDeleteRequest{ACLWrite: writing(master), ID: token.AccessorID})
	denied(t, s, rpc.ACLTokenList, &rpc.ACLTokenListRequest{ReadOptions: asking(token.SecretID)}, fault.Denied, "ACL not found")
}

// Who waits for news loses the right to them at once.
func TestRevokedWhileWaiting(t *testing.T) {
	s, _ := guarded(t, func(*server.Config) {})
	policy(t, s, "reader", `acl = "read"`)
	token := do(t, s, rpc.ACLTokenSet, &rpc.ACLTokenSetRequest{ACLWrite: writing(master), Set: acl.Token{Policies: []acl.Link{{Name: "reader"}}}}).Token
	in := &rpc.ACLListRequest{ReadOptions: asking(token.SecretID)}
	in.MinIndex = do(t, s, rpc.ACLPolicyList, in).Index
	ended := make(chan error, 1)
	go func() {
		_, err := rpc.Call(t.Context(), s, rpc.ACLPolicyList, in)
		ended <- err
	}()
	do(t, s, rpc.ACLTokenDelete, &rpc.ACLDeleteRequest{ACLWrite: writing(master), ID: token.AccessorID})
	if err := <-ended; !errors.Is(err, fault.Denied) {
		t.Errorf("it ended with %v", err)
	}
}

func TestTokenRules(t *testing.T) {
	s, _ := guarded(t, func(*server.Config) {})
	policy(t, s, "p", "")
	soon := time.Now().Add(time.Second)
	for text, in := range map[string]rpc.ACLTokenSetRequest{
		"SecretID - not a valid UUID":                      {Set: acl.Token{SecretID: "short"}},
		"AccessorID - not a valid UUID":                    {Set: acl.Token{AccessorID: "short"}},
		"SecretID is already in use":                       {Set: acl.Token{SecretID: master}},
		"AccessorID is already in use":                     {Set: acl.Token{AccessorID: acl.AnonymousID}},
		`No such ACL policy with name "none"`:              {Set: acl.Token{Policies: []acl.Link{{Name: "none"}}}},
		`No such ACL role with name "none"`:                {Set: acl.Token{Roles: []acl.Link{{Name: "none"}}}},
		"cannot be less than 1m0s in the future (was 1s)":  {TTL: time.Second},
		"cannot be more than 24h0m0s in the future (was 4": {TTL: 48 * time.Hour},
		"cannot both be set":                               {TTL: time.Minute, Set: acl.Token{ExpirationTime: &soon}},
		"should be > 0":                                    {TTL: -1},
		"disallowed outside of Login":                      {Set: acl.Token{AuthMethod: "m"}},
		`Service identity "Bad Name" has an invalid name`:  {Set: acl.Token{ServiceIdentities: []acl.ServiceIdentity{{ServiceName: "Bad Name"}}}},
		"Cannot find token":                                {Update: true, Set: acl.Token{AccessorID: "aaaaaaaa-0000-0000-0000-000000000000"}},
	} {
		in.ACLWrite = writing(master)
		_, err := rpc.Call(t.Context(), s, rpc.ACLTokenSet, &in)
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want %s", err, text)
		}
	}
	made := do(t, s, rpc.ACLTokenSet, &rpc.ACLTokenSetRequest{ACLWrite: writing(master), TTL: time.Hour, Set: acl.Token{
		Description: "d", Policies: []acl.Link{{Name: "p"}, {Name: "p"}}, Local: true,
		TemplatedPolicies: []acl.TemplatedPolicy{{TemplateName: "builtin/service", TemplateVariables: &acl.TemplateVariables{Name: "api"}}},
	}}).Token
	if len(made.Policies) != 1 || !made.ExpirationTime.Equal(made.CreateTime.Add(time.Hour)) || made.TemplatedPolicies[0].TemplateID == "" {
		t.Errorf("made: %+v", made)
	}
	for text, set := range map[string]acl.Token{
		"SecretID is not permitted": {SecretID: master, Local: true},
		"toggle local mode":         {},
		"change expiration time":    {Local: true, ExpirationTime: &soon},
	} {
		set.AccessorID = made.AccessorID
		denied(t, s, rpc.ACLTokenSet, &rpc.ACLTokenSetRequest{ACLWrite: writing(master), Set: set, Update: true}, fault.Invalid, text)
	}
	changed := do(t, s, rpc.ACLTokenSet, &rpc.ACLTokenSetRequest{ACLWrite: writing(master), Update: true,
		Set: acl.Token{AccessorID: made.AccessorID, Description: "e", Local: true}}).Token
	if changed.SecretID != made.SecretID || changed.Description != "e" || len(changed.Policies) != 0 || changed.CreateIndex != made.CreateIndex || changed.ExpirationTime == nil {
		t.Errorf("changed: %+v", changed)
	}
	twin := do(t, s, rpc.ACLTokenClone, &rpc.ACLTokenCloneRequest{ACLWrite: writing(master), Accessor: made.AccessorID, Description: "twin"}).Token
	if twin.SecretID == made.SecretID || twin.AccessorID == made.AccessorID || twin.Description != "twin" || !twin.Local {
		t.Errorf("twin: %+v", twin)
	}
}

func TestPoliciesAndRoles(t *testing.T) {
	s, _ := guarded(t, func(*server.Config) {})
	p := policy(t, s, "p", `key_prefix "" { policy = "read" }`)
	for text, set := range map[string]acl.Policy{
		`A Policy with Name "p" already exists`: {Name: "p"},
		"no Name is set":                        {},
		"invalid Name":                          {Name: "a b"},
		"Failed to parse ACL rules: ":           {Name: "q", Rules: "key {"},
		"cannot find policy":                    {Name: "q", ID: "aaaaaaaa-0000-0000-0000-000000000000"},
		"is not permitted":                      {Name: acl.ManagementName, ID: acl.ManagementID, Rules: `acl = "deny"`},
		"kept for policies that come with":      {Name: "builtin/mine"},
	} {
		_, err := rpc.Call(t.Context(), s, rpc.ACLPolicySet, &rpc.ACLPolicySetRequest{ACLWrite: writing(master), Set: set})
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want %s", err, text)
		}
	}
	r := do(t, s, rpc.ACLRoleSet, &rpc.ACLRoleSetRequest{ACLWrite: writing(master), Set: acl.Role{Name: "r", Policies: []acl.Link{{ID: p.ID}}}}).Role
	do(t, s, rpc.ACLPolicySet, &rpc.ACLPolicySetRequest{ACLWrite: writing(master), Set: acl.Policy{ID: p.ID, Name: "renamed", Rules: p.Rules}})
	seen := do(t, s, rpc.ACLRoleGet, &rpc.ACLGetRequest{ReadOptions: asking(master), Name: "R"}).Role
	if seen.ID != r.ID || seen.Policies[0].Name != "renamed" {
		t.Errorf("role: %+v", seen)
	}
	if of := do(t, s, rpc.ACLRoleList, &rpc.ACLListRequest{ReadOptions: asking(master), Policy: acl.ManagementID}).Roles; len(of) != 0 {
		t.Errorf("roles of another policy: %+v", of)
	}
	token := do(t, s, rpc.ACLTokenSet, &rpc.ACLTokenSetRequest{ACLWrite: writing(master), Set: acl.Token{Roles: []acl.Link{{Name: "r"}},
		ServiceIdentities: []acl.ServiceIdentity{{ServiceName: "web"}}}}).Token
	got := do(t, s, rpc.ACLTokenGet, &rpc.ACLTokenGetRequest{ReadOptions: asking(token.SecretID), Expanded: true})
	if len(got.Expanded.Policies) != 2 || len(got.Expanded.Roles) != 1 {
		t.Errorf("expanded: %+v", got.Expanded)
	}
	for name, in := range map[string]*rpc.ACLTokenListRequest{
		"role": {Role: r.ID}, "service": {ServiceName: "web"},
	} {
		in.ReadOptions = asking(master)
		if list := do(t, s, rpc.ACLTokenList, in).Tokens; len(list) != 1 || list[0].AccessorID != token.AccessorID {
			t.Errorf("by %s: %+v", name, list)
		}
	}
	do(t, s, rpc.ACLPermitted, &rpc.ACLPermittedRequest{Target: by(token.SecretID), Resource: acl.Key, Name: "x", Access: acl.Read})
	denied(t, s, rpc.ACLPermitted, &rpc.ACLPermittedRequest{Target: by(token.SecretID), Resource: acl.Service, Name: "db", Access: acl.Write}, fault.Denied, `lacks permission 'service:write' on "db"`)
	do(t, s, rpc.ACLRoleDelete, &rpc.ACLDeleteRequest{ACLWrite: writing(master), ID: r.ID})
	denied(t, s, rpc.ACLPermitted, &rpc.ACLPermittedRequest{Target: by(token.SecretID), Resource: acl.Key, Name: "x", Access: acl.Read}, fault.Denied, "key:read")
	denied(t, s, rpc.ACLRoleDelete, &rpc.ACLDeleteRequest{ACLWrite: writing(master), ID: r.ID}, fault.NotFound, "Cannot find role to delete")
}

// A token stops working at its end, and is taken away soon after.
func TestTokenEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, st := guarded(t, func(*server.Config) {})
		token := do(t, s, rpc.ACLTokenSet, &rpc.ACLTokenSetRequest{ACLWrite: writing(master), TTL: time.Minute}).Token
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); s.ReapTokens(ctx) }()
		time.Sleep(58 * time.Second)
		do(t, s, rpc.ACLTokenGet, &rpc.ACLTokenGetRequest{ReadOptions: asking(token.SecretID)})
		time.Sleep(2 * time.Second)
		denied(t, s, rpc.ACLTokenGet, &rpc.ACLTokenGetRequest{ReadOptions: asking(token.SecretID)}, fault.Denied, "ACL not found")
		time.Sleep(time.Minute)
		if st.State().ACLs(nil).Token(token.AccessorID) != nil {
			t.Error("it is still there")
		}
		cancel()
		<-ended
	})
}

func TestACLsOff(t *testing.T) {
	s, st := open(t, true, 20*time.Second)
	denied(t, s, rpc.ACLBootstrap, &rpc.ACLBootstrapRequest{}, fault.Denied, "ACL support disabled")
	denied(t, s, rpc.ACLTokenGet, &rpc.ACLTokenGetRequest{}, fault.Denied, "ACL support disabled")
	denied(t, s, rpc.ACLPolicyList, &rpc.ACLListRequest{}, fault.Denied, "ACL support disabled")
	before := st.State().Index()
	s.BootstrapACL(t.Context())
	s.ReapTokens(t.Context())
	if st.State().Index() != before {
		t.Error("something was written")
	}
}

// A secondary datacenter has the primary change what is global, and keeps what is local.
func TestACLsOfPrimary(t *testing.T) {
	primary, _ := guarded(t, func(*server.Config) {})
	s, st := openAs(t, true, 20*time.Second, func(c *server.Config, d *server.Deps) {
		c.Datacenter, c.PrimaryDatacenter, d.Remote = "dc2", "dc1", primary
		c.ACL = server.ACL{Enabled: true, InitialManagement: master}
	})
	s.BootstrapACL(t.Context())
	p := policy(t, s, "p", "")
	if do(t, primary, rpc.ACLPolicyGet, &rpc.ACLGetRequest{ReadOptions: asking(master), ID: p.ID}).Policy == nil || st.State().ACLs(nil).FindPolicy(p.ID) != nil {
		t.Error("a policy stands in the wrong datacenter")
	}
	denied(t, s, rpc.ACLTokenSet, &rpc.ACLTokenSetRequest{ACLWrite: rpc.ACLWrite{Target: by(master), Forwarded: true}}, fault.Invalid, "primary_datacenter")
}
