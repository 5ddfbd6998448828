package daemon_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"consul.internal/catalog"
	"consul.internal/configentry"
	"consul.internal/internal/aclmatrix"
	"consul.internal/kv"
	"consul.internal/query"
	"consul.internal/rpc"
	"consul.internal/store"
	"github.com/hashicorp/consul/api"
)

// Things of the fixture that rules speak of, by resource.
func matrixNames() map[string][]string {
	return map[string][]string{
		"agent": {"node-a"}, "event": {"e"}, "intention": {"web"}, "key": {"k/a", "k/b", "k/none"}, "node": {"n1", "n9", "node-a", "node-a.dc1"},
		"query": {"q", "q9"}, "service": {"web", "db", "gate", "app", "consul"}, "session": {"n1", "node-a"},
	}
}

const (
	matrixNode   = "aaaaaaaa-2222-2222-2222-222222222222" // ID of n1
	matrixNobody = "aaaaaaaa-9999-9999-9999-999999999999"
)

// bearer is somebody with a token, and what that gives.
type bearer struct {
	aclmatrix.Grant
	name, secret string
	all          bool // it may do everything
}

func (b *bearer) suffices(w aclmatrix.Ways) bool { return b.all || b.Suffices(w) }

// matrix is a server that lets nobody do anything, with one of everything.
type matrix struct {
	*node
	t      *testing.T
	clean  uint64 // index of the state at which all is as it should be
	things map[string]string
	made   atomic.Uint64
}

func newMatrix(t *testing.T) *matrix {
	t.Helper()
	key := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))
	other := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("o", 32)))
	m := &matrix{t: t, node: launchAt(t, "ERROR", freeAddr(t), rootToken, "-dev", "-ui", "-encrypt="+key, "-hcl", rootedIn)}
	m.await(t, "the first token", func() bool {
		_, _, err := m.client.ACL().TokenReadSelf(nil)
		return err == nil
	})
	m.things = map[string]string{
		"addr": m.addr, "root": rootToken, "key": key, "otherkey": other, "nobody": matrixNobody, "n1": matrixNode, "pem": publicKey(t),
	}
	m.makeAccess()
	m.reset()
	if _, _, err := m.client.Event().Fire(&api.UserEvent{Name: "e"}, nil); err != nil {
		t.Fatal(err)
	}
	m.await(t, "the event, and the agent's service in the catalog", func() bool {
		events, _, err := m.client.Event().List("e", nil)
		app, _, err2 := m.client.Catalog().Service("app", "", nil)
		return err == nil && err2 == nil && len(events) == 1 && len(app) == 1
	})
	return m
}

// created is what was made.
func created[T any](v T, _ *api.WriteMeta, err error) func(*testing.T) T { return good(v, err) }

// publicKey is one in PEM as a string of JSON holds it.
func publicKey(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), "\n", `\n`)
}

// makeAccess makes one of everything under /v1/acl.
func (m *matrix) makeAccess() {
	m.t.Helper()
	c := m.client.ACL()
	policy := created(c.PolicyCreate(&api.ACLPolicy{Name: "kept"}, nil))(m.t)
	role := created(c.RoleCreate(&api.ACLRole{Name: "kept", Policies: []*api.ACLLink{{ID: policy.ID}}}, nil))(m.t)
	token := created(c.TokenCreate(&api.ACLToken{Description: "kept", Policies: []*api.ACLLink{{ID: policy.ID}}}, nil))(m.t)
	pem := strings.ReplaceAll(m.things["pem"], `\n`, "\n")
	method := created(c.AuthMethodCreate(&api.ACLAuthMethod{Name: "kept", Type: "jwt", Config: map[string]any{"JWTValidationPubKeys": []string{pem}, "BoundIssuer": "i"}}, nil))(m.t)
	rule := created(c.BindingRuleCreate(&api.ACLBindingRule{AuthMethod: method.Name, BindType: "service", BindName: "web"}, nil))(m.t)
	var older struct{ ID string }
	if _, err := m.client.Raw().Write("/v1/acl/create", map[string]string{"Name": "older"}, &older, nil); err != nil {
		m.t.Fatal(err)
	}
	for name, id := range map[string]string{
		"policy": policy.ID, "role": role.ID, "accessor": token.AccessorID, "secret": token.SecretID, "rule": rule.ID, "older": older.ID,
	} {
		m.things[name] = id
	}
}

// bearers are somebody without a token, one whose token gives nothing, one for every
// right and one for all rights that a row takes together, and who may do everything.
func (m *matrix) bearers(ways []aclmatrix.Ways) []*bearer {
	m.t.Helper()
	all := []*bearer{
		{name: "management", secret: rootToken, all: true}, {name: "anonymous"},
		{name: "no rules", secret: m.newToken(m.t, "nothing", "").SecretID},
	}
	order, grants := aclmatrix.Grants(matrixNames(), ways)
	for i, name := range order {
		g := grants[name]
		all = append(all, &bearer{Grant: g, name: name, secret: m.newToken(m.t, fmt.Sprintf("matrix-%d", i), g.Rules).SecretID})
	}
	return all
}

