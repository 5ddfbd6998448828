package httpapi

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/rpc"
	"go.uber.org/zap/zaptest"
)

// fakeCaller answers every operation by a function and keeps the last request.
type fakeCaller struct {
	answer func(ctx context.Context, method string, in, out any) error
	last   any
	first  any // since it was last set to nil
}

func (f *fakeCaller) Call(ctx context.Context, method string, in, out any) error {
	f.last = in
	if f.first == nil {
		f.first = in
	}
	if f.answer == nil {
		return nil
	}
	return f.answer(ctx, method, in, out)
}

type fakeProcess struct{ Process }

func (fakeProcess) Self() Self {
	return Self{Config: map[string]any{"NodeName": strings.Repeat("n", 2000)}}
}

func newTestServer(t *testing.T, caller rpc.Caller, change func(*Config)) *Server {
	t.Helper()
	cfg := DefaultConfig()
	cfg.NodeName, cfg.Datacenter = "me", "dc1"
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg, Deps{Caller: caller, Process: fakeProcess{}, Pool: &fakePool{}, Log: zaptest.NewLogger(t)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func do(s *Server, method, target, body string, header ...string) *http.Response {
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req := httptest.NewRequest(method, target, r)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, req)
	return w.Result()
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestStatusAndText(t *testing.T) {
	kinds := func(err error) *fakeCaller {
		return &fakeCaller{answer: func(context.Context, string, any, any) error { return err }}
	}
	ok := &fakeCaller{}
	for _, tt := range []struct {
		name, method, target, body string
		caller                     *fakeCaller
		status                     int
		text                       string
	}{
		{"unknown API path", "GET", "/v1/nope", "", ok, 404, unknownAPIPath},
		{"unknown path", "GET", "/nope", "", ok, 404, unknownPath},
		{"trailing slash", "GET", "/v1/catalog/nodes/", "", ok, 404, unknownAPIPath},
		{"no UI", "GET", "/", "", ok, 200, "Consul Agent: UI disabled"},
		{"pprof off", "GET", "/debug/pprof/heap", "", ok, 404, unknownPath},
		{"method", "DELETE", "/v1/catalog/nodes", "", ok, 405, "method DELETE not allowed"},
		{"HEAD", "HEAD", "/v1/status/leader", "", ok, 405, ""},
		{"bad index", "GET", "/v1/catalog/nodes?index=-1", "", ok, 400, "Invalid index"},
		{"bad wait", "GET", "/v1/catalog/nodes?wait=x", "", ok, 400, "Invalid wait time"},
		{"two consistencies", "GET", "/v1/catalog/nodes?stale&consistent", "", ok, 400, "Cannot specify ?stale with ?consistent"},
		{"bad passing", "GET", "/v1/health/service/web?passing=maybe", "", ok, 400, "Invalid value for ?passing"},
		{"no item", "GET", "/v1/catalog/service/", "", ok, 400, "Missing service name"},
		{"bad JSON", "PUT", "/v1/catalog/register", "{", ok, 400, "Request decode failed: unexpected EOF"},
		{"no body", "PUT", "/v1/catalog/register", "", ok, 400, "Request decode failed: EOF"},
		{"extra data", "PUT", "/v1/catalog/register", `{"Node":"n"} trailing`, ok, 200, "true"},
		{"wrong type", "PUT", "/v1/catalog/register", `{"Node":7}`, ok, 400, "Request decode failed: json: cannot unmarshal number"},
		{"invalid for the operation", "GET", "/v1/catalog/nodes", "", kinds(fault.Newf(fault.Invalid, "bad")), 500, "bad"},
		{"denied", "GET", "/v1/catalog/nodes", "", kinds(fault.Newf(fault.Denied, "Permission denied")), 403, "Permission denied"},
		{"rate limited", "GET", "/v1/catalog/nodes", "", kinds(fault.Newf(fault.RateLimited, "slow down")), 429, "slow down"},
		{"no leader", "GET", "/v1/catalog/nodes", "", kinds(fault.Newf(fault.NoLeader, "No cluster leader")), 500, "No cluster leader"},
		{"empty list", "GET", "/v1/catalog/nodes", "", ok, 200, "[]"},
		{"no such node", "GET", "/v1/catalog/node/none", "", ok, 200, "null"},
		{"null services", "GET", "/v1/catalog/node-services/none", "", ok, 200, `{"Node":null,"Services":null}`},
		{"empty map", "GET", "/v1/catalog/services", "", ok, 200, "{}"},
		{"a bug", "GET", "/v1/status/leader", "", &fakeCaller{answer: func(context.Context, string, any, any) error { panic("bug") }}, 500, "internal error"},
		{"pretty", "GET", "/v1/status/peers?pretty", "", ok, 200, "[]\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := do(newTestServer(t, tt.caller, nil), tt.method, tt.target, tt.body)
			if got := text(t, r); r.StatusCode != tt.status || !strings.HasPrefix(got, tt.text) {
				t.Errorf("%d %q, want %d %q", r.StatusCode, got, tt.status, tt.text)
			}
			if r.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Error("no nosniff")
			}
		})
	}
}

