package daemon_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/hashicorp/consul/api"
	"github.com/miekg/dns"
)

// secondary is a closed server of a datacenter whose tokens come from another one.
func secondary(t *testing.T, primary *node, args ...string) *node {
	t.Helper()
	n := launch(t, freeAddr(t), rootToken, append([]string{"-dev", "-datacenter=dc2", "-node=two", "-retry-join-wan=" + primary.addr, "-hcl",
		`primary_datacenter = "dc1"
		acl { enabled = true, default_policy = "deny", enable_token_replication = true, tokens { replication = "` + rootToken + `" } }`}, args...)...)
	n.await(t, "the tokens of the primary", func() bool {
		r, _, err := n.client.ACL().Replication(nil)
		return err == nil && r.Running && r.ReplicatedTokenIndex > 0 && r.ReplicatedRoleIndex > 0
	})
	return n
}

// TestACLLoginElsewhere: a secondary datacenter has auth methods of its own. Who logs in
// there gets a token of that datacenter, with policies of the primary, whether that can be
// reached or not.
func TestACLLoginElsewhere(t *testing.T) {
	one := closedServer(t, freeAddr(t), "-datacenter=dc1", "-node=one")
	one.newToken(t, "nodes", `node_prefix "" { policy = "read" }`)
	if _, _, err := one.client.ACL().RoleCreate(&api.ACLRole{Name: "looks", Policies: []*api.ACLLink{{Name: "nodes"}}}, nil); err != nil {
		t.Fatal(err)
	}
	two := secondary(t, one)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	method := &api.ACLAuthMethod{Name: "ci", Type: "jwt", Config: map[string]any{
		"JWTValidationPubKeys": []string{string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))},
		"JWTSupportedAlgs":     []string{"ES256"}, "BoundIssuer": "ci", "ClaimMappings": map[string]string{"job": "job"},
	}}
	global := *method
	global.TokenLocality = "global"
	_, _, err = two.client.ACL().AuthMethodCreate(&global, nil)
	refused(t, err, 500, "TokenLocality 'global' can only be used in the primary datacenter")
	if _, _, err := two.client.ACL().AuthMethodCreate(method, nil); err != nil {
		t.Fatal(err)
	}
	rule := &api.ACLBindingRule{AuthMethod: "ci", BindType: api.BindingRuleBindTypeRole, BindName: "looks", Selector: "value.job == deploy"}
	if _, _, err := two.client.ACL().BindingRuleCreate(rule, nil); err != nil {
		t.Fatal(err)
	}
	if m, _, err := one.client.ACL().AuthMethodRead("ci", nil); err != nil || m != nil {
		t.Errorf("the primary has the method of another datacenter: %+v, %v", m, err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	bearer := func(job string) string {
		t.Helper()
		now := time.Now()
		text, err := jwt.Signed(signer).Claims(jwt.Claims{Issuer: "ci", IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Hour))}).
			Claims(map[string]any{"job": job}).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	anybody := two.with(t, "")
	_, _, err = anybody.ACL().Login(&api.ACLLoginParams{AuthMethod: "ci", BearerToken: bearer("build")}, nil)
	refused(t, err, 403, "Permission denied")
	login := func() *api.ACLToken {
		t.Helper()
		token, _, err := anybody.ACL().Login(&api.ACLLoginParams{AuthMethod: "ci", BearerToken: bearer("deploy"), Meta: map[string]string{"run": "7"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !token.Local || token.AuthMethod != "ci" || len(token.Roles) != 1 || token.Roles[0].Name != "looks" {
			t.Errorf("the token of a login: %+v", token)
		}
		if list, _, err := two.with(t, token.SecretID).Catalog().Nodes(nil); err != nil || len(list) != 1 {
			t.Errorf("what the token may see: %v, %v", list, err)
		}
		return token
	}
	first := login()
	_, _, err = one.with(t, first.SecretID).Catalog().Nodes(nil)
	refused(t, err, 403, "ACL not found")
	if tokens, _, err := one.client.ACL().TokenList(nil); err != nil || slices.ContainsFunc(tokens, func(e *api.ACLTokenListEntry) bool { return e.AccessorID == first.AccessorID }) {
		t.Errorf("the primary has the token of a login elsewhere: %v", err)
	}

	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	second := login()
	for _, token := range []*api.ACLToken{first, second} {
		if _, err := two.with(t, token.SecretID).ACL().Logout(nil); err != nil {
			t.Errorf("logout without the primary: %v", err)
		}
	}
	if tokens, _, err := two.client.ACL().TokenList(nil); err != nil || slices.ContainsFunc(tokens, func(e *api.ACLTokenListEntry) bool { return e.AuthMethod != "" }) {
		t.Errorf("tokens are left after logouts: %v, %v", tokens, err)
	}
}

// TestACLTransfer: other name servers get of the zone what the DNS token may see, and
// nothing without it.
func TestACLTransfer(t *testing.T) {
	n := closedServer(t, freeAddr(t), "-hcl", `dns_config { transfer { allow = ["127.0.0.0/8"] } }`)
	for _, name := range []string{"web", "pay"} {
		if err := n.client.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: name, Port: 80}); err != nil {
			t.Fatal(err)
		}
	}
	n.await(t, "the services", func() bool {
		all, _, err := n.client.Catalog().Services(nil)
		return err == nil && len(all) == 3
	})
	zone := func() string {
		in, err := new(dns.Transfer).In(new(dns.Msg).SetAxfr("consul."), n.addr+":8600")
		if err != nil {
			return err.Error()
		}
		var text []string
		for e := range in {
			if e.Error != nil {
				return e.Error.Error()
			}
			for _, rr := range e.RR {
				text = append(text, rr.String())
			}
		}
		return strings.Join(text, "\n")
	}
	holds := func(what string, has, lacks []string) {
		t.Helper()
		var all string
		n.await(t, "the zone: "+what, func() bool {
			all = zone()
			return strings.Contains(all, "SOA") &&
				!slices.ContainsFunc(has, func(h string) bool { return !strings.Contains(all, h) }) &&
				!slices.ContainsFunc(lacks, func(l string) bool { return strings.Contains(all, l) })
		})
	}
	set := func(token string) {
		t.Helper()
		if _, err := n.client.Raw().Write("/v1/agent/token/dns", map[string]string{"Token": token}, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	holds("of the anonymous token", nil, []string{"web", "pay", "node-a"})
	web := n.newToken(t, "web", `service "web" { policy = "read" } service "consul" { policy = "read" } node_prefix "" { policy = "read" }`)
	set(web.SecretID)
	holds("of a token for one service", []string{"web.service.consul.", "node-a.node.consul.", "ns.consul."}, []string{"pay"})
	set(rootToken)
	holds("of a token for all", []string{"web.service.consul.", "pay.service.consul."}, nil)
	set(web.SecretID)
	holds("of the token for one service again", []string{"web.service.consul."}, []string{"pay"})
	if _, err := n.client.ACL().TokenDelete(web.AccessorID, nil); err != nil {
		t.Fatal(err)
	}
	n.await(t, "a refusal, the token being gone", func() bool { return !strings.Contains(zone(), "consul.\t") })
}
