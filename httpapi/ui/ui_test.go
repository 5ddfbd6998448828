package ui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/acl"
	"consul.internal/catalog"
	"consul.internal/configentry"
	"consul.internal/dnsserver"
	"consul.internal/httpapi/edge"
	"consul.internal/internal/fault"
	"consul.internal/kv"
	"consul.internal/query"
	"consul.internal/rpc"
	"go.uber.org/zap/zaptest"
)

// evil is a name of somebody who tries to write into the pages.
const evil = `"><script>alert('x')</script><img src=x onerror=alert(1)>`

// world answers operations with as much as there may be of everything.
type world struct {
	many    int    // of each thing
	name    string // of them
	denied  bool
	blocked chan struct{} // what waits for a change waits for this
	applied *rpc.KeyApplyRequest
	refuse  bool // writes are not done
	mu      sync.Mutex
	token   string
	calls   int
	failing string // an operation that does not work
	status  catalog.Status
}

// bearer is the token that was used last.
func (w *world) bearer() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.token
}

func (w *world) turn(s catalog.Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status = s
}

func (w *world) names(f func(name string)) {
	for i := range w.many {
		f(fmt.Sprintf("%s-%d", w.name, i))
	}
}

func (w *world) check(of string) *catalog.Check {
	w.mu.Lock()
	defer w.mu.Unlock()
	return &catalog.Check{Node: of, CheckID: of, Name: of, Status: w.status, Output: strings.Repeat(w.name, 200), ServiceID: of, ServiceName: of, Notes: of, Type: of}
}

func (w *world) instances(service string) (out []*catalog.Instance) {
	count := w.names
	if strings.HasPrefix(service, w.name+"-") { // few of each in the list
		count = (&world{many: min(w.many, 3), name: w.name}).names
	}
	count(func(n string) {
		out = append(out, &catalog.Instance{
			Node:    &catalog.Node{ID: n, Name: n, Address: n, Meta: map[string]string{n: n}},
			Service: &catalog.Service{ID: n, Name: service, Tags: []string{n, "b"}, Address: n, Port: 1, Meta: map[string]string{n: n}},
			Checks:  []*catalog.Check{w.check(n), w.check(n)},
		})
	})
	return out
}