// TestEveryRoute: each row of the table answers OPTIONS, refuses what it does not
// name, and never reads more than the limit.
func TestEveryRoute(t *testing.T) {
	s := newTestServer(t, &fakeCaller{}, nil)
	for _, rt := range s.routes() {
		target := rt.Path
		if strings.HasSuffix(target, "/") {
			target += "x"
		}
		allow := "OPTIONS," + strings.Join(rt.Methods, ",")
		if r := do(s, "OPTIONS", target, ""); r.StatusCode != 200 || r.Header.Get("Allow") != allow {
			t.Errorf("OPTIONS %s: %d %q", target, r.StatusCode, r.Header.Get("Allow"))
		}
		if bare(rt) {
			allow = strings.Join(rt.Methods, ",")
		}
		if r := do(s, "PATCH", target, ""); r.StatusCode != 405 || r.Header.Get("Allow") != allow {
			t.Errorf("PATCH %s: %d %q", target, r.StatusCode, r.Header.Get("Allow"))
		}
		for _, method := range rt.Methods {
			req := httptest.NewRequest(method, target, io.LimitReader(zeros{}, 300<<20))
			if streamsBody(req) {
				continue // TestRestoreStreams
			}
			req.ContentLength = 300 << 20
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, req)
			if w.Code != http.StatusRequestEntityTooLarge {
				t.Errorf("%s %s with 300 MiB: %d", method, target, w.Code)
			}
		}
	}
}

