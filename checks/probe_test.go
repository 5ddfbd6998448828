package checks

import (
	"bufio"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"consul.internal/catalog"
)

// probeOnce runs the probe of a definition, as a Runner prepares it.
func probeOnce(t *testing.T, d *Definition, maxSize int) (catalog.Status, string) {
	t.Helper()
	return probeWith(t, d, func(c *Config) { c.OutputMaxSize = maxSize })
}

func probeWith(t *testing.T, d *Definition, change func(*Config)) (catalog.Status, string) {
	t.Helper()
	d.Interval = time.Second
	if err := d.Validate(); err != nil {
		t.Fatal(err)
	}
	r := newTestRunner(t, newRecord(), func(c *Config, _ *Deps) { change(c) })
	c := &check{id: "x", def: d, kind: d.Kind(), maxSize: r.maxSize(d), slots: r.probes}
	if err := r.prepare(c); err != nil {
		t.Fatal(err)
	}
	return probeWithin(t, c.probe, c.timeout)
}

func probeWithin(t *testing.T, p probe, timeout time.Duration) (catalog.Status, string) {
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	return p(ctx)
}

// newTLSServer makes a server that keeps quiet about clients that do not trust it.
func newTLSServer(h http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	return s
}

func TestHTTPProbe(t *testing.T) {
	var other *httptest.Server
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("fine")) })
	mux.HandleFunc("/busy", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(429) })
	mux.HandleFunc("/bad", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) })
	mux.HandleFunc("/long", func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(strings.Repeat("ä", 1<<16))) })
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/ok", http.StatusFound) })
	mux.HandleFunc("/scheme", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://127.0.0.1:1/", http.StatusFound)
	})
	mux.HandleFunc("/host", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) })
	mux.HandleFunc("/hang", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		b, _ := bufio.NewReader(r.Body).ReadString(0)
		_, _ = w.Write([]byte(r.Host + " " + r.Header.Get("X-A") + " " + b))
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	other = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("secret " + r.Header.Get("X-Token")))
	}))
	t.Cleanup(other.Close)
	secure := newTLSServer(mux)
	t.Cleanup(secure.Close)

	for _, tt := range []struct {
		name   string
		def    Definition
		status catalog.Status
		output string // contained in the output
	}{
		{"ok", Definition{HTTP: srv.URL + "/ok"}, "passing", "HTTP GET " + srv.URL + "/ok: 200 OK Output: fine"},
		{"429", Definition{HTTP: srv.URL + "/busy"}, "warning", "429 Too Many Requests"},
		{"500", Definition{HTTP: srv.URL + "/bad"}, "critical", "500 Internal Server Error"},
		{"404", Definition{HTTP: srv.URL + "/nothing"}, "critical", "404 Not Found"},
		{"redirect", Definition{HTTP: srv.URL + "/away"}, "passing", "fine"},
		{"no redirect", Definition{HTTP: srv.URL + "/away", DisableRedirects: true}, "critical", "302 Found"},
		{"other scheme", Definition{HTTP: srv.URL + "/scheme"}, "critical", "the scheme differs"},
		{"headers stay", Definition{HTTP: srv.URL + "/host", Header: map[string][]string{"X-Token": {"abc"}}}, "passing", "Output: secret "},
		{"method, header, host, body", Definition{HTTP: srv.URL + "/echo", Method: "POST", Body: "hello",
			Header: map[string][]string{"X-A": {"b"}, "host": {"example.com"}}}, "passing", "Output: example.com b hello"},
		{"timeout", Definition{HTTP: srv.URL + "/hang", Timeout: 50 * time.Millisecond}, "critical", "no answer within the timeout"},
		{"untrusted", Definition{HTTP: secure.URL + "/ok"}, "critical", "certificate"},
		{"skip verify", Definition{HTTP: secure.URL + "/ok", TLSSkipVerify: true}, "passing", "200 OK"},
		{"refused", Definition{HTTP: "http://127.0.0.1:1/"}, "critical", "connection refused"},
		{"long", Definition{HTTP: srv.URL + "/long"}, "passing", "äää"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, output := probeOnce(t, &tt.def, 4096)
			if status != tt.status || !strings.Contains(output, tt.output) {
				t.Errorf("%s %q, want %s with %q", status, output, tt.status, tt.output)
			}
			if strings.Contains(output, "abc") {
				t.Error("a header of the definition went to another host")
			}
			if cut := Clean(output, 4096); len(cut) > 4096 || len(output) > 4096 && len(cut) < 4090 {
				t.Errorf("output of %d bytes is cut to %d", len(output), len(cut))
			}
		})
	}
}

