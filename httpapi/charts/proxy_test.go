package charts

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"consul.internal/acl"
	"consul.internal/httpapi/edge"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// backend keeps what it is asked, and answers as its path says.
type backend struct {
	*httptest.Server
	mu    sync.Mutex
	asked []*http.Request
}

func (b *backend) requests() []*http.Request {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.asked)
}

func newBackend(t *testing.T) *backend {
	t.Helper()
	b := &backend{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		b.asked = append(b.asked, r)
		b.mu.Unlock()
		h := w.Header()
		h.Set("Set-Cookie", "session=theirs")
		h.Set("Content-Security-Policy", "script-src *")
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		case "/long":
			h.Set("Content-Length", fmt.Sprint(maxAnswer+1))
			w.WriteHeader(http.StatusOK)
		case "/endless":
			piece := make([]byte, 1<<20)
			for range maxAnswer>>20 + 1 {
				_, _ = w.Write(piece)
			}
		case "/broken":
			h.Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half")
		case "/page":
			h.Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<script>alert(1)</script>")
		case "/bad":
			h.Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"status":"error"}`)
		default:
			h.Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"status":"success"}`)
		}
	}))
	t.Cleanup(b.Close)
	return b
}

// rules let everybody do what they give.
type rules string

func (g rules) Who(context.Context, string) (*acl.Bearer, error) {
	r, err := acl.Parse(string(g))
	if err != nil {
		return nil, err
	}
	return &acl.Bearer{Authorizer: acl.NewAuthorizer(r, acl.Options{}), Accessor: "somebody"}, nil
}

// handler serves the route as the whole edge does.
func handler(route edge.Route) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(route.Path+"{item...}", func(w http.ResponseWriter, r *http.Request) {
		if _, err := route.Handle(w, r); err != nil {
			edge.Plain(w, edge.StatusOf(err), edge.TextOf(r, err))
		}
	})
	return mux
}

// agent is one with a proxy.
func agent(t *testing.T, g edge.Guard, cfg Config) string {
	t.Helper()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(handler(Routes(&edge.Base{Guard: g}, cfg)[0]))
	t.Cleanup(s.Close)
	return s.URL
}

// get asks an agent, and says what came and whether all of it did.
func get(t *testing.T, base, path string, header ...string) (*http.Response, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+proxyPath+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	tr := &http.Transport{DisableKeepAlives: true}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return &http.Response{}, "", err
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	return resp, string(body), err
}

func TestPassedOn(t *testing.T) {
	b := newBackend(t)
	at := agent(t, nil, Config{
		Base: strings.Replace(b.URL, "http://", "http://user:pw@", 1) + "/prom/", Paths: append(DefaultPaths(), "/api/"),
		Header: http.Header{"X-Scope-Orgid": {"a", "b"}, "Accept": {"application/json"}, "Host": {"metrics.example.com"}},
	})
	resp, body, err := get(t, at, "/api/v1/query?query=up%7Bjob%3D%22a%22%7D&to%6ben=secret&time=1;2&token=secret&dc=dc2",
		"X-Consul-Token", "secret", "Authorization", "Bearer secret", "Cookie", "c=secret", "X-Scope-OrgID", "mine", "Accept", "text/html", "X-Other", "secret", "Referer", "http://secret/")
	if err != nil || resp.StatusCode != http.StatusOK || body != `{"status":"success"}` || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%v %s, %v", resp, body, err)
	}
	if resp.Header.Get("Content-Security-Policy") != answerPolicy || resp.Header.Get("Set-Cookie") != "" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("header %v", resp.Header)
	}
	got := b.requests()
	if len(got) != 1 {
		t.Fatal(got)
	}
	r := got[0]
	if want := "/prom/api/v1/query?query=up%7Bjob%3D%22a%22%7D&time=1;2&dc=dc2"; r.RequestURI != want || r.Method != http.MethodGet || r.Host != "metrics.example.com" {
		t.Errorf("%s %s %s, want %s", r.Method, r.Host, r.RequestURI, want)
	}
	if user, pw, ok := r.BasicAuth(); user != "user" || pw != "pw" || !ok {
		t.Errorf("authorization %q", r.Header["Authorization"])
	}
	if all := fmt.Sprint(r.Header); strings.Contains(all, "secret") || strings.Contains(all, "mine") || !slices.Equal(r.Header["X-Scope-Orgid"], []string{"a", "b"}) || r.Header.Get("Accept") != "application/json" {
		t.Error(all)
	}
	if _, _, err := get(t, at, "/api/"); err != nil || len(b.requests()) != 2 || b.requests()[1].RequestURI != "/prom/api/" {
		t.Error(b.requests(), err)
	}
}

// TestAnswers: what the server says comes through, but for what leads elsewhere and
// what is too long, and it does nothing in a browser.
func TestAnswers(t *testing.T) {
	b := newBackend(t)
	at := agent(t, nil, Config{Base: b.URL, Paths: []string{"/page", "/bad", "/away", "/long", "/endless", "/broken"}})
	for _, tt := range []struct {
		path   string
		status int
		text   string
		part   bool
	}{
		{"/page", 200, "<script>", false},
		{"/bad", 400, `{"status":"error"}`, false},
		{"/away", 502, "leads elsewhere", false},
		{"/long", 502, "ask for less", false},
		{"/endless", 200, "", true},
		{"/broken", 0, "", true}, // it was so short that nothing of it had left
	} {
		resp, body, err := get(t, at, tt.path)
		if resp.StatusCode != tt.status || !strings.Contains(body, tt.text) || (err != nil) != tt.part {
			t.Errorf("%s: %d %.100s, %v", tt.path, resp.StatusCode, body, err)
		}
		if resp.StatusCode != 502 && resp.StatusCode != 0 && resp.Header.Get("Content-Security-Policy") != answerPolicy || resp.Header.Get("Location") != "" {
			t.Errorf("%s: %v", tt.path, resp.Header)
		}
	}
	for _, r := range b.requests() {
		if r.URL.Path == "/elsewhere" {
			t.Error("a redirect was followed")
		}
	}
}

