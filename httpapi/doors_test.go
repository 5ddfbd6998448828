package httpapi

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"consul.internal/httpapi/guard"
	"consul.internal/rpc"
)

// listening opens a server on a free port and gives its address.
func listening(t *testing.T, caller rpc.Caller, change func(*Config)) (*Server, string) {
	t.Helper()
	s := newTestServer(t, caller, func(c *Config) {
		c.Addrs = []string{"127.0.0.1:0"}
		if change != nil {
			change(c)
		}
	})
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	if len(s.Addrs()) == 0 {
		return s, ""
	}
	return s, s.Addrs()[0].String()
}

// raw sends text over a connection of its own and gives the answer's status and body.
func raw(t *testing.T, network, addr, text string) (int, string) {
	t.Helper()
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(body)
}

// TestStrangersPages: over real sockets, a name that leads here and a page of
// another site get nothing and change nothing, whatever the path; a reload changes
// which names are known; over a unix socket any name will do.
func TestStrangersPages(t *testing.T) {
	f := &fakeCaller{}
	socket := filepath.Join(t.TempDir(), "http.sock")
	s, addr := listening(t, f, func(c *Config) {
		c.AllowedHosts, c.Domains, c.Sockets = nil, []string{"consul."}, []Socket{{Path: socket}}
		c.ResponseHeaders = map[string]string{"Access-Control-Allow-Origin": "*"}
	})
	for _, tt := range []struct {
		network, request string
		want             int
		text             string
	}{
		{"tcp", "GET /v1/catalog/nodes HTTP/1.1\r\nHost: evil.example:8500\r\n\r\n", 403, "http_config.allowed_hosts"},
		{"tcp", "GET /v1/nope HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403, "http_config.allowed_hosts"},
		{"tcp", "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403, "http_config.allowed_hosts"},
		{"tcp", "GET http://evil.example/v1/catalog/nodes HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 403, "http_config.allowed_hosts"},
		{"tcp", "PUT /v1/catalog/register HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: https://evil.example\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\n{\"Node\":\"n\"}", 403, "Origin: https://evil.example"},
		{"tcp", "PUT /v1/catalog/register HTTP/1.1\r\nHost: 127.0.0.1\r\nSec-Fetch-Site: cross-site\r\nContent-Length: 12\r\n\r\n{\"Node\":\"n\"}", 403, "cross-site"},
		{"unix", "PUT /v1/catalog/register HTTP/1.1\r\nHost: any.name\r\nSec-Fetch-Site: cross-site\r\nContent-Length: 12\r\n\r\n{\"Node\":\"n\"}", 403, "cross-site"},
	} {
		at := addr
		if tt.network == "unix" {
			at = socket
		}
		if status, text := raw(t, tt.network, at, tt.request); status != tt.want || !strings.Contains(text, tt.text) {
			t.Errorf("%s %q: %d %s", tt.network, tt.request, status, text)
		}
	}
	if f.last != nil {
		t.Errorf("the servers were asked for %+v", f.last)
	}
	for _, ok := range []struct{ network, addr, request string }{
		{"tcp", addr, "GET /v1/catalog/nodes HTTP/1.1\r\nHost: consul.service.consul:8500\r\nOrigin: https://evil.example\r\n\r\n"},
		{"tcp", addr, "GET /v1/catalog/nodes HTTP/1.0\r\n\r\n"},
		{"unix", socket, "GET /v1/catalog/nodes HTTP/1.1\r\nHost: any.name.at.all\r\n\r\n"},
		{"tcp", addr, "PUT /v1/catalog/register HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\n{\"Node\":\"n\"}"},
	} {
		if status, text := raw(t, ok.network, ok.addr, ok.request); status != 200 {
			t.Errorf("%q: %d %s", ok.request, status, text)
		}
	}
	cfg := *s.config()
	cfg.AllowedHosts = []string{"evil.example"}
	if err := s.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	if status, text := raw(t, "tcp", addr, "GET /v1/catalog/nodes HTTP/1.1\r\nHost: evil.example:8500\r\n\r\n"); status != 200 {
		t.Errorf("after a reload: %d %s", status, text)
	}
}

// TestReloadKeepsTheStart: what the doors were made of at the start is not half changed.
func TestReloadKeepsTheStart(t *testing.T) {
	s := newTestServer(t, &fakeCaller{}, func(c *Config) { c.ACLs, c.ACLDefaultPolicy = true, "deny" })
	h := s.Handler()
	get := func(path string) *http.Response {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w.Result()
	}
	cfg := DefaultConfig()
	cfg.UI, cfg.Pages.Path = true, "/other/"
	cfg.ResponseHeaders = map[string]string{"X-New": "yes"}
	if err := s.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	root := get("/")
	if root.StatusCode != http.StatusOK || root.Header.Get("X-New") != "yes" {
		t.Errorf("/ leads to pages that are not there: %d %v", root.StatusCode, root.Header)
	}
	r := httptest.NewRequest("GET", "/", nil)
	if at := s.config().Pages.At(); at != "/ui/" || s.tokenOf(r) != "" {
		t.Errorf("cookies of %s are looked for", at)
	}
	leader := get("/v1/status/leader")
	if got := leader.Header.Get("X-Consul-Default-Acl-Policy"); got != "deny" {
		t.Errorf("the default policy is %q", got)
	}
	if self := get("/v1/acl/token/self"); self.StatusCode == http.StatusUnauthorized {
		t.Errorf("access control is told to be off: %s", text(t, self))
	}
}

// TestConnsPerClient: who holds too many connections is told so, and a reload
// changes how many those are.
func TestConnsPerClient(t *testing.T) {
	s, addr := listening(t, &fakeCaller{}, func(c *Config) { c.MaxConnsPerClient = 2 })
	ask := "GET /v1/status/leader HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
	hold := func() {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if _, err := io.WriteString(c, ask); err != nil {
			t.Fatal(err)
		}
		if r, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || r.StatusCode != 200 {
			t.Fatalf("%v %v", r, err)
		}
	}
	hold()
	hold()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || r.StatusCode != http.StatusTooManyRequests {
		t.Fatalf("a third connection: %v %v", r, err)
	}
	if b, err := io.ReadAll(r.Body); err != nil || string(b) != tooMany {
		t.Errorf("%q %v", b, err)
	}
	_ = c.Close()
	cfg := *s.config()
	cfg.MaxConnsPerClient = 3
	if err := s.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	hold()
}

// TestLargeHeaders: a header of 64 KiB is taken; many at once do not fill the memory.
func TestLargeHeaders(t *testing.T) {
	block := make(chan struct{})
	inside := make(chan struct{}, 1000)
	f := &fakeCaller{answer: func(ctx context.Context, _ string, _, _ any) error {
		inside <- struct{}{}
		<-block
		return nil
	}}
	_, addr := listening(t, f, func(c *Config) { c.MaxHeaderBytes = 1 << 20; c.MaxConnsPerClient = 0 })
	large := fmt.Sprintf("GET /v1/status/leader HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Large: %s\r\n\r\n", strings.Repeat("x", 64<<10))
	const enough = guard.MaxHeaders / (64 << 10)
	for range enough - 1 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if _, err := io.WriteString(c, large); err != nil {
			t.Fatal(err)
		}
		<-inside
	}
	if status, text := raw(t, "tcp", addr, large); status != http.StatusTooManyRequests || !strings.Contains(text, "large headers") {
		t.Errorf("one more: %d %s", status, text)
	}
	close(block)
	if status, _ := raw(t, "tcp", addr, "GET /v1/status/leader HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"); status != 200 {
		t.Errorf("an ordinary request: %d", status)
	}
}

// TestUseCache: with use_cache off, ?cached says nothing.
func TestUseCache(t *testing.T) {
	for _, off := range []bool{false, true} {
		f := &fakeCaller{}
		s := newTestServer(t, f, func(c *Config) { c.NoCache = off })
		r := do(s, "GET", "/v1/health/service/web?cached&passing", "")
		in, ok := f.last.(*rpc.ServiceRequest)
		if !ok || in.Cached == off || !in.Passing || (r.Header.Get("X-Cache") == "") != off {
			t.Errorf("off %v: %+v, X-Cache %q", off, f.last, r.Header.Get("X-Cache"))
		}
	}
}

// TestSource: what is done for a request knows where it came from.
func TestSource(t *testing.T) {
	var got netip.Addr
	f := &fakeCaller{answer: func(ctx context.Context, _ string, _, _ any) error {
		got = rpc.SourceFrom(ctx)
		return nil
	}}
	_, addr := listening(t, f, nil)
	if status, _ := raw(t, "tcp", addr, "GET /v1/status/leader HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"); status != 200 || got != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("%d from %v", status, got)
	}
}
