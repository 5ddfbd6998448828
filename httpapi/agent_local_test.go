package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/internal/logx"
	"consul.internal/internal/metrics"
	"go.uber.org/zap/zaptest"
	"go.uber.org/zap/zaptest/observer"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// withTelemetry is a server with a registry and a log that can be followed.
func withTelemetry(t *testing.T, cfg metrics.Config) (*Server, *logx.Logger) {
	t.Helper()
	log, err := logx.New(logx.Config{Level: "ERROR", Name: "agent"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	s, err := New(DefaultConfig(), Deps{
		Caller: &fakeCaller{}, Process: fakeProcess{}, Log: zaptest.NewLogger(t), Metrics: metrics.New(cfg), Monitor: log.Listen,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, log
}

func TestMetricsEndpoint(t *testing.T) {
	s, _ := withTelemetry(t, metrics.DefaultConfig())
	do(s, "GET", "/v1/catalog/service/secret-name?token=t", "")
	do(s, "GET", "/v1/catalog/nodes", "")
	do(s, "BREW", "/v1/catalog/nodes", "") // refused, and no label of anybody's choice

	for _, tt := range []struct{ target, accept, contentType string }{
		{"/v1/agent/metrics", "", "application/json"},
		{"/v1/agent/metrics?format=json", "application/openmetrics-text", "application/json"},
		{"/v1/agent/metrics?format=prometheus", "", metrics.ContentType},
		{"/v1/agent/metrics", "application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", metrics.ContentType},
	} {
		r := do(s, "GET", tt.target, "", "Accept", tt.accept)
		if got := r.Header.Get("Content-Type"); r.StatusCode != 200 || got != tt.contentType {
			t.Errorf("%s for %q: %d %q", tt.target, tt.accept, r.StatusCode, got)
		}
	}
	prom := text(t, do(s, "GET", "/v1/agent/metrics?format=prometheus", ""))
	for _, want := range []string{
		`consul_api_http_count{method="GET",path="v1.catalog.service._"} 1`, `consul_api_http_count{method="GET",path="v1.catalog.nodes"} 1`,
		"# TYPE consul_api_http summary",
	} {
		if !strings.Contains(prom, want) {
			t.Errorf("no %q in\n%s", want, prom)
		}
	}
	if strings.Contains(prom, "BREW") || strings.Contains(prom, "secret") {
		t.Errorf("a client chose a label:\n%s", prom)
	}
	var sum struct {
		Timestamp                         string
		Gauges, Points, Counters, Samples []map[string]any
	}
	body := text(t, do(s, "GET", "/v1/agent/metrics?pretty", ""))
	if err := json.Unmarshal([]byte(body), &sum); err != nil || sum.Gauges == nil || sum.Points == nil || sum.Counters == nil || len(sum.Samples) == 0 {
		t.Fatalf("%v\n%s", err, body)
	}
	if !strings.HasPrefix(body, "{\n    \"Timestamp\": ") {
		t.Errorf("pretty: %s", body)
	}
	for _, key := range []string{"Name", "Count", "Rate", "Sum", "Min", "Max", "Mean", "Stddev", "Labels"} {
		if _, ok := sum.Samples[0][key]; !ok {
			t.Errorf("a sample has no %s", key)
		}
	}

	off := metrics.DefaultConfig()
	off.Retention = 0
	s, _ = withTelemetry(t, off)
	if r := do(s, "GET", "/v1/agent/metrics?format=prometheus", ""); r.StatusCode != http.StatusUnsupportedMediaType || text(t, r) != noPrometheus {
		t.Errorf("without a retention time: %d", r.StatusCode)
	}
	if r := do(newTestServer(t, &fakeCaller{}, nil), "GET", "/v1/agent/metrics", ""); r.StatusCode != 200 {
		t.Errorf("without a registry: %d", r.StatusCode)
	}
}

func TestMetricsStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, log := withTelemetry(t, metrics.DefaultConfig())
		do(s, "GET", "/v1/catalog/nodes", "")
		ctx, cancel := context.WithCancel(t.Context())
		w := httptest.NewRecorder()
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.Handler().ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/v1/agent/metrics/stream", nil))
		}()
		time.Sleep(2*metrics.Interval + time.Second)
		cancel()
		<-done
		lines := strings.Split(strings.TrimSpace(w.Body.String()), "\n")
		if w.Code != 200 || len(lines) != 2 {
			t.Fatalf("%d %q", w.Code, lines)
		}
		for i, line := range lines {
			var sum metrics.Summary
			if err := json.Unmarshal([]byte(line), &sum); err != nil || (len(sum.Samples) > 0) != (i == 0) {
				t.Errorf("line %d: %v %s", i, err, line)
			}
		}
		_ = log.Close() // before the bubble ends
	})
}

