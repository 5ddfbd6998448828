package audit_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/internal/audit"
	"go.uber.org/zap/zaptest"
)

const secret = "11111111-2222-3333-4444-secret000000"

type line struct {
	CreatedAt time.Time `json:"created_at"`
	EventType string    `json:"event_type"`
	Lost      int       `json:"lost_lines"`
	Payload   struct {
		ID, Version, Type, Stage string
		Auth                     struct {
			Accessor string `json:"accessor_id"`
		}
		Request struct {
			Operation, Endpoint, Query, Host string
			RemoteAddr                       string `json:"remote_addr"`
			UserAgent                        string `json:"user_agent"`
		}
		Response *struct {
			Status   string
			Duration float64 `json:"duration_ms"`
		}
	}
}

func lines(t *testing.T, path string) (out []line) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(raw), secret) || strings.Contains(string(raw), "secret000000") {
		t.Errorf("the secret is written down: %s", raw)
	}
	for s := bufio.NewScanner(strings.NewReader(string(raw))); s.Scan(); {
		var l line
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			t.Fatalf("%s: %v", s.Text(), err)
		}
		out = append(out, l)
	}
	return out
}

func TestWhoDidWhat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l, err := audit.Open([]audit.Sink{
			{Name: "a", Path: filepath.Join(dir, "a.json"), RotateBytes: 1 << 20},
			{Name: "b", Path: filepath.Join(dir, "b.json"), Mode: 0o640, RotateDuration: time.Hour},
		}, audit.Deps{Log: zaptest.NewLogger(t), Accessor: func(_ context.Context, s string) string {
			if s == secret {
				return "acc-1"
			}
			return ""
		}})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("PUT", "http://node:8500/v1/kv/a%0Ab?token="+secret+"&cas=3", nil)
		r.Header.Set("User-Agent", "curl\x01"+strings.Repeat("u", 5000))
		e := l.Begin(r, secret)
		time.Sleep(250 * time.Millisecond)
		e.End(403)
		l.Begin(httptest.NewRequest("GET", "/v1/acl/info/"+secret, nil), "").End(200)
		l.Begin(httptest.NewRequest("GET", "/v1/kv/"+secret, nil), secret).End(200)
		bad := httptest.NewRequest("GET", "/v1/kv/x", nil)
		bad.URL.RawQuery = "token=" + secret + "%zz"
		l.Begin(bad, "").End(400)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"a.json", "b.json"} {
			got := lines(t, filepath.Join(dir, name))
			if len(got) != 8 {
				t.Fatalf("%s: %d lines", name, len(got))
			}
			begin, end := got[0].Payload, got[1].Payload
			if got[0].EventType != "audit" || begin.Type != "HTTPEvent" || begin.Version != "1" || begin.Stage != "OperationStart" || begin.Response != nil {
				t.Errorf("begin %+v", got[0])
			}
			if begin.Auth.Accessor != "acc-1" || begin.Request.Operation != "PUT" || begin.Request.Endpoint != "/v1/kv/a\nb" ||
				begin.Request.Query != "cas=3&token=%3Chidden%3E" || begin.Request.RemoteAddr != "192.0.2.1:1234" || begin.Request.Host != "node:8500" ||
				!strings.HasPrefix(begin.Request.UserAgent, "curl\x01uuu") || len(begin.Request.UserAgent) > 700 {
				t.Errorf("begin %+v", begin)
			}
			if end.ID != begin.ID || end.ID == "" || end.Stage != "OperationComplete" || end.Response == nil || end.Response.Status != "403" || end.Response.Duration != 250 {
				t.Errorf("end %+v %+v", end, end.Response)
			}
		}
		for name, mode := range map[string]os.FileMode{"a.json": 0o600, "b.json": 0o640} {
			if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != mode {
				t.Errorf("%s: %v %v", name, info.Mode(), err)
			}
		}
	})
}

// TestServersAway: while nobody can say whose a token is, requests are held up once.
func TestServersAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		path := filepath.Join(t.TempDir(), "a.json")
		l, err := audit.Open([]audit.Sink{{Name: "a", Path: path, RotateBytes: 1 << 20}}, audit.Deps{
			Log: zaptest.NewLogger(t), Accessor: func(ctx context.Context, _ string) string {
				asked++
				<-ctx.Done()
				return ""
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		for range 100 {
			l.Begin(httptest.NewRequest("GET", "/v1/status/leader", nil), secret).End(200)
		}
		if took := time.Since(start); took != 100*time.Millisecond || asked != 1 {
			t.Errorf("held up for %v, asked %d times", took, asked)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if got := lines(t, path); len(got) != 200 {
			t.Errorf("%d lines", len(got))
		}
	})
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.json")
	l, err := audit.Open([]audit.Sink{{Name: "a", Path: path, RotateBytes: 1000, RotateMaxFiles: 3}}, audit.Deps{
		Log: zaptest.NewLogger(t), Accessor: func(context.Context, string) string { return "" },
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		l.Begin(httptest.NewRequest("GET", "/v1/status/leader", nil), "").End(200)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	old, err := filepath.Glob(filepath.Join(dir, "audit-*.json"))
	if err != nil || len(old) != 3 {
		t.Errorf("old files %v %v", old, err)
	}
	for _, name := range append(old, path) {
		if info, err := os.Stat(name); err != nil || info.Size() > 1000 || info.Size() == 0 {
			t.Errorf("%s: %v %v", name, info, err)
		}
		lines(t, name)
	}
	if _, err := audit.Open([]audit.Sink{{Name: "a", Path: filepath.Join(dir, "none", "x")}}, audit.Deps{}); err == nil || !strings.Contains(err.Error(), `audit.sink "a"`) {
		t.Errorf("a folder that does not exist: %v", err)
	}
	var none *audit.Log
	none.Begin(httptest.NewRequest("GET", "/", nil), "").End(200) // does nothing
}