func (w *world) Call(ctx context.Context, method string, in, out any) error {
	w.mu.Lock()
	w.calls++
	w.mu.Unlock()
	if method == w.failing {
		return fault.Newf(fault.Unavailable, "no servers")
	}
	if opts := rpc.ReadOf(in); opts != nil {
		w.mu.Lock()
		w.token = opts.Token
		w.mu.Unlock()
		if opts.MinIndex > 0 {
			select {
			case <-w.blocked:
			case <-ctx.Done():
			}
			return ctx.Err()
		}
	}
	if _, fixed := out.(*rpc.DatacentersReply); w.denied && !fixed {
		return fault.Newf(fault.Denied, "Permission denied: %s", evil)
	}
	switch out := out.(type) {
	case *rpc.DatacentersReply:
		out.Datacenters = []string{"dc1", "dc2", w.name}
	case *rpc.ServicesReply:
		out.Services = map[string][]string{}
		w.names(func(n string) { out.Services[n] = []string{n, "v1"} })
	case *rpc.InstancesReply:
		out.Instances = w.instances(in.(*rpc.ServiceRequest).Service)
	case *rpc.InventoryReply:
		w.names(func(n string) {
			out.Nodes = append(out.Nodes, &catalog.Inventory{
				Node: &catalog.Node{ID: n, Name: n, Address: n}, Services: []*catalog.Service{{ID: n, Name: n}},
				Checks: []*catalog.Check{w.check(n), w.check(n)},
			})
		})
	case *rpc.ChecksReply:
		w.names(func(n string) { out.Checks = append(out.Checks, w.check(n)) })
	case *rpc.NodesReply:
		w.names(func(n string) { out.Nodes = append(out.Nodes, &catalog.Node{ID: n, Name: n, Address: n}) })
	case *rpc.NodeReply:
		out.Node = &catalog.Node{Name: in.(*rpc.NodeRequest).Node, Meta: map[string]string{evil: evil}, TaggedAddresses: map[string]string{evil: evil}}
		w.names(func(n string) {
			out.Services = append(out.Services, &catalog.Service{ID: n, Name: n, Tags: []string{n}})
		})
	case *rpc.SessionsReply:
		w.names(func(n string) { out.Sessions = append(out.Sessions, &kv.Session{ID: n, Name: n, Node: n}) })
	case *rpc.KeyNamesReply:
		w.names(func(n string) {
			out.Names = append(out.Names, in.(*rpc.KeyListRequest).Prefix+n, in.(*rpc.KeyListRequest).Prefix+n+"/")
		})
	case *rpc.EntriesReply:
		out.Entries = []*kv.Entry{{Key: in.(*rpc.KeyGetRequest).Key, Value: []byte(strings.Repeat(w.name, w.many)), ModifyIndex: 7, Session: evil}}
	case *rpc.KeyApplyReply:
		w.applied = in.(*rpc.KeyApplyRequest)
		out.Done = !w.refuse
	case *rpc.QueriesReply:
		w.names(func(n string) {
			out.Queries = append(out.Queries, &query.Query{ID: n, Name: n, Token: "the secret", Service: query.Service{Service: n, Tags: []string{n}, Failover: query.Failover{Datacenters: []string{n}}}})
		})
	case *rpc.QueryExecuteReply:
		out.Service, out.Datacenter, out.Instances = w.name, w.name, w.instances(w.name)
	case *rpc.ACLTokensReply:
		w.names(func(n string) {
			out.Tokens = append(out.Tokens, &acl.Token{AccessorID: n, SecretID: "the secret", Description: n, Policies: []acl.Link{{ID: n, Name: n}}})
		})
	case *rpc.ACLTokenReply:
		if secret := rpc.ReadOf(in).Token; secret == "nobody's" {
			return fault.Newf(fault.Denied, "ACL not found")
		}
		out.Token = &acl.Token{AccessorID: evil, SecretID: "the secret", Description: evil, Roles: []acl.Link{{ID: evil, Name: evil}}}
	case *rpc.ACLPoliciesReply:
		w.names(func(n string) { out.Policies = append(out.Policies, &acl.Policy{ID: n, Name: n, Description: n}) })
	case *rpc.ACLPolicyReply:
		out.Policy = &acl.Policy{ID: evil, Name: evil, Rules: strings.Repeat(evil, w.many)}
	case *rpc.ACLRolesReply:
		w.names(func(n string) { out.Roles = append(out.Roles, &acl.Role{ID: n, Name: n, Description: n}) })
	case *rpc.ACLRoleReply:
		out.Role = &acl.Role{ID: evil, Name: evil, Policies: []acl.Link{{ID: evil, Name: evil}}}
	case *rpc.ConfigEntriesReply:
		w.names(func(n string) {
			out.Entries = append(out.Entries, &configentry.Entry{Kind: n, Name: n, Meta: map[string]string{n: n}})
		})
	case *rpc.CoordinateDatacentersReply:
		for _, dc := range []string{"dc1", "dc2", w.name} {
			out.Datacenters = append(out.Datacenters, rpc.CoordinateDatacenter{Datacenter: dc, Coordinates: []*catalog.NodeCoordinate{{Node: w.name, Coord: &catalog.Coordinate{Vec: make([]float64, 8), Height: 0.01}}}})
		}
	case *rpc.LeaderReply:
		out.Leader = w.name
	case *rpc.RaftConfigurationReply:
		out.Servers = []*rpc.RaftServer{{ID: w.name, Node: w.name, Address: w.name}}
	case *rpc.AutopilotStateReply:
		out.Servers = map[string]rpc.AutopilotServer{w.name: {ID: w.name, Name: w.name, Address: w.name, Version: w.name, Status: w.name}}
	}
	return nil
}