// ask performs an operation with all rights.
func ask[Req, Resp any](m *matrix, op rpc.Method[Req, Resp], in *Req) *Resp {
	m.t.Helper()
	out, err := rpc.Call(m.t.Context(), m.Caller(), op, in)
	if err != nil {
		m.t.Fatalf("%s: %v", op.Name, err)
	}
	return out
}

// root is the target of what is done with all rights.
func (m *matrix) root() rpc.Target { return rpc.Target{Token: rootToken} }

// reset puts back what a request may have changed.
func (m *matrix) reset() {
	m.t.Helper()
	m.resetAgent()
	state := m.Store().State()
	if m.clean != 0 && state.Index() == m.clean {
		return
	}
	ask(m, rpc.CatalogDeregister, &rpc.DeregisterRequest{Target: m.root(), Node: "n9"})
	ask(m, rpc.CatalogRegister, &rpc.RegisterRequest{
		Target: m.root(), Node: &catalog.Node{ID: matrixNode, Name: "n1", Address: "10.0.0.1"},
		Service: &catalog.Service{ID: "web1", Name: "web", Port: 80, Tags: []string{"v1"}, Connect: catalog.Connect{Native: true}},
		Checks: []*catalog.Check{
			{CheckID: "nc", Name: "nc", Status: catalog.Passing}, {CheckID: "sc", Name: "sc", ServiceID: "web1", Status: catalog.Passing},
		},
	})
	where := catalog.NodeCoordinate{Node: "n1", Coord: &catalog.Coordinate{Vec: make([]float64, 8), Error: 1.5}}
	if err := store.UpdateCoordinates(m.t.Context(), m.Store(), []catalog.NodeCoordinate{where}); err != nil {
		m.t.Fatal(err)
	}
	for _, key := range []string{"k/a", "k/b"} {
		ask(m, rpc.KeyApply, &rpc.KeyApplyRequest{Target: m.root(), KeyOp: kv.KeyOp{Verb: kv.Set, Key: key, Value: []byte("value")}})
	}
	if _, s := state.Sessions().Get(nil, m.things["session"]); s == nil {
		m.things["session"] = ask(m, rpc.SessionCreate, &rpc.SessionCreateRequest{Target: m.root(), Session: kv.Session{Node: "n1"}}).ID
	}
	m.resetQueries()
	for _, e := range []*configentry.Entry{
		{Kind: "service-defaults", Name: "web", Body: configentry.Body{ServiceDefaults: &configentry.ServiceDefaults{Protocol: "http"}}},
		{Kind: "service-intentions", Name: "web", Body: configentry.Body{ServiceIntentions: &configentry.ServiceIntentions{Sources: []*configentry.Source{{Name: "db", Action: "allow"}}}}},
		{Kind: "proxy-defaults", Name: "global", Body: configentry.Body{ProxyDefaults: &configentry.ProxyDefaults{}}},
		{Kind: "terminating-gateway", Name: "gate", Body: configentry.Body{TerminatingGateway: &configentry.TerminatingGateway{}}},
	} {
		ask(m, rpc.ConfigApply, &rpc.ConfigApplyRequest{Target: m.root(), Put: e})
	}
	m.clean = m.Store().State().Index()
}

// resetQueries makes the prepared queries what they were, and takes others away.
func (m *matrix) resetQueries() {
	m.t.Helper()
	kept := map[string]bool{}
	for name, q := range map[string]query.Query{"query": {Name: "q"}, "unnamed": {}, "tokened": {Token: rootToken}} {
		q.Service.Service = "web"
		op := rpc.QueryCreate
		if _, old := m.Store().State().Queries().Get(nil, m.things[name]); old != nil {
			op, q.ID = rpc.QueryUpdate, old.ID
		}
		m.things[name] = ask(m, rpc.QueryApply, &rpc.QueryApplyRequest{Target: m.root(), Op: op, Query: &q}).ID
		kept[m.things[name]] = true
	}
	_, all := m.Store().State().Queries().List(nil)
	for _, q := range all {
		if !kept[q.ID] {
			ask(m, rpc.QueryApply, &rpc.QueryApplyRequest{Target: m.root(), Op: rpc.QueryDelete, Query: q})
		}
	}
}

// resetAgent puts back the services and checks of the agent itself.
func (m *matrix) resetAgent() {
	m.t.Helper()
	name, _ := m.Local().NameOf("app1")
	if ttl, there := m.Local().Check("app-ttl"); name != "app" || !there || ttl.ServiceID != "app1" {
		if err := m.client.Agent().ServiceRegister(&api.AgentServiceRegistration{ID: "app1", Name: "app", Check: &api.AgentServiceCheck{
			CheckID: "app-ttl", TTL: "1h", Status: api.HealthPassing}}); err != nil {
			m.t.Fatal(err)
		}
	}
	if ttl, there := m.Local().Check("node-ttl"); !there || ttl.ServiceID != "" {
		if err := m.client.Agent().CheckRegister(&api.AgentCheckRegistration{Name: "node-ttl", AgentServiceCheck: api.AgentServiceCheck{TTL: "1h", Status: api.HealthPassing}}); err != nil {
			m.t.Fatal(err)
		}
	}
}
