package daemon_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// external puts an instance of a service on a node without an agent.
func (n *node) external(t *testing.T, node, service, status string, tags ...string) {
	t.Helper()
	_, err := n.client.Catalog().Register(&api.CatalogRegistration{
		Node: node, Address: "10.0.0.9", NodeMeta: map[string]string{"kind": strings.TrimRight(node, "-0123456789")},
		Service: &api.AgentService{Service: service, Port: 80, Tags: tags},
		Checks:  api.HealthChecks{{CheckID: service, Name: service, ServiceID: service, Status: status}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
}

// good fails the test on an error, and gives the value.
func good[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// listed is good for queries, which must have an index and a leader, too.
func listed[T any](v T, meta *api.QueryMeta, err error) func(*testing.T) (T, uint64) {
	return func(t *testing.T) (T, uint64) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if meta.LastIndex == 0 || !meta.KnownLeader {
			t.Errorf("index %d, a leader known: %v", meta.LastIndex, meta.KnownLeader)
		}
		return v, meta.LastIndex
	}
}

// refused wants an error with a status and a text.
func refused(t *testing.T, err error, status int, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), strconv.Itoa(status)) || !strings.Contains(err.Error(), text) {
		t.Errorf("got %v, want status %d and %q", err, status, text)
	}
}

// TestClientAgent calls what the official client has for the own agent.
func TestClientAgent(t *testing.T) {
	n := start(t, freeAddr(t), "-dev")
	a := n.client.Agent()
	if host := good(a.Host())(t); host["Memory"] == nil {
		t.Errorf("host %v", host)
	}
	if v := good(a.Version())(t); v["HumanVersion"] == nil {
		t.Errorf("version %v", v)
	}
	if m := good(a.Metrics())(t); len(m.Gauges)+len(m.Counters)+len(m.Samples) == 0 {
		t.Error("no metrics")
	}
	if name := good(a.NodeName())(t); name != "node-a" {
		t.Errorf("node name %q", name)
	}
	if err := a.Reload(); err != nil {
		t.Error(err)
	}
	if m := good(a.MembersOpts(api.MembersOpts{Filter: `Name == "node-a"`}))(t); len(m) != 1 || !m[0].IsConsulServer() {
		t.Errorf("members %+v", m)
	}
	_, err := a.UpdateDefaultACLToken("x", nil)
	refused(t, err, http.StatusUnauthorized, "ACL support disabled")

	stop := make(chan struct{})
	for name, monitor := range map[string]func(string, <-chan struct{}, *api.QueryOptions) (chan string, error){"text": a.Monitor, "JSON": a.MonitorJSON} {
		if _, err := monitor("nonsense", stop, nil); err == nil {
			t.Errorf("monitor as %s takes any level", name)
		}
	}
	close(stop)
}

// TestClientAgentServices walks through services and checks of the own agent.
func TestClientAgentServices(t *testing.T) {
	n := start(t, freeAddr(t), "-dev")
	a := n.client.Agent()
	two := &api.AgentServiceRegistration{
		ID: "web-1", Name: "web", Port: 80, Tags: []string{"v1"}, Meta: map[string]string{"team": "a"},
		Checks: api.AgentServiceChecks{
			{CheckID: "one", TTL: "1h", Status: api.HealthPassing}, {CheckID: "two", TTL: "1h", Status: api.HealthPassing},
		},
	}
	if err := a.ServiceRegister(two); err != nil {
		t.Fatal(err)
	}
	if err := a.ServiceRegister(&api.AgentServiceRegistration{Name: "db", Port: 5432}); err != nil {
		t.Fatal(err)
	}
	if s := good(a.ServicesWithFilter(`"v1" in Tags and Meta.team == a`))(t); len(s) != 1 || s["web-1"] == nil || s["web-1"].Port != 80 {
		t.Errorf("services %v", s)
	}
	if c := good(a.ChecksWithFilter(`CheckID == "two"`))(t); len(c) != 1 || c["two"].ServiceID != "web-1" {
		t.Errorf("checks %v", c)
	}
	_, err := a.ServicesWithFilter("Nonsense ==")
	refused(t, err, http.StatusInternalServerError, "Failed to create boolean expression evaluator")

	// A service is watched by its hash.
	s, meta, err := a.Service("web-1", nil)
	if err != nil || meta.LastContentHash == "" || s.ContentHash != meta.LastContentHash {
		t.Fatalf("service %+v, %+v, %v", s, meta, err)
	}
	changed := make(chan *api.AgentService, 1)
	go func() {
		s, _, _ := a.Service("web-1", &api.QueryOptions{WaitHash: meta.LastContentHash, WaitTime: time.Minute})
		changed <- s
	}()
	one := *two
	one.Port, one.Checks = 81, two.Checks[:1]
	if err := a.ServiceRegisterOpts(&one, api.ServiceRegisterOpts{ReplaceExistingChecks: true}); err != nil {
		t.Fatal(err)
	}
	if s := <-changed; s == nil || s.Port != 81 {
		t.Errorf("the watch gave %+v", s)
	}
	if c := good(a.Checks())(t); len(c) != 1 || c["one"] == nil {
		t.Errorf("checks after a registration that replaces them: %v", c)
	}

	health := func(want string) {
		t.Helper()
		code := want // the client knows it by the HTTP status, which is the same for both
		if want == api.HealthMaint {
			code = api.HealthCritical
		}
		byID, info, err := a.AgentHealthServiceByID("web-1")
		if err != nil || byID != code || info == nil || info.AggregatedStatus != want || len(info.Checks) < 1 {
			t.Errorf("by ID: %s, %+v, %v; want %s", byID, info, err, want)
		}
		byName, infos, err := a.AgentHealthServiceByName("web")
		if err != nil || byName != code || len(infos) != 1 || infos[0].AggregatedStatus != want {
			t.Errorf("by name: %s, %+v, %v; want %s", byName, infos, err, want)
		}
	}
	for _, step := range []struct {
		do   func() error
		want string
	}{
		{func() error { return a.WarnTTL("one", "so so") }, api.HealthWarning},
		{func() error { return a.FailTTL("one", "bad") }, api.HealthCritical},
		{func() error { return a.UpdateTTL("one", "better", api.HealthWarning) }, api.HealthWarning},
		{func() error { return a.PassTTL("one", "fine") }, api.HealthPassing},
		{func() error { return a.EnableServiceMaintenance("web-1", "new disk") }, api.HealthMaint},
		{func() error { return a.DisableServiceMaintenance("web-1") }, api.HealthPassing},
		{func() error { return a.EnableNodeMaintenance("new rack") }, api.HealthMaint},
		{a.DisableNodeMaintenance, api.HealthPassing},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		health(step.want)
	}
	if status, info, err := a.AgentHealthServiceByID("nosuch"); err != nil || status != api.HealthCritical || info != nil {
		t.Errorf("a service that is not there: %s, %v, %v", status, info, err)
	}
	refused(t, a.ServiceDeregister("nosuch"), http.StatusNotFound, "Unknown service ID")
	refused(t, a.CheckDeregister("nosuch"), http.StatusNotFound, "Unknown check ID")
	refused(t, a.PassTTL("nosuch", ""), http.StatusNotFound, "Unknown check ID")

	check := &api.AgentCheckRegistration{Name: "disk", AgentServiceCheck: api.AgentServiceCheck{TTL: "1h"}}
	if err := a.CheckRegister(check); err != nil {
		t.Fatal(err)
	}
	health(api.HealthCritical) // the node's check bears on its services
	if err := a.CheckDeregister("disk"); err != nil {
		t.Fatal(err)
	}
	health(api.HealthPassing)
}

// shop starts an agent with a small catalog.
func shop(t *testing.T) *node {
	t.Helper()
	n := start(t, freeAddr(t), "-dev")
	n.external(t, "app-1", "web", api.HealthPassing, "v1", "blue")
	n.external(t, "app-2", "web", api.HealthCritical, "v1", "green")
	n.external(t, "db-1", "db", api.HealthPassing)
	if _, err := n.client.Catalog().Register(&api.CatalogRegistration{
		Node: "app-1", SkipNodeUpdate: true,
		Service: &api.AgentService{Kind: api.ServiceKindConnectProxy, Service: "web-proxy", Port: 81, Proxy: &api.AgentServiceConnectProxyConfig{DestinationServiceName: "web"}},
	}, nil); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestClientQueries calls each query of the official client that lists nodes,
// instances or checks, with what narrows it.
func TestClientQueries(t *testing.T) {
	n := shop(t)
	c, h := n.client.Catalog(), n.client.Health()
	app := &api.QueryOptions{NodeMeta: map[string]string{"kind": "app"}}

	nodes := func(list []*api.Node) (out []string) {
		for _, x := range list {
			out = append(out, x.Node)
		}
		return out
	}
	services := func(list []*api.CatalogService) (out []string) {
		for _, x := range list {
			out = append(out, x.Node+"/"+x.ServiceName)
		}
		return out
	}
	entries := func(list []*api.ServiceEntry) (out []string) {
		for _, x := range list {
			out = append(out, x.Node.Node+"/"+x.Service.Service+"="+x.Checks.AggregatedStatus())
		}
		return out
	}
	checks := func(list api.HealthChecks) (out []string) {
		for _, x := range list {
			out = append(out, x.Node+"/"+x.CheckID)
		}
		return out
	}
	filter := func(f string) *api.QueryOptions { return &api.QueryOptions{Filter: f} }
	ask := func(got []string, index uint64) func() ([]string, uint64) {
		return func() ([]string, uint64) { return got, index }
	}
	for _, tt := range []struct {
		name string
		got  func() ([]string, uint64)
		want string
	}{
		{"nodes", func() ([]string, uint64) { v, i := listed(c.Nodes(app))(t); return nodes(v), i }, "app-1 app-2"},
		{"nodes by filter", func() ([]string, uint64) {
			v, i := listed(c.Nodes(filter(`Meta.kind != app and Node != "node-a"`)))(t)
			return nodes(v), i
		}, "db-1"},
		{"services", func() ([]string, uint64) { v, i := listed(c.Services(app))(t); return slices.Sorted(maps.Keys(v)), i }, "web web-proxy"},
		{"service", func() ([]string, uint64) { v, i := listed(c.Service("web", "", nil))(t); return services(v), i }, "app-1/web app-2/web"},
		{"service by tag", func() ([]string, uint64) { v, i := listed(c.Service("web", "green", nil))(t); return services(v), i }, "app-2/web"},
		{"service by tags", func() ([]string, uint64) {
			v, i := listed(c.ServiceMultipleTags("web", []string{"v1", "blue"}, nil))(t)
			return services(v), i
		}, "app-1/web"},
		{"service by filter", func() ([]string, uint64) {
			v, i := listed(c.Service("web", "", filter(`"green" in ServiceTags`)))(t)
			return services(v), i
		}, "app-2/web"},
		{"connect", func() ([]string, uint64) { v, i := listed(c.Connect("web", "", nil))(t); return services(v), i }, "app-1/web-proxy"},
		{"connect by tags", func() ([]string, uint64) {
			v, i := listed(c.ConnectMultipleTags("web", []string{"v1"}, nil))(t)
			return services(v), i
		}, ""},
		{"node's checks", func() ([]string, uint64) { v, i := listed(h.Node("app-2", nil))(t); return checks(v), i }, "app-2/web"},
		{"service's checks", func() ([]string, uint64) { v, i := listed(h.Checks("web", app))(t); return checks(v), i }, "app-1/web app-2/web"},
		{"critical", func() ([]string, uint64) { v, i := listed(h.State(api.HealthCritical, nil))(t); return checks(v), i }, "app-2/web"},
		{"any, by filter", func() ([]string, uint64) {
			v, i := listed(h.State(api.HealthAny, filter(`ServiceName == db`)))(t)
			return checks(v), i
		}, "db-1/db"},
		{"health", func() ([]string, uint64) { v, i := listed(h.Service("web", "", false, nil))(t); return entries(v), i }, "app-1/web=passing app-2/web=critical"},
		{"passing", func() ([]string, uint64) { v, i := listed(h.Service("web", "v1", true, nil))(t); return entries(v), i }, "app-1/web=passing"},
		{"health by tags", func() ([]string, uint64) {
			v, i := listed(h.ServiceMultipleTags("web", []string{"green", "v1"}, false, nil))(t)
			return entries(v), i
		}, "app-2/web=critical"},
		{"health by filter", func() ([]string, uint64) {
			v, i := listed(h.Service("web", "", false, filter(`Checks.Status == critical`)))(t)
			return entries(v), i
		}, "app-2/web=critical"},
		{"health in the mesh", func() ([]string, uint64) { v, i := listed(h.Connect("web", "", true, nil))(t); return entries(v), i }, "app-1/web-proxy=passing"},
		{"ingress", func() ([]string, uint64) { v, i := listed(h.Ingress("web", false, nil))(t); return entries(v), i }, ""},
		{"gateway", func() ([]string, uint64) {
			v, i := listed(c.GatewayServices("gw", nil))(t)
			return ask(nil, uint64(len(v))+i)()
		}, ""},
	} {
		if got, index := tt.got(); strings.Join(got, " ") != tt.want || index == 0 {
			t.Errorf("%s: got %v at %d, want %s", tt.name, got, index, tt.want)
		}
	}
}

// TestClientCatalog calls the rest of the catalog's and the status's methods.
func TestClientCatalog(t *testing.T) {
	n := shop(t)
	c, h := n.client.Catalog(), n.client.Health()
	if dcs := good(c.Datacenters())(t); !slices.Equal(dcs, []string{"dc1"}) {
		t.Errorf("datacenters %v", dcs)
	}
	for _, q := range []*api.QueryOptions{{Near: "_agent"}, {AllowStale: true}, {RequireConsistent: true}, {UseCache: true, MaxAge: time.Minute}, {Datacenter: "dc1"}} {
		if got, _ := listed(h.Service("web", "", false, q))(t); len(got) != 2 {
			t.Errorf("with %+v: %d instances", q, len(got))
		}
	}
	_, _, err := h.Service("web", "", false, &api.QueryOptions{Filter: "Nonsense.Field == 1"})
	refused(t, err, http.StatusInternalServerError, "Failed to create boolean expression evaluator")
	_, _, err = c.Nodes(&api.QueryOptions{Datacenter: "nowhere"})
	refused(t, err, http.StatusInternalServerError, "No path to datacenter")

	one, _ := listed(c.Node("app-1", nil))(t)
	list, _ := listed(c.NodeServiceList("app-1", nil))(t)
	if len(one.Services) != 2 || one.Services["web"].Port != 80 || len(list.Services) != 2 || list.Node.Node != "app-1" {
		t.Errorf("node %+v, list %+v", one, list)
	}
	if none, _, err := c.Node("nosuch", nil); err != nil || none != nil {
		t.Errorf("a node that is not there: %+v, %v", none, err)
	}
	if _, err := c.Deregister(&api.CatalogDeregistration{Node: "app-1", ServiceID: "web"}, nil); err != nil {
		t.Fatal(err)
	}
	if got, _ := listed(c.Service("web", "", nil))(t); len(got) != 1 {
		t.Errorf("%d instances after one was deregistered", len(got))
	}
	s := n.client.Status()
	if leader, peers := good(s.Leader())(t), good(s.Peers())(t); leader != n.addr+":8300" || !slices.Equal(peers, []string{leader}) {
		t.Errorf("leader %s, peers %v", leader, peers)
	}
	_, err = s.LeaderWithQueryOptions(&api.QueryOptions{Datacenter: "nowhere"})
	refused(t, err, http.StatusInternalServerError, "No path to datacenter")
}

// TestRegistratorLike registers as agents of containers do: with each form of
// check, again and again, and takes away what it does not know.
func TestRegistratorLike(t *testing.T) {
	n := start(t, freeAddr(t), "-dev")
	a := n.client.Agent()
	if leader := good(n.client.Status().Leader())(t); leader == "" {
		t.Fatal("no leader")
	}
	forms := map[string]*api.AgentServiceCheck{
		"http":   {HTTP: "http://127.0.0.1:9/health", Method: "HEAD", Header: map[string][]string{"X-A": {"b"}}, Interval: "10s", Timeout: "1s"},
		"https":  {HTTP: "https://127.0.0.1:9/", TLSSkipVerify: true, Interval: "10s"},
		"tcp":    {TCP: "127.0.0.1:9", Interval: "15s", DeregisterCriticalServiceAfter: "10m"},
		"udp":    {UDP: "127.0.0.1:9", Interval: "15s"},
		"grpc":   {GRPC: "127.0.0.1:9/svc", Interval: "15s"},
		"h2ping": {H2PING: "127.0.0.1:9", Interval: "15s", H2PingUseTLS: false},
		"ttl":    {TTL: "30s", Status: api.HealthPassing},
		"alias":  {AliasNode: "node-a"},
	}
	for range 2 { // as at each resync
		for form, check := range forms {
			r := &api.AgentServiceRegistration{
				ID: "host:" + form + ":80", Name: form, Port: 80, Address: "172.17.0.2", Tags: []string{"c1"}, Check: check,
			}
			if err := a.ServiceRegister(r); err != nil {
				t.Fatalf("%s: %v", form, err)
			}
		}
	}
	types := map[string]string{}
	for _, c := range good(a.Checks())(t) {
		types[c.ServiceName] = c.Type
	}
	for form := range forms {
		want := form
		if form == "https" {
			want = "http"
		}
		if types[form] != want {
			t.Errorf("check of %s has type %q", form, types[form])
		}
	}
	refused(t, a.ServiceRegister(&api.AgentServiceRegistration{Name: "bad", Check: &api.AgentServiceCheck{Interval: "10s"}}), http.StatusBadRequest, "")
	for id := range good(a.Services())(t) {
		if strings.HasPrefix(id, "host:") {
			if err := a.ServiceDeregister(id); err != nil {
				t.Error(err)
			}
		}
	}
	if left, checks := good(a.Services())(t), good(a.Checks())(t); len(left) != 0 || len(checks) != 0 {
		t.Errorf("left are %v and %v", left, checks)
	}
	n.await(t, "the catalog without them", func() bool {
		names, _, err := n.client.Catalog().Services(nil)
		return err == nil && len(names) == 1
	})
}

// TestFabioLike follows all checks by index and, when they change, asks for the
// passing services' addresses.
func TestFabioLike(t *testing.T) {
	n := start(t, freeAddr(t), "-dev")
	if self := good(n.client.Agent().Self())(t); self["Config"]["Datacenter"] != "dc1" {
		t.Fatalf("self %v", self)
	}
	var index uint64
	routes := func() []string {
		t.Helper()
		checks, next := listed(n.client.Health().State(api.HealthAny, &api.QueryOptions{RequireConsistent: true, WaitIndex: index}))(t)
		index = next
		var out []string
		for _, c := range checks {
			if c.Status != api.HealthPassing || !slices.ContainsFunc(c.ServiceTags, func(t string) bool { return strings.HasPrefix(t, "urlprefix-") }) {
				continue
			}
			instances, _ := listed(n.client.Catalog().Service(c.ServiceName, "", nil))(t)
			for _, s := range instances {
				if s.Node == c.Node && s.ServiceID == c.ServiceID {
					out = append(out, strings.TrimPrefix(s.ServiceTags[0], "urlprefix-")+" "+s.Address+":"+strconv.Itoa(s.ServicePort))
				}
			}
		}
		return out
	}
	follow := func(want ...string) {
		t.Helper()
		for got := routes(); !slices.Equal(got, want); got = routes() { // each waits for a change
			t.Logf("routes %v", got)
		}
	}
	follow()
	n.external(t, "app-1", "web", api.HealthPassing, "urlprefix-/a")
	n.external(t, "app-1", "plain", api.HealthPassing)
	follow("/a 10.0.0.9:80")
	n.external(t, "app-1", "web", api.HealthCritical, "urlprefix-/a")
	follow()
	n.external(t, "app-1", "web", api.HealthPassing, "urlprefix-/a")
	follow("/a 10.0.0.9:80")
}

// TestTraefikLike follows the list of services by index, and each service's
// passing instances, stale, with a filter and tags.
func TestTraefikLike(t *testing.T) {
	n := start(t, freeAddr(t), "-dev")
	stale := func(index uint64) *api.QueryOptions {
		return &api.QueryOptions{AllowStale: true, WaitIndex: index, Filter: `ServiceTags contains "traefik.enable=true"`}
	}
	names, index := listed(n.client.Catalog().Services(stale(0)))(t)
	if len(names) != 0 {
		t.Fatalf("services %v", names)
	}
	type result struct {
		names map[string][]string
		err   error
	}
	woken := make(chan result, 1)
	go func() {
		names, _, err := n.client.Catalog().Services(stale(index))
		woken <- result{names, err}
	}()
	n.external(t, "app-1", "web", api.HealthPassing, "traefik.enable=true", "v1")
	if r := <-woken; r.err != nil || !slices.Contains(r.names["web"], "traefik.enable=true") {
		t.Fatalf("services %v, %v", r.names, r.err)
	}
	_, index = listed(n.client.Health().Service("web", "traefik.enable=true", true, onPort80(0)))(t)
	gone := make(chan []*api.ServiceEntry, 1)
	go func() {
		list, _, err := n.client.Health().Service("web", "traefik.enable=true", true, onPort80(index))
		if err != nil {
			t.Error(err)
		}
		gone <- list
	}()
	n.external(t, "app-1", "web", api.HealthWarning, "traefik.enable=true", "v1")
	if list := <-gone; len(list) != 0 {
		t.Errorf("%d passing instances after a warning", len(list))
	}
}

func onPort80(index uint64) *api.QueryOptions {
	return &api.QueryOptions{AllowStale: true, WaitIndex: index, Filter: `Service.Port == 80`}
}

// TestPrometheusLike asks as consul_sd does, over plain HTTP: index, wait, stale
// and node metadata, and reads the headers that such clients go by.
func TestPrometheusLike(t *testing.T) {
	n := start(t, freeAddr(t), "-dev")
	get := func(path string, q url.Values) (string, uint64) {
		t.Helper()
		r, err := http.Get("http://" + n.addr + ":8500" + path + "?" + q.Encode())
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s %s %v", path, r.Status, body, err)
		}
		index, err := strconv.ParseUint(r.Header.Get("X-Consul-Index"), 10, 64)
		if err != nil || index == 0 || r.Header.Get("X-Consul-Knownleader") != "true" || r.Header.Get("X-Consul-Lastcontact") == "" {
			t.Fatalf("%s: headers %v, %v", path, r.Header, err)
		}
		return string(body), index
	}
	query := func(index uint64) url.Values {
		return url.Values{"index": {fmt.Sprint(index)}, "wait": {"30s"}, "stale": {""}, "node-meta": {"kind:app"}}
	}
	n.external(t, "db-1", "elsewhere", api.HealthPassing, "metrics")
	body, index := get("/v1/catalog/services", query(0))
	if body != "{}" {
		t.Fatalf("services %s", body)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for index, body := index, "{}"; body == "{}"; body, index = get("/v1/catalog/services", query(index)) {
		}
	}()
	n.external(t, "app-1", "web", api.HealthPassing, "metrics")
	<-done
	tagged := func(index uint64) url.Values {
		q := query(index)
		q["tag"] = []string{"metrics"}
		return q
	}
	body, index = get("/v1/health/service/web", tagged(0))
	if !strings.Contains(body, `"app-1"`) || !strings.Contains(body, `"passing"`) {
		t.Fatalf("instances %s", body)
	}
	n.external(t, "app-1", "web", api.HealthCritical, "metrics")
	body, next := get("/v1/health/service/web", tagged(index))
	if next <= index || !strings.Contains(body, `"critical"`) {
		t.Errorf("at %d after %d: %s", next, index, body)
	}
	passing := tagged(0)
	passing["passing"] = []string{"1"}
	if body, _ := get("/v1/health/service/web", passing); body != "[]" {
		t.Errorf("passing: %s", body)
	}
}