// TestChunkedBodyIsBounded: without a length, no more than the limit is read.
func TestChunkedBodyIsBounded(t *testing.T) {
	s := newTestServer(t, &fakeCaller{}, nil)
	for _, target := range []string{"/v1/catalog/register", "/v1/catalog/deregister"} {
		body := &counter{r: io.MultiReader(strings.NewReader(`{"Node":"`), io.LimitReader(zeros{}, 300<<20))}
		req := httptest.NewRequest("PUT", target, body)
		req.ContentLength = -1
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, req)
		if w.Code != http.StatusRequestEntityTooLarge || body.n > 2*maxBody {
			t.Errorf("%s: %d after %d bytes", target, w.Code, body.n)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}

type counter struct {
	r io.Reader
	n int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

func TestReadOptions(t *testing.T) {
	f := &fakeCaller{answer: func(_ context.Context, _ string, _, out any) error {
		if out, ok := out.(*rpc.InstancesReply); ok {
			out.ReadMeta = rpc.ReadMeta{Index: 42, LastContact: 1500 * time.Millisecond, KnownLeader: true, Consistency: rpc.Stale}
		}
		return nil
	}}
	s := newTestServer(t, f, nil)
	r := do(s, "GET", "/v1/health/service/web?dc=dc2&index=7&wait=20m&stale&near=n1&node-meta=a:b&node-meta=c:d&tag=x&tag=y&passing&filter=z", "",
		"Authorization", "Bearer secret")
	in, ok := f.last.(*rpc.ServiceRequest)
	if !ok {
		t.Fatalf("request %T", f.last)
	}
	if in.Datacenter != "dc2" || in.Token != "secret" || in.MinIndex != 7 || in.MaxWait != 10*time.Minute || in.Near != "n1" ||
		in.Consistency != rpc.Stale || in.NodeMeta["a"] != "b" || in.NodeMeta["c"] != "d" || len(in.Tags) != 2 || !in.Passing || in.Filter != "z" {
		t.Errorf("request %+v", in)
	}
	for k, want := range map[string]string{
		"X-Consul-Index": "42", "X-Consul-Lastcontact": "1500", "X-Consul-Knownleader": "true", "X-Consul-Effective-Consistency": "stale",
	} {
		if got := r.Header.Get(k); got != want {
			t.Errorf("%s: %q, want %q", k, got, want)
		}
	}
	do(s, "GET", "/v1/health/service/web?wait=-1s&index=1&token=q", "")
	if in := f.last.(*rpc.ServiceRequest); in.MaxWait <= 0 || in.MaxWait > time.Millisecond || in.Token != "q" {
		t.Errorf("a negative wait gave %s", in.MaxWait)
	}
	do(s, "GET", "/v1/catalog/nodes", "", "X-Consul-Token", "t")
	if in := f.last.(*rpc.NodesRequest); in.Token != "t" || in.MaxWait != 5*time.Minute {
		t.Errorf("request %+v", in)
	}
}

func TestRegisterTakesAllForms(t *testing.T) {
	f := &fakeCaller{}
	s := newTestServer(t, f, nil)
	do(s, "PUT", "/v1/catalog/register", `{"Node":"n","Address":"a","Datacenter":"dc9","Service":{"Service":"web","Weights":{"Passing":3,"Warning":0}},
		"Check":{"CheckID":"one"},"Checks":[{"CheckID":"two"}]}`)
	in := f.last.(*rpc.RegisterRequest)
	if in.Datacenter != "dc9" || in.Service.Name != "web" || in.Service.Weights != (catalog.Weights{Passing: 3}) || len(in.Checks) != 2 {
		t.Errorf("request %+v, service %+v", in, in.Service)
	}
	do(s, "PUT", "/v1/catalog/register", `{"Node":"n","Address":"a","Service":{"Service":"web"}}`)
	if in := f.last.(*rpc.RegisterRequest); in.Service.Weights != catalog.DefaultWeights {
		t.Errorf("default weights %+v", in.Service.Weights)
	}
}

func TestBlockedAndHeaders(t *testing.T) {
	s := newTestServer(t, &fakeCaller{}, func(c *Config) {
		c.BlockEndpoints = []string{"/v1/catalog"}
		c.ResponseHeaders = map[string]string{"X-Extra": "yes"}
	})
	for target, want := range map[string]int{"/v1/catalog/nodes": 403, "/v1/catalogother": 404, "/v1/status/leader": 200} {
		if r := do(s, "GET", target, ""); r.StatusCode != want || r.Header.Get("X-Extra") != "yes" {
			t.Errorf("%s: %d, X-Extra %q", target, r.StatusCode, r.Header.Get("X-Extra"))
		}
	}
}

func TestGzip(t *testing.T) {
	s := newTestServer(t, &fakeCaller{}, nil)
	r := do(s, "GET", "/v1/agent/self", "", "Accept-Encoding", "gzip")
	if r.Header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("headers %v", r.Header)
	}
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	var self Self
	if err := json.NewDecoder(z).Decode(&self); err != nil || len(self.Config["NodeName"].(string)) != 2000 {
		t.Errorf("%v, %v", self, err)
	}
	if r := do(s, "GET", "/v1/status/leader", "", "Accept-Encoding", "gzip"); r.Header.Get("Content-Encoding") != "" {
		t.Error("a short answer was compressed")
	}
	if r := do(s, "GET", "/v1/agent/self", ""); r.Header.Get("Content-Encoding") != "" {
		t.Error("compressed without being asked")
	}
}

// TestCloseEndsBlockingQueries: a query that waits is answered when the door
// closes, and does not hold it open.
func TestCloseEndsBlockingQueries(t *testing.T) {
	waiting := make(chan struct{})
	f := &fakeCaller{answer: func(ctx context.Context, _ string, _, _ any) error {
		close(waiting)
		<-ctx.Done()
		return fault.With(fault.Unavailable, context.Cause(ctx))
	}}
	s := newTestServer(t, f, func(c *Config) { c.Addrs = []string{"127.0.0.1:0"} })
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	type result struct {
		status int
		body   []byte
		err    error
	}
	got := make(chan result, 1)
	go func() {
		r, err := http.Get("http://" + s.Addrs()[0].String() + "/v1/catalog/nodes?index=9")
		if err != nil {
			got <- result{err: err}
			return
		}
		body, err := io.ReadAll(r.Body)
		got <- result{r.StatusCode, body, errors.Join(err, r.Body.Close())}
	}()
	<-waiting
	silent, err := net.Dial("tcp", s.Addrs()[0].String()) // a client that dials ahead must not hold the door open
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() }) // the server closes its end
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := silent.Read(make([]byte, 1)); err == nil {
		t.Error("a silent connection outlived the door")
	}
	if r := <-got; r.err != nil || r.status != 500 || !bytes.Contains(r.body, []byte("shutting down")) {
		t.Errorf("%d %s %v", r.status, r.body, r.err)
	}
}

func TestPortTaken(t *testing.T) {
	first := newTestServer(t, &fakeCaller{}, func(c *Config) { c.Addrs = []string{"127.0.0.1:0"} })
	if err := first.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = first.Close(context.Background()) }) // has been opened above
	second := newTestServer(t, &fakeCaller{}, func(c *Config) { c.Addrs = []string{"127.0.0.1:0", first.Addrs()[0].String()} })
	err := second.Open(t.Context())
	if err == nil || !strings.Contains(err.Error(), "ports.http") || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("error %v", err)
	}
}
