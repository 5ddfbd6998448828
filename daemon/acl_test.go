package daemon_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/miekg/dns"
)

const (
	rootToken     = "11111111-1111-4111-8111-111111111111"
	recoveryToken = "22222222-2222-4222-8222-222222222222"
	nobodysToken  = "99999999-9999-4999-8999-999999999999"

	denyAll  = `acl { enabled = true, default_policy = "deny" }`
	rootedIn = `acl { enabled = true, default_policy = "deny", tokens { initial_management = "` + rootToken + `" } }`
)

// closedServer is a server that lets nobody do anything, with a token that may do all.
func closedServer(t *testing.T, addr string, args ...string) *node {
	t.Helper()
	n := launch(t, addr, rootToken, append([]string{"-dev", "-hcl", rootedIn}, args...)...)
	n.await(t, "the first token", func() bool {
		_, _, err := n.client.ACL().TokenReadSelf(nil)
		return err == nil
	})
	return n
}

// with is the agent's client with another token; "" = none.
func (n *node) with(t *testing.T, token string) *api.Client {
	t.Helper()
	c, err := api.NewClient(&api.Config{Address: n.addr + ":8500", Token: token})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// newToken makes a token out of rules.
func (n *node) newToken(t *testing.T, name, rules string) *api.ACLToken {
	t.Helper()
	p, _, err := n.client.ACL().PolicyCreate(&api.ACLPolicy{Name: name, Rules: rules}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := n.client.ACL().TokenCreate(&api.ACLToken{Description: name, Policies: []*api.ACLLink{{ID: p.ID}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestACLBootstrap makes the first token, once, and again only for who can write
// the reset index into the data directory.
func TestACLBootstrap(t *testing.T) {
	dir := t.TempDir()
	n := launch(t, freeAddr(t), "", "-server", "-bootstrap", "-data-dir="+dir, "-hcl", denyAll)
	var first *api.ACLToken
	n.await(t, "the bootstrap", func() (ok bool) {
		var err error
		first, _, err = n.client.ACL().Bootstrap()
		return err == nil
	})
	if self, _, err := n.with(t, first.SecretID).ACL().TokenReadSelf(nil); err != nil || self.Policies[0].Name != "global-management" {
		t.Fatalf("the first token: %+v, %v", self, err)
	}
	_, _, err := n.client.ACL().Bootstrap()
	refused(t, err, 403, "reset index: ")
	index := regexp.MustCompile(`reset index: (\d+)`).FindStringSubmatch(err.Error())
	if len(index) != 2 {
		t.Fatal("the refusal names no index")
	}
	reset := filepath.Join(dir, "acl-bootstrap-reset")
	write(t, reset, "1")
	_, _, err = n.client.ACL().Bootstrap()
	refused(t, err, 403, "reset index: "+index[1])
	write(t, reset, index[1]+"\n")
	second, _, err := n.client.ACL().Bootstrap()
	if err != nil || second.SecretID == first.SecretID {
		t.Fatalf("the bootstrap after the reset: %+v, %v", second, err)
	}
	if _, err := os.Stat(reset); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file counts more than once: %v", err)
	}
	_, _, err = n.client.ACL().Bootstrap()
	refused(t, err, 403, "reset index: ")
}

// TestACLOfficialClient walks over the client's calls about tokens, policies and roles.
func TestACLOfficialClient(t *testing.T) {
	n := closedServer(t, freeAddr(t))
	c := n.client.ACL()
	policy, _, err := c.PolicyCreate(&api.ACLPolicy{Name: "p", Rules: `key_prefix "" { policy = "read" }`}, nil)
	if err != nil {
		t.Fatal(err)
	}
	policy.Description = "d"
	if policy, _, err = c.PolicyUpdate(policy, nil); err != nil || policy.Description != "d" {
		t.Fatalf("%+v, %v", policy, err)
	}
	if p, _, err := c.PolicyReadByName("p", nil); err != nil || p.ID != policy.ID {
		t.Errorf("%+v, %v", p, err)
	}
	if all := good2(c.PolicyList(nil))(t); len(all) != 3 {
		t.Errorf("%d policies", len(all))
	}
	role, _, err := c.RoleCreate(&api.ACLRole{Name: "r", Policies: []*api.ACLLink{{Name: "p"}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r, _, err := c.RoleReadByName("r", nil); err != nil || r.ID != role.ID || r.Policies[0].ID != policy.ID {
		t.Errorf("%+v, %v", r, err)
	}
	token, _, err := c.TokenCreate(&api.ACLToken{Roles: []*api.ACLLink{{ID: role.ID}}, ServiceIdentities: []*api.ACLServiceIdentity{{ServiceName: "web"}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if x, _, err := c.TokenReadExpanded(token.AccessorID, nil); err != nil || len(x.ExpandedRoles) != 1 || len(x.ExpandedPolicies) != 2 || x.AgentACLDefaultPolicy != "deny" {
		t.Errorf("%+v, %v", x, err)
	}
	other, _, err := c.TokenClone(token.AccessorID, "another", nil)
	if err != nil || other.SecretID == token.SecretID || other.Roles[0].ID != role.ID {
		t.Errorf("%+v, %v", other, err)
	}
	if _, err := c.TokenDelete(other.AccessorID, nil); err != nil {
		t.Error(err)
	}
	_, _, err = n.with(t, other.SecretID).ACL().TokenReadSelf(nil)
	refused(t, err, 403, "ACL not found")
	if all := good2(c.TokenListFiltered(api.ACLTokenFilterOptions{Role: role.ID}, nil))(t); len(all) != 1 {
		t.Errorf("%d tokens", len(all))
	}
	if r, _, err := c.Replication(nil); err != nil || r.Enabled {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := c.RoleDelete(role.ID, nil); err != nil {
		t.Error(err)
	}
	if _, err := c.PolicyDelete(policy.ID, nil); err != nil {
		t.Error(err)
	}
}

// TestACLAgent walks over the agent's own endpoints, on a server and on a client, with
// a token for one thing each, with none and with one that is nobody's.
func TestACLAgent(t *testing.T) {
	server := closedServer(t, freeAddr(t), "-node=s")
	client := launch(t, freeAddr(t), rootToken, "-node=c", "-data-dir="+t.TempDir(), "-retry-join="+server.addr, "-hcl", denyAll)
	client.await(t, "the servers", func() bool {
		_, err := client.client.Agent().Self()
		return err == nil
	})
	reads := server.newToken(t, "reads", `agent_prefix "" { policy = "read" } node_prefix "" { policy = "read" }`).SecretID
	writes := server.newToken(t, "writes", `agent_prefix "" { policy = "write" }`).SecretID
	web := server.newToken(t, "web", `service "web" { policy = "write" }`).SecretID
	nodes := server.newToken(t, "nodes", `node_prefix "" { policy = "write" }`).SecretID
	operator := server.newToken(t, "operator", `operator = "read"`).SecretID
	for _, n := range []*node{server, client} {
		name := map[*node]string{server: "s", client: "c"}[n]
		type call struct {
			what string
			ok   string // the token that may
			do   func(a *api.Client) error
		}
		raw := func(method, path string) func(*api.Client) error {
			return func(a *api.Client) error {
				if method == "GET" {
					_, err := a.Raw().Query(path, new(any), nil)
					return err
				}
				_, err := a.Raw().Write(path, nil, nil, nil)
				return err
			}
		}
		for _, one := range []call{
			{"self", reads, raw("GET", "/v1/agent/self")},
			{"metrics", reads, raw("GET", "/v1/agent/metrics")},
			{"host", operator, raw("GET", "/v1/agent/host")},
			{"reload", writes, func(a *api.Client) error { return a.Agent().Reload() }},
			{"token", writes, func(a *api.Client) error { _, err := a.Agent().UpdateReplicationACLToken("x", nil); return err }},
			{"service", web, func(a *api.Client) error {
				return a.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "web", Check: &api.AgentServiceCheck{TTL: "1h"}})
			}},
			{"heartbeat", web, func(a *api.Client) error { return a.Agent().PassTTL("service:web", "") }},
			{"read service", web, raw("GET", "/v1/agent/service/web")},
			{"health", web, raw("GET", "/v1/agent/health/service/name/web")},
			{"service maintenance", web, func(a *api.Client) error { return a.Agent().DisableServiceMaintenance("web") }},
			{"deregister service", web, func(a *api.Client) error { return a.Agent().ServiceDeregister("web") }},
			{"check", nodes, func(a *api.Client) error {
				return a.Agent().CheckRegister(&api.AgentCheckRegistration{Name: "ttl", AgentServiceCheck: api.AgentServiceCheck{TTL: "1h"}})
			}},
			{"deregister check", nodes, func(a *api.Client) error { return a.Agent().CheckDeregister("ttl") }},
			{"maintenance", nodes, func(a *api.Client) error { return a.Agent().DisableNodeMaintenance() }},
		} {
			for _, token := range []string{"", nobodysToken, reads, writes, web, nodes, operator} {
				if token == one.ok || token == writes && one.ok == reads { // who may write may read
					continue
				}
				text := "Permission denied"
				if token == nobodysToken {
					text = "ACL not found"
				}
				if err := one.do(n.with(t, token)); err == nil || !errors.As(err, new(api.StatusError)) {
					t.Errorf("%s: %s with the wrong token: %v", name, one.what, err)
				} else {
					refused(t, err, 403, text)
				}
			}
			if err := one.do(n.with(t, one.ok)); err != nil {
				t.Errorf("%s: %s with its token: %v", name, one.what, err)
			}
		}
		if seen, err := n.with(t, "").Agent().Members(false); err != nil || len(seen) != 0 {
			t.Errorf("%s: anybody sees members %v, %v", name, seen, err)
		}
		if seen, err := n.with(t, reads).Agent().Members(false); err != nil || len(seen) != 2 {
			t.Errorf("%s: members %v, %v", name, seen, err)
		}
	}
}

// TestACLOffByReload: whether access is controlled changes at a restart alone, and whole.
func TestACLOffByReload(t *testing.T) {
	tokens := `tokens { initial_management = "` + rootToken + `", default = "` + rootToken + `" } }`
	n, reload := configured(t, rootToken, `acl { enabled = true, default_policy = "deny", `+tokens, "-dev")
	own := func() string { // with the agent's own token
		token, _, err := n.with(t, "").ACL().TokenReadSelf(nil)
		if err != nil {
			return err.Error()
		}
		return token.SecretID
	}
	n.await(t, "the first token", func() bool { return own() == rootToken })
	reload(`acl { enabled = false, default_policy = "deny", ` + tokens)
	if got := own(); got != rootToken {
		t.Errorf("after a reload without access control: %s", got)
	}
}

// TestACLTokensOfTheAgent: what an agent does for itself is done with its own tokens.
// The servers refuse it without; it is done as soon as there is one.
func TestACLTokensOfTheAgent(t *testing.T) {
	server := closedServer(t, freeAddr(t), "-node=s")
	files := server.newToken(t, "files", `service "filed" { policy = "write" }`).SecretID
	agent, _, err := server.client.ACL().TokenCreate(&api.ACLToken{NodeIdentities: []*api.ACLNodeIdentity{{NodeName: "c", Datacenter: "dc1"}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	args := []string{"-node=c", "-data-dir=" + dir, "-retry-join=" + server.addr, "-hcl", `service { name = "filed" }
		acl { enabled = true, default_policy = "deny", enable_token_persistence = true
		tokens { agent_recovery = "` + recoveryToken + `", config_file_service_registration = "` + files + `" } }`}
	client := launch(t, freeAddr(t), rootToken, args...)
	described := func(n *node) func() bool {
		return func() bool {
			c, _, err := server.client.Catalog().Node("c", nil)
			return err == nil && c != nil && c.Node.TaggedAddresses["lan"] == n.addr && c.Services["filed"] != nil
		}
	}
	client.await(t, "the service of the file, which has a token", func() bool {
		list, _, err := server.client.Catalog().Service("filed", "", nil)
		return err == nil && len(list) == 1
	})
	if described(client)() {
		t.Error("the node described itself without a token")
	}
	if _, err := client.client.Agent().UpdateAgentACLToken(agent.SecretID, nil); err != nil {
		t.Fatal(err)
	}
	client.await(t, "the node, with its new token", described(client))
	_, err = client.client.Agent().UpdateDefaultACLToken(rootToken, nil)
	if err != nil {
		t.Fatal(err)
	}
	if list, _, err := client.with(t, "").Catalog().Nodes(nil); err != nil || len(list) != 2 {
		t.Errorf("with the default token: %v, %v", list, err)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	again := launch(t, freeAddr(t), rootToken, args...) // what was set over HTTP is there again
	again.await(t, "the node at its new address", described(again))
	if list, _, err := again.with(t, "").Catalog().Nodes(nil); err != nil || len(list) != 2 {
		t.Errorf("with the default token after a restart: %v, %v", list, err)
	}

	// Without servers: what is known goes on, and the recovery token works.
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	recovery := again.with(t, recoveryToken)
	if self, err := recovery.Agent().Self(); err != nil || self["Config"]["NodeName"] != "c" {
		t.Errorf("recovery: %v, %v", self["Config"], err)
	}
	if members, err := recovery.Agent().Members(false); err != nil || !slices.ContainsFunc(members, func(m *api.AgentMember) bool { return m.Name == "c" }) {
		t.Errorf("recovery: %v, %v", members, err)
	}
	refused(t, recovery.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "x"}), 403, "Permission denied")
}

// TestACLNamesOfAClient: a client's DNS knows what its DNS token may see, and ?cached what
// the request's token may see, whatever the client has in memory.
func TestACLNamesOfAClient(t *testing.T) {
	server := closedServer(t, freeAddr(t), "-node=s")
	web := server.newToken(t, "web", `service "web" { policy = "read" } node_prefix "" { policy = "read" }`).SecretID
	if err := server.client.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "web", Port: 80}); err != nil {
		t.Fatal(err)
	}
	client := launch(t, freeAddr(t), rootToken, "-node=c", "-data-dir="+t.TempDir(), "-retry-join="+server.addr, "-hcl", denyAll)
	count := func() int { return len(client.dig(t, "web.service.consul.", dns.TypeSRV).Answer) }
	cached := func(token string) int {
		list, _, err := client.with(t, token).Health().Service("web", "", false, &api.QueryOptions{UseCache: true})
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	client.await(t, "the service", func() bool {
		list, _, err := client.client.Catalog().Service("web", "", nil)
		return err == nil && len(list) == 1
	})
	client.await(t, "a refusal of the name", func() bool {
		return client.dig(t, "web.service.consul.", dns.TypeSRV).Rcode == dns.RcodeNameError
	})
	set := func(token string) {
		t.Helper()
		if _, err := client.client.Raw().Write("/v1/agent/token/dns", map[string]string{"Token": token}, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	explained := func() string {
		t.Helper()
		var e struct {
			Instances []struct {
				Given  bool
				Reason string
			}
		}
		if _, err := client.client.Raw().Query("/v1/internal/dns/explain/web.service.consul/SRV", &e, nil); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(e.Instances)
	}
	if e := explained(); !strings.Contains(e, "{false ") || !strings.Contains(e, "acl.tokens.dns") {
		t.Errorf("explained: %s", e)
	}
	set(web)
	client.await(t, "the name with its token", func() bool { return count() == 1 })
	if e := explained(); !strings.Contains(e, "{true ") || strings.Contains(e, "acl.tokens.dns") {
		t.Errorf("explained: %s", e)
	}
	for range 2 {
		if a, b, c := cached(""), cached(web), cached(rootToken); a != 0 || b != 1 || c != 1 {
			t.Errorf("cached: %d for anybody, %d for the token of DNS, %d for all rights", a, b, c)
		}
	}
	set("")
	client.await(t, "the name gone with its token", func() bool { return count() == 0 })
}

// TestACLNamesKept: names that were learned outlive the process with their token, and
// are not there for another one.
func TestACLNamesKept(t *testing.T) {
	server := closedServer(t, freeAddr(t), "-node=s")
	web := server.newToken(t, "web", `service "web" { policy = "read" } node_prefix "" { policy = "read" }`).SecretID
	if err := server.client.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "web", Port: 80}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	args := []string{"-node=c", "-data-dir=" + dir, "-retry-join=" + server.addr, "-hcl",
		`acl { enabled = true, default_policy = "deny", enable_token_persistence = true }`}
	client := launch(t, freeAddr(t), rootToken, args...)
	client.await(t, "the servers", func() bool {
		_, _, err := client.client.Catalog().Service("web", "", nil)
		return err == nil
	})
	if _, err := client.client.Raw().Write("/v1/agent/token/dns", map[string]string{"Token": web}, nil, nil); err != nil {
		t.Fatal(err)
	}
	count := func(n *node) int { return len(n.dig(t, "web.service.consul.", dns.TypeSRV).Answer) }
	client.await(t, "the name", func() bool { return count(client) == 1 })
	for _, n := range []*node{client, server} {
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
	again := launch(t, freeAddr(t), "", args...)
	if got := count(again); got != 1 {
		t.Errorf("without servers, %d answers with the token that was set", got)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "acl-tokens.json")); err != nil {
		t.Fatal(err)
	}
	anybody := launch(t, freeAddr(t), "", args...)
	if got := count(anybody); got != 0 {
		t.Errorf("without its token, %d answers", got)
	}
}

// TestACLReplication: the primary's policies, roles and global tokens count in the other
// datacenter too, also while the primary is gone, and what is taken back is taken back there.
func TestACLReplication(t *testing.T) {
	one := closedServer(t, freeAddr(t), "-datacenter=dc1", "-node=one")
	two := launch(t, freeAddr(t), rootToken, "-dev", "-datacenter=dc2", "-node=two", "-retry-join-wan="+one.addr, "-hcl",
		`primary_datacenter = "dc1"
		acl { enabled = true, default_policy = "deny", enable_token_replication = true, tokens { replication = "`+rootToken+`" } }`)
	two.await(t, "the tokens of the primary", func() bool {
		r, _, err := two.client.ACL().Replication(nil)
		return err == nil && r.Enabled && r.Running && r.SourceDatacenter == "dc1" && r.ReplicationType == "tokens" && r.ReplicatedTokenIndex > 0
	})
	keep, drop := one.newToken(t, "keep", `node_prefix "" { policy = "read" }`), one.newToken(t, "drop", `node_prefix "" { policy = "read" }`)
	sees := func(token string) func() bool {
		c := two.with(t, token)
		return func() bool {
			list, _, err := c.Catalog().Nodes(nil)
			if err != nil && !strings.Contains(err.Error(), "403") {
				t.Fatal(err)
			}
			return err == nil && len(list) == 1
		}
	}
	seesKept, seesDropped := sees(keep.SecretID), sees(drop.SecretID)
	two.await(t, "the new tokens", func() bool { return seesKept() && seesDropped() })
	two.await(t, "the policy", func() bool {
		p, _, err := two.client.ACL().PolicyReadByName("keep", &api.QueryOptions{Datacenter: "dc2"})
		return err == nil && p != nil
	})
	local, _, err := two.client.ACL().TokenCreate(&api.ACLToken{Local: true, Policies: []*api.ACLLink{{Name: "keep"}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := one.client.ACL().TokenDelete(drop.AccessorID, nil); err != nil {
		t.Fatal(err)
	}
	two.await(t, "the token to be gone", func() bool { return !seesDropped() })
	_, _, err = one.with(t, local.SecretID).Catalog().Nodes(nil)
	refused(t, err, 403, "ACL not found")
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	if a, b := seesKept(), sees(local.SecretID)(); !a || !b {
		t.Errorf("without the primary the kept token sees: %v, the local one: %v", a, b)
	}
	if seesDropped() {
		t.Error("without the primary a token is back that was deleted")
	}
}

// TestACLWithoutTokenReplication: a secondary datacenter asks the primary about tokens, and
// goes on with what it was told while that is gone.
func TestACLWithoutTokenReplication(t *testing.T) {
	one := closedServer(t, freeAddr(t), "-datacenter=dc1", "-node=one")
	reads := one.newToken(t, "reads", `node_prefix "" { policy = "read" }`)
	local, _, err := one.client.ACL().TokenCreate(&api.ACLToken{Local: true, Policies: []*api.ACLLink{{Name: "reads"}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	two := launch(t, freeAddr(t), rootToken, "-dev", "-datacenter=dc2", "-node=two", "-retry-join-wan="+one.addr, "-hcl",
		`primary_datacenter = "dc1"
		acl { enabled = true, default_policy = "deny", token_ttl = "10ms" }`)
	sees := func(token string) func() bool {
		c := two.with(t, token)
		return func() bool {
			list, _, err := c.Catalog().Nodes(nil)
			return err == nil && len(list) == 1
		}
	}
	two.await(t, "a token of the primary", sees(reads.SecretID))
	_, _, err = two.with(t, local.SecretID).Catalog().Nodes(nil)
	refused(t, err, 403, "ACL not found")
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	if !sees(reads.SecretID)() {
		t.Error("without the primary its token counts for nothing")
	}
}
