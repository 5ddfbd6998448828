package server_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/acl"
	"consul.internal/rpc"
	"consul.internal/server"
)

// TestSwappedNames: policies and roles that took each other's names in the primary do
// so in the copy too.
func TestSwappedNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guarded := func(c *server.Config) {
			c.ACL = server.ACL{Enabled: true, InitialManagement: master, ReplicationToken: func() string { return master }}
		}
		primary, _ := openAs(t, true, time.Second, func(c *server.Config, _ *server.Deps) { guarded(c) })
		primary.BootstrapACL(t.Context())
		link := &cut{Caller: primary}
		copied, st := openAs(t, true, time.Second, func(c *server.Config, d *server.Deps) {
			guarded(c)
			c.Datacenter, c.PrimaryDatacenter, d.Remote = "dc2", "dc1", link
		})
		policies, roles := map[string]*acl.Policy{}, map[string]*acl.Role{}
		setPolicy := func(p acl.Policy) *acl.Policy {
			return do(t, primary, rpc.ACLPolicySet, &rpc.ACLPolicySetRequest{ACLWrite: writing(master), Set: p}).Policy
		}
		setRole := func(r acl.Role) *acl.Role {
			return do(t, primary, rpc.ACLRoleSet, &rpc.ACLRoleSetRequest{ACLWrite: writing(master), Set: r}).Role
		}
		for _, name := range []string{"one", "two", "three"} {
			policies[name], roles[name] = setPolicy(acl.Policy{Name: name}), setRole(acl.Role{Name: name})
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); copied.ReplicateACL(ctx) }()
		defer func() { stop(); <-ended }()
		time.Sleep(time.Second)
		if st.State().ACLs(nil).PolicyNamed("three") == nil {
			t.Fatal("nothing is copied")
		}
		link.down.Store(true)
		time.Sleep(time.Second)
		for _, step := range [][2]string{{"one", "free"}, {"two", "one"}, {"three", "two"}, {"one", "three"}} { // all in a circle
			p, r := *policies[step[0]], *roles[step[0]]
			p.Name, r.Name = step[1], step[1]
			setPolicy(p)
			setRole(r)
		}
		link.down.Store(false)
		time.Sleep(time.Minute)
		now := st.State().ACLs(nil)
		for was, name := range map[string]string{"one": "three", "two": "one", "three": "two"} {
			if p := now.FindPolicy(policies[was].ID); p == nil || p.Name != name {
				t.Errorf("policy %s is %+v, want %s", was, p, name)
			}
			if r := now.FindRole(roles[was].ID); r == nil || r.Name != name {
				t.Errorf("role %s is %+v, want %s", was, r, name)
			}
		}
		if out := do(t, copied, rpc.ACLReplication, &rpc.ACLReplicationRequest{Target: rpc.Target{Token: master}}); out.LastSuccess.Before(out.LastError) {
			t.Errorf("it says %+v", out)
		}
	})
}