func TestOtherPaths(t *testing.T) {
	b := newBackend(t)
	at := agent(t, nil, Config{Base: b.URL + "/prom", Paths: DefaultPaths()})
	for _, path := range []string{
		"/", "/api/v1/status/config", "/api/v1/query/", "/api/v1/queryx", "/API/v1/query", "/api%2Fv1%2Fquery", "/api/v1/quer%79", "/api/v1/query%2f..%2fstatus",
		"/api/v1/query%00", "/..%2f..%2fapi/v1/query", "/api/v1/query%3Fx", "/api%5cv1%5cquery", "/http://other/api/v1/query",
		"/../metrics-proxy/x", "/api/v1/../status", "/%2e%2e/api/v1/query", "//api/v1/query", "/./api/v1/query",
	} {
		// Unclean ones are led to their clean form, as everywhere in the API.
		resp, body, _ := get(t, at, path)
		if resp.StatusCode != http.StatusForbidden && resp.StatusCode/100 != 3 {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		}
	}
	nothing := agent(t, nil, Config{Base: b.URL})
	if resp, body, _ := get(t, nothing, "/api/v1/query"); resp.StatusCode != http.StatusForbidden || !strings.Contains(body, "path_allowlist") {
		t.Errorf("without a list: %d %s", resp.StatusCode, body)
	}
	if got := b.requests(); len(got) != 0 {
		t.Errorf("%d requests were passed on, one for %s", len(got), got[0].RequestURI)
	}
}

// TestRights: all nodes and all services must be readable, whether there is a proxy or not.
func TestRights(t *testing.T) {
	b := newBackend(t)
	const nodes, services = `node_prefix "" { policy = "read" } `, `service_prefix "" { policy = "read" } `
	for _, tt := range []struct {
		rules  rules
		passes bool
		lacks  string
	}{
		{"", false, "node:read"},
		{nodes, false, "service:read"},
		{services, false, "node:read"},
		{nodes + `service_prefix "w" { policy = "write" } service "web" { policy = "read" }`, false, "service:read"},
		{nodes + services + `service "secret" { policy = "deny" }`, false, "service:read"},
		{`node_prefix "a" { policy = "deny" }` + nodes + services, false, "node:read"},
		{`operator = "write" acl = "write"`, false, "node:read"},
		{nodes + services, true, ""},
		{`node_prefix "" { policy = "write" } service_prefix "" { policy = "write" } service "x" { policy = "read" }`, true, ""},
	} {
		for _, base := range []string{b.URL, ""} {
			before := len(b.requests())
			resp, body, _ := get(t, agent(t, tt.rules, Config{Base: base, Paths: DefaultPaths()}), "/api/v1/query")
			want := http.StatusForbidden
			switch {
			case tt.passes && base != "":
				want, before = http.StatusOK, before+1
			case tt.passes:
				want = http.StatusNotFound
			}
			if resp.StatusCode != want || !strings.Contains(body, tt.lacks) || len(b.requests()) != before {
				t.Errorf("%s with %q: %d %s, %d requests", tt.rules, base, resp.StatusCode, body, len(b.requests())-before)
			}
		}
	}
}

func TestNoServer(t *testing.T) {
	b := newBackend(t)
	b.Close()
	at := agent(t, nil, Config{Base: strings.Replace(b.URL, "http://", "http://user:pw@", 1), Paths: DefaultPaths()})
	if resp, body, _ := get(t, at, "/api/v1/query"); resp.StatusCode != http.StatusBadGateway || !strings.Contains(body, "cannot be reached") || strings.Contains(body, "pw@") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

// roundTrips is a transport that is a function.
type roundTrips func(*http.Request) (*http.Response, error)

func (f roundTrips) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestPatience: who waits for a server that says nothing is told so, and no more than
// a few can.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &proxy{Base: &edge.Base{}, cfg: Config{Base: "http://metrics", Paths: DefaultPaths()}, under: make(chan struct{}, atOnce)}
		p.client = &http.Client{Transport: roundTrips(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})}
		h := handler(edge.Get(proxyPath+"/", p.serve))
		ask := func(ctx context.Context) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, proxyPath+"/api/v1/query", nil))
			return w
		}
		gone, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		answers := make([]*httptest.ResponseRecorder, atOnce)
		for i := range answers {
			ctx := t.Context()
			if i == 0 {
				ctx = gone
			}
			wg.Go(func() { answers[i] = ask(ctx) })
		}
		synctest.Wait()
		if w := ask(t.Context()); w.Code != http.StatusServiceUnavailable {
			t.Errorf("one too many: %d %s", w.Code, w.Body)
		}
		leave()
		synctest.Wait()
		wg.Wait()
		for i, w := range answers {
			if i > 0 && (w.Code != http.StatusGatewayTimeout || !strings.Contains(w.Body.String(), "30s")) || i == 0 && w.Code != http.StatusInternalServerError {
				t.Errorf("%d: %d %s", i, w.Code, w.Body)
			}
		}
		if len(p.under) != 0 {
			t.Errorf("%d are under way for ever", len(p.under))
		}
	})
}