func (w *world) List(ctx context.Context, _ string, _ func(*kv.Event) bool, min uint64) (uint64, []*kv.Event) {
	if min > 0 {
		<-ctx.Done()
	}
	var out []*kv.Event
	w.names(func(n string) { out = append(out, &kv.Event{ID: n, Name: n, Payload: []byte(n), NodeFilter: n}) })
	return 1, out
}

func (w *world) Explain(_ context.Context, name, qtype string, _ netip.Addr) (*dnsserver.Explanation, error) {
	e := &dnsserver.Explanation{Name: name, Type: qtype, By: w.name, Status: "NOERROR", Answer: strings.Repeat(w.name, w.many), Views: []dnsserver.ExplainedView{{Name: w.name, Source: w.name}}}
	w.names(func(n string) {
		e.Instances = append(e.Instances, dnsserver.ExplainedInstance{Node: n, ID: n, Address: n, Status: n, Reason: n})
	})
	return e, nil
}

// serve makes the pages over a world.
func serve(t *testing.T, w *world, acls bool, cfg Config) http.HandlerFunc {
	t.Helper()
	base := &edge.Base{Caller: w, Settings: func() edge.Settings {
		return edge.Settings{Datacenter: "dc1", NodeName: "here", ACLs: acls}
	}}
	routes, err := Routes(cfg, Deps{Base: base, Events: w, DNS: w, Log: zaptest.NewLogger(t)})
	if err != nil {
		t.Fatal(err)
	}
	return func(rw http.ResponseWriter, r *http.Request) {
		v, err := routes[0].Handle(rw, r)
		code := http.StatusOK
		if s, ok := v.(edge.WithStatus); ok {
			code, v = s.Code, s.Value
		}
		switch {
		case err != nil:
			http.Error(rw, err.Error(), edge.StatusOf(err))
		default:
			if _, sent := v.(edge.Sent); !sent {
				rw.WriteHeader(code)
			}
			if raw, ok := v.(edge.Raw); ok {
				_, _ = rw.Write(raw)
			}
		}
	}
}