func TestMonitorRefuses(t *testing.T) {
	s, log := withTelemetry(t, metrics.DefaultConfig())
	for target, want := range map[string]string{
		"/v1/agent/monitor?loglevel=shout":           "Unknown log level: shout",
		"/v1/agent/monitor?loglevel=info&logjson=hm": "Invalid value for ?logjson",
	} {
		if r := do(s, "GET", target, ""); r.StatusCode != 400 || text(t, r) != want {
			t.Errorf("%s: %d", target, r.StatusCode)
		}
	}
	for range 100 {
		if _, err := log.Listen(zapcore.InfoLevel, false); err != nil {
			if r := do(s, "GET", "/v1/agent/monitor", ""); r.StatusCode != http.StatusTooManyRequests {
				t.Errorf("one listener too many: %d", r.StatusCode)
			}
			return
		}
	}
	t.Error("listeners without bound")
}

// TestMonitorFollowsTheLog over a real connection: the header comes at once, the
// lines as they are logged, and the place is free again when the client has gone.
func TestMonitorFollowsTheLog(t *testing.T) {
	s, log := withTelemetry(t, metrics.DefaultConfig())
	srv := httptest.NewServer(s.Handler())
	defer srv.Close()
	for _, tt := range []struct{ query, contentType, want string }{
		{"?loglevel=debug", "text/plain; charset=utf-8", `^\S+ \[DEBUG\] agent: hello: k=v\n$`},
		{"?loglevel=DEBUG&logjson", "application/json", `^\{"@level":"debug","@message":"hello".*"k":"v"\}\n$`},
		{"", "text/plain; charset=utf-8", `^\S+ \[INFO\]  agent: loud\n$`},
	} {
		res, err := http.Get(srv.URL + "/v1/agent/monitor" + tt.query)
		if err != nil {
			t.Fatal(err)
		}
		log.Debug("hello", zap.String("k", "v"))
		log.Info("loud")
		line, err := bufio.NewReader(res.Body).ReadString('\n')
		if err != nil || res.StatusCode != 200 || res.Header.Get("Content-Type") != tt.contentType || !regexp.MustCompile(tt.want).MatchString(line) {
			t.Errorf("%q: %d %q %q %v", tt.query, res.StatusCode, res.Header.Get("Content-Type"), line, err)
		}
		_ = res.Body.Close()
	}
	deadline := time.Now().Add(30 * time.Second)
	for log.Core().Enabled(zapcore.InfoLevel) {
		if time.Now().After(deadline) {
			t.Fatal("a listener is left after its client has gone")
		}
		log.Info("somebody there?") // a write to a gone client ends its request
	}
}

func TestAgentTokenWhileOff(t *testing.T) {
	s := newTestServer(t, &fakeCaller{}, nil)
	for _, body := range []string{`{"Token":"x"}`, "", "{"} {
		if r := do(s, "PUT", "/v1/agent/token/default", body); r.StatusCode != 401 || text(t, r) != "ACL support disabled" {
			t.Errorf("%q: %d", body, r.StatusCode)
		}
	}
}

func TestHost(t *testing.T) {
	s := newTestServer(t, &fakeCaller{}, nil)
	var h map[string]any
	if err := json.Unmarshal([]byte(text(t, do(s, "GET", "/v1/agent/host", ""))), &h); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"Memory", "CPU", "Host", "Disk", "CollectionTime", "Errors"} {
		if _, ok := h[key]; !ok {
			t.Errorf("no %s", key)
		}
	}
}

func TestRequestsAreLoggedWithoutTokens(t *testing.T) {
	core, seen := observer.New(zapcore.DebugLevel)
	s, err := New(DefaultConfig(), Deps{Caller: &fakeCaller{}, Process: fakeProcess{}, Log: zap.New(core)})
	if err != nil {
		t.Fatal(err)
	}
	do(s, "GET", "/v1/status/leader?token=s3cret&dc=dc1", "")
	do(s, "GET", "/v1/status/leader?%74oken=s3cret", "")
	do(s, "GET", "/v1/status/peers?stale", "")
	var urls []string
	for _, e := range seen.FilterMessage("Request finished").All() {
		urls = append(urls, e.ContextMap()["url"].(string))
	}
	all := strings.Join(urls, " ")
	if len(urls) != 3 || strings.Contains(all, "s3cret") || !strings.Contains(all, "dc=dc1") || urls[2] != "/v1/status/peers?stale" {
		t.Errorf("logged %q", urls)
	}
	if got := withoutToken(&url.URL{Path: "/v1/kv/x"}); got != "/v1/kv/x" {
		t.Errorf("%q", got)
	}
}
