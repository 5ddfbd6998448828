package checks

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"consul.internal/catalog"
)

// secureServer speaks HTTP/2, gRPC health included, and remembers what clients ask for in the handshake.
type secureServer struct {
	*httptest.Server
	mu   sync.Mutex
	name string
}

func newSecureServer(t *testing.T) *secureServer {
	t.Helper()
	s := &secureServer{}
	s.Server = newTLSServerOf(t, &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.name = hello.ServerName
		return nil, nil
	}})
	return s
}

func newTLSServerOf(t *testing.T, cfg *tls.Config) *httptest.Server {
	t.Helper()
	rpcs := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(rpcs, health.NewServer())
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			rpcs.ServeHTTP(w, r)
			return
		}
		_, _ = io.WriteString(w, r.Header.Get("User-Agent"))
	}))
	s.EnableHTTP2, s.TLS = true, cfg
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of clients that do not trust it
	s.StartTLS()
	t.Cleanup(func() { s.Close(); rpcs.Stop() })
	return s
}

func TestTLSSettings(t *testing.T) {
	s := newSecureServer(t)
	addr := s.Listener.Addr().String()
	for kind, def := range map[string]Definition{
		"http": {HTTP: s.URL}, "tcp": {TCP: addr, TCPUseTLS: true},
		"grpc": {GRPC: addr, GRPCUseTLS: true}, "h2ping": {H2PING: addr, H2PINGUseTLS: true},
	} {
		def.TLSServerName = "name.example"
		if status, output := probeOnce(t, &def, 4096); status != catalog.Critical || !strings.Contains(output, "certificate") && !strings.Contains(output, "x509") {
			t.Errorf("%s with a certificate of a stranger: %s %q", kind, status, output)
		}
		def.TLSSkipVerify = true
		s.mu.Lock()
		s.name = ""
		s.mu.Unlock()
		status, output := probeOnce(t, &def, 4096)
		s.mu.Lock()
		name := s.name
		s.mu.Unlock()
		if status != catalog.Passing || name != "name.example" {
			t.Errorf("%s: %s %q, asked for the name %q", kind, status, output, name)
		}
		if kind == "http" && !strings.HasSuffix(output, "Output: Consul Health Check") {
			t.Errorf("user agent: %q", output)
		}
	}
}

// Ten redirects are followed, the eleventh is not.
func TestRedirectsAreCounted(t *testing.T) {
	asked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		n, err := strconv.Atoi(strings.Trim(r.URL.Path, "/"))
		if err != nil || n == 0 {
			_, _ = io.WriteString(w, "arrived")
			return
		}
		http.Redirect(w, r, fmt.Sprintf("/%d", n-1), http.StatusFound)
	}))
	t.Cleanup(srv.Close)
	for _, tt := range []struct {
		redirects, asked int
		status           catalog.Status
		output           string
	}{{10, 11, "passing", "arrived"}, {11, 11, "critical", "stopped after 10 redirects"}, {1000, 11, "critical", "stopped after 10 redirects"}} {
		asked = 0
		status, output := probeOnce(t, &Definition{HTTP: fmt.Sprintf("%s/%d", srv.URL, tt.redirects)}, 4096)
		if status != tt.status || !strings.Contains(output, tt.output) || asked != tt.asked {
			t.Errorf("%d redirects: %s %q after %d requests", tt.redirects, status, output, asked)
		}
	}
}

// A body without end is read as far as its beginning is kept.
func TestBodyIsLimitedWhileReading(t *testing.T) {
	ended := make(chan int, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := 0
		for r.Context().Err() == nil {
			k, err := w.Write(make([]byte, 32<<10))
			n += k
			if err != nil {
				break
			}
		}
		ended <- n
	}))
	t.Cleanup(srv.Close)
	status, output := probeOnce(t, &Definition{HTTP: srv.URL}, 100)
	if status != catalog.Passing || len(output) > 300 {
		t.Errorf("%s with %d bytes", status, len(output))
	}
	if n := <-ended; n > 32<<20 { // what the sockets hold
		t.Errorf("%d bytes were sent", n)
	}
}

// Per check the output may be shorter than the agent's limit, never longer.
func TestOutputMaxSize(t *testing.T) {
	for _, tt := range []struct{ agent, check, want int }{{0, 0, 4096}, {100, 0, 100}, {100, 10, 10}, {100, 1000, 100}, {0, 5000, 4096}} {
		r := newTestRunner(t, newRecord(), func(c *Config, _ *Deps) { c.OutputMaxSize = tt.agent })
		if got := r.maxSize(&Definition{OutputMaxSize: tt.check}); got != tt.want {
			t.Errorf("%+v: %d", tt, got)
		}
	}
	sink := newRecord()
	r := newTestRunner(t, sink, nil)
	def := &Definition{TTL: 1 << 40, OutputMaxSize: 5}
	if err := r.Add("x", def, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := r.UpdateTTL("x", catalog.Passing, "123456789"); err != nil {
		t.Fatal(err)
	}
	if got := sink.take(); len(got) != 1 || !strings.HasSuffix(got[0], "passing 12345") {
		t.Errorf("results %q", got)
	}
}

// The default of failures_before_warning is failures_before_critical.
func TestThresholds(t *testing.T) {
	p, w, c := catalog.Passing, catalog.Warning, catalog.Critical
	none := catalog.Status("-")
	for _, tt := range []struct {
		name     string
		def      Definition
		in, want []catalog.Status
	}{
		{"none", Definition{}, []catalog.Status{p, w, c, p}, []catalog.Status{p, w, c, p}},
		{"critical after 3", Definition{FailuresBeforeCritical: 3}, []catalog.Status{c, c, c, c, p, c}, []catalog.Status{none, none, c, c, p, none}},
		{"warning first", Definition{FailuresBeforeCritical: 3, FailuresBeforeWarning: 1}, []catalog.Status{c, c, c, p, c}, []catalog.Status{w, w, c, p, w}},
		{"passing after 2", Definition{SuccessBeforePassing: 2}, []catalog.Status{p, p, c, p, c, p, p}, []catalog.Status{none, p, c, none, c, none, p}},
		{"a success starts anew", Definition{FailuresBeforeCritical: 2}, []catalog.Status{c, p, c, p, c, c}, []catalog.Status{none, p, none, p, none, c}},
	} {
		var count threshold
		for i, in := range tt.in {
			got, ok := count.apply(&tt.def, in)
			if !ok {
				got = none
			}
			if got != tt.want[i] {
				t.Errorf("%s, result %d: %s, want %s", tt.name, i+1, got, tt.want[i])
			}
		}
	}
}

// A probe ends with its context, whatever the other side does.
func TestProbesEndWithTheirContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := newTestRunner(t, newRecord(), nil)
	for _, def := range []Definition{
		{HTTP: "http://192.0.2.1/"}, {TCP: "192.0.2.1:1"}, {UDP: "127.0.0.1:9"}, {GRPC: "192.0.2.1:1"}, {H2PING: "192.0.2.1:1"},
		{Args: []string{"/bin/sleep", "1000"}}, {DockerContainerID: "c", Args: []string{"x"}},
	} {
		c := &check{id: "x", def: &def, kind: def.Kind(), maxSize: 100, slots: r.probes}
		if err := r.prepare(c); err != nil {
			t.Fatal(err)
		}
		if status, output := c.probe(ctx); status == catalog.Passing && def.UDP == "" {
			t.Errorf("%+v passes: %q", def, output)
		}
	}
}