func TestTCPAndUDPProbe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	u, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = u.Close() })
	secure := newTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	tls := secure.Listener.Addr().String()
	for _, tt := range []struct {
		def    Definition
		status catalog.Status
		output string
	}{
		{Definition{TCP: l.Addr().String()}, "passing", "TCP connect " + l.Addr().String() + ": Success"},
		{Definition{TCP: "127.0.0.1:1"}, "critical", "connection refused"},
		{Definition{TCP: tls, TCPUseTLS: true, TLSSkipVerify: true}, "passing", "Success"},
		{Definition{TCP: tls, TCPUseTLS: true}, "critical", "certificate"},
		{Definition{UDP: u.LocalAddr().String(), Timeout: 50 * time.Millisecond}, "passing", "Success"}, // silent
		{Definition{UDP: "127.0.0.1:1"}, "critical", "connection refused"},
	} {
		if status, output := probeOnce(t, &tt.def, 4096); status != tt.status || !strings.Contains(output, tt.output) {
			t.Errorf("%+v: %s %q, want %s with %q", tt.def, status, output, tt.status, tt.output)
		}
	}
}

func TestGRPCAndH2PINGProbe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	states := health.NewServer()
	states.SetServingStatus("db", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	grpc_health_v1.RegisterHealthServer(srv, states)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() { srv.Stop(); <-done })
	addr := l.Addr().String()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	for _, tt := range []struct {
		def    Definition
		status catalog.Status
		output string
	}{
		{Definition{GRPC: addr}, "passing", "gRPC check " + addr + ": success"},
		{Definition{GRPC: addr + "/db"}, "critical", "NOT_SERVING"},
		{Definition{GRPC: addr + "/nothing"}, "critical", "unknown service"},
		{Definition{GRPC: "127.0.0.1:1", Timeout: time.Second}, "critical", "refused"},
		{Definition{H2PING: addr}, "passing", "HTTP2 ping was successful"},
		{Definition{H2PING: addr, H2PINGUseTLS: true}, "critical", "Failed to dial"},
		{Definition{H2PING: silent.Addr().String(), Timeout: 50 * time.Millisecond}, "critical", "ping failed"},
		{Definition{H2PING: "127.0.0.1:1"}, "critical", "refused"},
	} {
		if status, output := probeOnce(t, &tt.def, 4096); status != tt.status || !strings.Contains(output, tt.output) {
			t.Errorf("%+v: %s %q, want %s with %q", tt.def, status, output, tt.status, tt.output)
		}
	}
}

func TestScriptProbe(t *testing.T) {
	for _, tt := range []struct {
		script string
		status catalog.Status
		output string
	}{
		{"echo hi", "passing", "hi\n"},
		{"echo hi; echo err >&2; exit 1", "warning", "hi\nerr\n"},
		{"exit 2", "critical", ""},
		{"kill -9 $$", "critical", ""},
		{"sleep 20 & echo started", "passing", "started\n"}, // a child keeps the pipe open
		{"printf 'x\\377y'", "passing", "x\uFFFDy"},
	} {
		d := &Definition{Args: []string{"/bin/sh", "-c", tt.script}}
		if status, output := probeOnce(t, d, 4096); status != tt.status || output != tt.output {
			t.Errorf("%s: %s %q, want %s %q", tt.script, status, output, tt.status, tt.output)
		}
	}
	status, output := probeOnce(t, &Definition{Args: []string{"/nonexistent/program"}}, 4096)
	if status != catalog.Critical || !strings.Contains(output, "no such file") {
		t.Errorf("missing program: %s %q", status, output)
	}
	status, output = probeOnce(t, &Definition{Args: []string{"/bin/sh", "-c", "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done"}}, 100)
	if status != catalog.Passing || len(output) > 100 || !strings.HasPrefix(output, "Captured 100 of 18890 bytes\n...\n") || !strings.HasSuffix(output, "line 1999\n") {
		t.Errorf("long output: %s %q", status, output)
	}
}

func TestScriptTimeoutKillsTheGroup(t *testing.T) {
	// As long as any process of the script lives, it holds the pipe open.
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pipe.Close() }()
	d := &Definition{Args: []string{"/bin/sh", "-c", "exec 3>" + path + "; echo alive >&3; echo before; sleep 1000 & wait"}, Timeout: 300 * time.Millisecond}
	status, output := probeOnce(t, d, 4096)
	if status != catalog.Critical || output != "Timed out (300ms) running check\n\nbefore\n" {
		t.Errorf("%s %q", status, output)
	}
	if err := pipe.SetReadDeadline(time.Now().Add(time.Minute)); err != nil { // only a failing test waits for it
		t.Fatal(err)
	}
	if b, err := io.ReadAll(pipe); err != nil || string(b) != "alive\n" {
		t.Errorf("the script's processes live on: %q %v", b, err)
	}
}