func get(h http.Handler, path string, cookies ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("Cookie", strings.Join(cookies, "; "))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func post(h http.Handler, path string, form url.Values, cookies ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Cookie", strings.Join(cookies, "; "))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// everyPage are the addresses of all pages, of things with a hostile name.
func everyPage(name string) []string {
	n := url.PathEscape(name)
	return []string{
		"dc1/services", "dc1/services/" + n, "dc1/services/" + n + "/instances/" + n + "-0/" + n + "-0", "dc1/nodes", "dc1/nodes/" + n,
		"dc1/kv/", "dc1/kv/" + n + "/", "dc1/kv/" + n + "/edit", "dc1/dns", "dc1/dns?name=" + url.QueryEscape(name), "dc1/queries", "dc1/queries/" + n,
		"dc1/acls/tokens", "dc1/acls/policies", "dc1/acls/roles", "dc1/acls/tokens/" + n, "dc1/acls/policies/" + n, "dc1/acls/roles/" + n,
		"dc1/config", "dc1/config/" + n + "/" + n, "dc1/events", "dc1/datacenters", "dc1/servers", ".login",
		"dc1/services?q=" + url.QueryEscape(name) + "&tag=&state=", "dc1/nothing?q=" + url.QueryEscape(name), n + "/services",
	}
}

// TestHostileNames: whatever things are called, it is text on the page; the page runs
// nothing and stays small.
func TestHostileNames(t *testing.T) {
	for _, tt := range []struct {
		name   string
		many   int
		denied bool
	}{{evil, 3, false}, {evil, 300, false}, {strings.Repeat(evil, 100), 60, false}, {evil, 3, true}, {"plain", 0, false}} {
		h := serve(t, &world{many: tt.many, name: tt.name, denied: tt.denied, status: catalog.Critical}, true, Config{})
		for _, path := range everyPage(evil) {
			w := get(h, "/ui/"+path, tokenCookie+"=secret-of-visitor")
			page := w.Body.String()
			if w.Header().Get("Location") != "" || len(page) < 500 {
				t.Errorf("%.60s: %d to %s, %s", path, w.Code, w.Header().Get("Location"), page)
			}
			if csp := w.Header().Get("Content-Security-Policy"); csp != policy || strings.Contains(csp, "unsafe") {
				t.Errorf("%.60s: policy %q", path, csp)
			}
			for _, bad := range []string{"<script>alert", "<img src=x", "onerror=alert(1)>", "style=", "<style", "javascript:", "the secret", "secret-of-visitor", "ZgotmplZ"} {
				if at := strings.Index(page, bad); at >= 0 {
					t.Errorf("%.60s has %s: %s", path, bad, page[max(0, at-100):min(len(page), at+100)])
				}
			}
			if strings.Count(page, "<script") != 1 {
				t.Errorf("%.60s has %d scripts", path, strings.Count(page, "<script"))
			}
			if len(page) > 100<<10 {
				t.Errorf("%.60s of %d × %d bytes has %d bytes", path, tt.many, len(tt.name), len(page))
			}
			if tt.denied && strings.HasPrefix(path, "dc1/kv") && (w.Code != http.StatusForbidden || !strings.Contains(page, "Not allowed")) {
				t.Errorf("%.60s: %d", path, w.Code)
			}
		}
	}
}

// TestAssets: all that a page loads is there and small together with it.
func TestAssets(t *testing.T) {
	h := serve(t, &world{many: 3, name: "web"}, false, Config{Path: "pages"})
	sum := get(h, "/pages/dc1/services").Body.Len()
	for _, name := range []string{"app.css", "icon.svg", "app.js", "live.js", "find.js", "keyboard.js", "theme.js"} {
		w := get(h, "/pages/.static/"+name)
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") == "" {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
		if strings.Contains(w.Body.String(), "http://") && name != "icon.svg" || strings.Contains(w.Body.String(), "https://") {
			t.Errorf("%s names something foreign", name)
		}
		sum += w.Body.Len()
		r := httptest.NewRequest(http.MethodGet, "/pages/.static/"+name, nil)
		r.Header.Set("If-None-Match", w.Header().Get("ETag"))
		again := httptest.NewRecorder()
		if h.ServeHTTP(again, r); again.Code != http.StatusNotModified {
			t.Errorf("%s again: %d", name, again.Code)
		}
	}
	if sum > 100<<10 {
		t.Errorf("%d bytes", sum)
	}
	for _, path := range []string{".static/nothing.js", ".static/../ui.go", ".static/%2e%2e%2fui.go"} {
		if w := get(h, "/pages/"+path); w.Code == http.StatusOK {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// TestOldPaths: addresses that people have kept lead to a page.
func TestOldPaths(t *testing.T) {
	h := serve(t, &world{many: 2, name: "web"}, true, Config{})
	for path, want := range map[string]string{
		"": "", "dc1": "/ui/dc1/services", "dc1/": "/ui/dc1/services", "dc2": "/ui/dc2/services", "services": "/ui/dc1/services", "nodes": "/ui/dc1/nodes",
		"dc1/services": "", "dc1/services/": "", "dc1/services/web": "", "dc1/services/web/instances": "", "dc1/services/web/instances/web-0/web-0/health-checks": "",
		"dc1/nodes": "", "dc1/nodes/web/health-checks": "", "dc1/kv": "/ui/dc1/kv/", "dc1/kv/": "", "dc1/kv/a/b/": "", "dc1/kv/a/b/edit": "", "dc1/kv/a/create": "",
		"dc1/acls": "/ui/dc1/acls/tokens", "dc1/acls/tokens": "", "dc1/overview": "/ui/dc1/servers", "dc1/overview/server-status": "/ui/dc1/servers",
		"dc1/intentions": "404", "dc1/services/web/intentions": "404", "dc9/services": "404", "%zz": "400",
	} {
		r := httptest.NewRequest(http.MethodGet, "/ui/", nil)
		r.URL.Path, r.URL.RawPath = "/ui/"+path, "/ui/"+path
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		got := w.Header().Get("Location")
		if got == "" && w.Code != http.StatusOK {
			got = fmt.Sprint(w.Code)
		}
		if path == "%zz" && w.Code == http.StatusOK {
			t.Errorf("%s: %d", path, w.Code)
			continue
		}
		if path != "%zz" && got != want {
			t.Errorf("%s leads to %q, want %q", path, got, want)
		}
	}
}

func TestKeyAddresses(t *testing.T) {
	a := &app{path: "/ui/"}
	for _, key := range []string{"a", "a/b", "a b/ü?#%", "edit", "a/edit", "create", "a//b", "/a", "a/../b", "./x", "a/", "a//", "/", "", "a/./", `"><b>`} {
		u, err := url.Parse(a.keyLink("dc1", key))
		if err != nil {
			t.Fatal(err)
		}
		c := &call{app: a, q: u.Query()}
		for _, p := range strings.Split(strings.TrimPrefix(u.EscapedPath(), "/ui/dc1/"), "/") {
			text, err := url.PathUnescape(p)
			if err != nil {
				t.Fatal(err)
			}
			c.at = append(c.at, text)
		}
		got, single := c.key()
		if got != key || single != (key != "" && !strings.HasSuffix(key, "/")) {
			t.Errorf("%q became %s and that %q, %t", key, u, got, single)
		}
	}
}

func TestChangeKey(t *testing.T) {
	for _, tt := range []struct {
		form   string
		refuse bool
		want   string // verb, key, value, index
		to     string
	}{
		{"action=create&folder=a/&name=b&value=x%0D%0Ay", false, "cas a/b x\ny 0", "/ui/dc1/kv/a/b/edit?said=saved"},
		{"action=create&folder=a/&name=b&value=x", true, "cas a/b x 0", "/ui/dc1/kv/a/b/edit?said=exists"},
		{"action=create&folder=a/&name=+&value=x", false, "", "/ui/dc1/kv/a/?said=unnamed"},
		{"action=create&folder=a/&name=b/&value=x", false, "cas a/b/  0", "/ui/dc1/kv/a/b/?said=saved"},
		{"action=save&key=a&value=x%0D%0A&index=7", false, "cas a x\n 7", "/ui/dc1/kv/a/edit?said=saved"},
		{"action=save&key=a&value=x%0D%0A&index=7&crlf=true", false, "cas a x\r\n 7", "/ui/dc1/kv/a/edit?said=saved"},
		{"action=save&key=a&value=x&index=7", true, "cas a x 7", "/ui/dc1/kv/a/edit?said=conflict"},
		{"action=save&key=a&value=x", false, "", "/ui/dc1/kv/a/edit?said=conflict"},
		{"action=delete&key=f/a&index=7", false, "delete-cas f/a  7", "/ui/dc1/kv/f/?said=deleted"},
		{"action=delete&key=f/a&index=7", true, "delete-cas f/a  7", "/ui/dc1/kv/f/a/edit?said=conflict"},
		{"action=delete-tree&key=f/g/", false, "delete-tree f/g/  0", "/ui/dc1/kv/f/?said=deleted"},
		{"action=delete-tree&key=f", false, "", ""},
		{"action=delete-tree&key=", false, "", ""},
		{"action=other&key=f", false, "", ""},
	} {
		world := &world{refuse: tt.refuse}
		form, err := url.ParseQuery(tt.form)
		if err != nil {
			t.Fatal(err)
		}
		w := post(serve(t, world, false, Config{}), "/ui/dc1/kv/", form, tokenCookie+"=mine")
		got := ""
		if a := world.applied; a != nil {
			got = fmt.Sprintf("%s %s %s %d", a.Verb, a.Key, a.Value, a.Index)
			if a.Token != "mine" || a.Datacenter != "dc1" {
				t.Errorf("%s: with %q in %q", tt.form, a.Token, a.Datacenter)
			}
		}
		if to := w.Header().Get("Location"); got != tt.want || to != tt.to {
			t.Errorf("%s: %q to %q, want %q to %q", tt.form, got, to, tt.want, tt.to)
		}
	}
	w := post(serve(t, &world{denied: true}, true, Config{}), "/ui/dc1/kv/", url.Values{"action": {"save"}, "key": {"a"}, "index": {"1"}})
	if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "Log in") {
		t.Errorf("denied: %d %s", w.Code, w.Body)
	}
}

func TestEditable(t *testing.T) {
	for text, want := range map[string]bool{"": true, "a\nb\n": true, "a\r\nb": true, "\tü": true, "a\rb": false, "a\r\nb\n": false, "\x00": false, "\xff": false, "\x1b[0m": false} {
		if editable(text) != want {
			t.Errorf("%q: %t", text, !want)
		}
	}
}

func TestLogin(t *testing.T) {
	world := &world{many: 1, name: "web"}
	h := serve(t, world, true, Config{})
	for next, want := range map[string]string{
		"/ui/dc1/nodes?q=a": "/ui/dc1/nodes?q=a", "": "/ui/", "//evil.example": "/ui/", "https://evil.example/ui/": "/ui/", "/ui/.login": "/ui/", `/ui/\evil`: "/ui/", "/v1/kv/a": "/ui/",
	} {
		w := post(h, "/ui/.login", url.Values{"token": {" mine "}, "next": {next}})
		cookie := w.Header().Get("Set-Cookie")
		if w.Code != http.StatusSeeOther || w.Header().Get("Location") != want {
			t.Errorf("%q led to %d %s", next, w.Code, w.Header().Get("Location"))
		}
		for _, part := range []string{tokenCookie + "=mine;", "Path=/ui/", "HttpOnly", "SameSite=Strict"} {
			if !strings.Contains(cookie, part) {
				t.Errorf("%s lacks %s", cookie, part)
			}
		}
	}
	for _, secret := range []string{"nobody's", "", "a b", strings.Repeat("x", 2000), "a\nb", "a;b"} {
		w := post(h, "/ui/.login", url.Values{"token": {secret}})
		if w.Header().Get("Set-Cookie") != "" || !strings.HasPrefix(w.Header().Get("Location"), "/ui/.login?failed=unknown") {
			t.Errorf("%.20q: %v", secret, w.Header())
		}
	}
	if w := post(h, "/ui/.logout", nil, tokenCookie+"=mine"); !strings.Contains(w.Header().Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("logged out: %v", w.Header())
	}
	if get(h, "/ui/dc1/services", tokenCookie+"=mine"); world.bearer() != "mine" {
		t.Errorf("the page was made with %q", world.bearer())
	}
	if get(h, "/ui/dc1/services"); world.bearer() != "" {
		t.Errorf("without a cookie the page was made with %q", world.bearer())
	}
	for path, want := range map[string]string{"/ui/dc1/nodes": "mine", "/v1/kv/a": "", "/ui/dc1/nodes?token=other": ""} {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.AddCookie(&http.Cookie{Name: tokenCookie, Value: "mine"})
		if got := Token(r, "/ui/"); got != want {
			t.Errorf("%s: %q", path, got)
		}
	}
}

// TestLive: a page's script waits until the page comes out differently, and no
// longer than a proxy does.
func TestLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := &world{many: 2, name: "web", status: catalog.Passing, blocked: make(chan struct{})}
		h := serve(t, world, false, Config{})
		first := get(h, "/ui/dc1/services/web?.live=new")
		seen := first.Header().Get("X-Live")
		if first.Code != http.StatusOK || seen == "" || strings.Contains(first.Body.String(), "<html") || !strings.Contains(first.Body.String(), "web-1") {
			t.Fatalf("%d %v %s", first.Code, first.Header(), first.Body)
		}
		if whole := get(h, "/ui/dc1/services/web").Body.String(); !strings.Contains(whole, `data-live="`+seen+`"`) {
			t.Error("the page has another sum than its part")
		}
		began := time.Now()
		if w := get(h, "/ui/dc1/services/web?.live="+seen); w.Code != http.StatusNoContent || time.Since(began) < liveWait || time.Since(began) > time.Minute {
			t.Errorf("without news: %d after %s", w.Code, time.Since(began))
		}
		began = time.Now()
		go func() {
			time.Sleep(5 * time.Second)
			world.turn(catalog.Critical)
			close(world.blocked)
		}()
		w := get(h, "/ui/dc1/services/web?.live="+seen)
		if w.Code != http.StatusOK || w.Header().Get("X-Live") == seen || !strings.Contains(w.Body.String(), "critical") {
			t.Errorf("news: %d %s", w.Code, w.Body)
		}
		if d := time.Since(began); d < 5*time.Second || d > 6*time.Second {
			t.Errorf("news after %s", d)
		}
	})
}

// TestServicesCost: the list of services costs a few calls, however many there are, and
// ends with the first that fails.
func TestServicesCost(t *testing.T) {
	for _, tt := range []struct {
		many    int
		failing string
		code    int
		most    int
	}{
		{1500, "", 200, 4},
		{maxHealth + 1, "", 200, 4 + servicesPerPage},
		{maxHealth + 1, rpc.HealthService.Name, 500, 4 + 2*parallel},
	} {
		w := &world{many: tt.many, name: "web", status: catalog.Warning, failing: tt.failing}
		r := get(serve(t, w, false, Config{}), "/ui/dc1/services")
		if r.Code != tt.code || w.calls > tt.most {
			t.Errorf("%d services, %q failing: %d with %d calls", tt.many, tt.failing, r.Code, w.calls)
		}
		if shown := strings.Count(r.Body.String(), "/ui/dc1/services/web-"); tt.code == 200 && shown < servicesPerPage {
			t.Errorf("%d services: %d shown", tt.many, shown)
		}
		if tt.many <= maxHealth && !strings.Contains(r.Body.String(), "1500") {
			t.Errorf("the figures are not there")
		}
	}
}

func TestConfig(t *testing.T) {
	for path, ok := range map[string]bool{"": true, "/ui/": true, "pages": true, "/a/b/": true, "/v1/": false, "/debug/pprof/": false, "/debugger/": true, "/{x}/": false, "/a//b/": false, "/../": false, "/a b/": false} {
		if err := (&Config{Path: path}).Validate(); (err == nil) != ok {
			t.Errorf("%q: %v", path, err)
		}
	}
}

// TestOwnFiles: a directory's pages are served instead of ours.
func TestOwnFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"index.html": "the first", "a/b.js": "let b", "a/index.html": "of a"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700), os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(dir), "secret"), []byte("no"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := serve(t, &world{}, false, Config{Dir: dir})
	for path, want := range map[string]string{
		"/ui/": "the first", "/ui/dc1/services": "the first", "/ui/a/b.js": "let b", "/ui/a/": "of a", "/ui/none.js": "404", "/ui/../secret": "400", "/ui/..%2fsecret": "400",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		var err error
		if r.URL, err = url.Parse(path); err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		body, err := io.ReadAll(w.Body)
		if got := string(body); err != nil || got != want && fmt.Sprint(w.Code) != want {
			t.Errorf("%s: %d %q, want %q", path, w.Code, got, want)
		}
	}
	if _, err := Routes(Config{Dir: filepath.Join(dir, "none")}, Deps{}); err == nil {
		t.Error("a directory that is not there is taken")
	}
}
