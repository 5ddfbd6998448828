package acl_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/zap/zaptest"

	"consul.internal/httpapi"
	"consul.internal/server"
	"consul.internal/store"
)

// edgeOver is the HTTP edge over a server with ACLs.
func edgeOver(t *testing.T, secret string, on bool) http.Handler {
	t.Helper()
	cfg := store.DefaultConfig()
	cfg.NodeID, cfg.Bootstrap = "aaaaaaaa-1111-1111-1111-111111111111", true
	addr, tr := raft.NewInmemTransport("127.0.0.1:8300")
	tr.Connect(addr, tr)
	log := zaptest.NewLogger(t)
	st, err := store.New(cfg, store.Deps{Logger: log, Transport: tr})
	if err == nil {
		err = st.Open(t.Context())
	}
	if err == nil {
		err = st.Ready(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	s := server.New(server.Config{
		Datacenter: "dc1", RPCHoldTimeout: time.Minute, DefaultQueryTime: time.Minute, MaxQueryTime: time.Minute,
		ACL: server.ACL{Enabled: on, InitialManagement: secret},
	}, server.Deps{Store: st, Log: log})
	s.BootstrapACL(t.Context())
	web := httpapi.DefaultConfig()
	web.Datacenter, web.NodeName = "dc1", "node-a"
	web.ACLs, web.ACLDefaultPolicy, web.ACLDownPolicy = on, "deny", "extend-cache"
	h, err := httpapi.New(web, httpapi.Deps{Caller: s, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	return h.Handler()
}

type script struct {
	Steps []struct {
		Name, Do, Method, Path, Body string
		Headers                      map[string]string
		Capture                      []struct{ Var, From, Expr string }
		Expect                       struct {
			Status  int
			Headers map[string]string
			Body    struct {
				Kind, Text string
				JSON       any
				Subset     bool
			}
		}
	}
}

// The recorded cases of tokens, policies and roles, step by step. What needs a
// whole agent is left out: the other runner has it.
func TestRecorded(t *testing.T) {
	for name, secret := range map[string]string{
		"acl-tokens": "aaaaaaaa-0000-0000-0000-00000000000a", "acl-jwt": "aaaaaaaa-0000-0000-0000-00000000000a", "acl-bootstrap": "", "acl-disabled": "off",
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := os.ReadFile(filepath.Join("../../internal/conformance/testdata/http", name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			var s script
			if err := json.Unmarshal(raw, &s); err != nil {
				t.Fatal(err)
			}
			h, vars := edgeOver(t, strings.TrimSuffix(secret, "off"), secret != "off"), map[string]string{}
			fill := func(in string) string {
				for k, v := range vars {
					in = strings.ReplaceAll(in, "${"+k+"}", v)
				}
				return in
			}
			ran := 0
			for _, step := range s.Steps {
				if step.Do != "http" || !strings.HasPrefix(step.Path, "/v1/acl/") {
					continue
				}
				ran++
				r := httptest.NewRequest(step.Method, fill(step.Path), strings.NewReader(fill(step.Body)))
				for k, v := range step.Headers {
					r.Header.Set(k, fill(v))
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				got, want := w.Body.String(), step.Expect.Body
				if w.Code != step.Expect.Status {
					t.Errorf("%s: %d %s, want %d", step.Name, w.Code, got, step.Expect.Status)
					continue
				}
				if _, read := step.Expect.Headers["X-Consul-Index"]; read != (w.Header().Get("X-Consul-Index") != "") {
					t.Errorf("%s: index %q", step.Name, w.Header().Get("X-Consul-Index"))
				}
				switch want.Kind {
				case "text":
					if same := indexes.ReplaceAllString(fill(want.Text), "#"); indexes.ReplaceAllString(got, "#") != same {
						t.Errorf("%s: %q, want %q", step.Name, got, same)
					}
				case "json":
					var v any
					if err := json.Unmarshal([]byte(got), &v); err != nil {
						t.Fatal(err)
					}
					for _, c := range step.Capture {
						vars[c.Var] = fmt.Sprint(v.(map[string]any)[strings.TrimPrefix(c.Expr, "$.")])
					}
					if diff := differs(v, want.JSON, want.Subset, fill); diff != "" {
						t.Errorf("%s: %s\n%s", step.Name, diff, got)
					}
				}
			}
			if ran < 10 {
				t.Errorf("only %d steps ran", ran)
			}
		})
	}
}

// indexes differ from server to server.
var indexes = regexp.MustCompile(`reset index: \d+`)

// differs compares in any order of lists.
func differs(got, want any, subset bool, fill func(string) string) string {
	switch want := want.(type) {
	case string:
		if strings.HasPrefix(want, "<") {
			return ""
		}
		if got != fill(want) {
			return fmt.Sprintf("%v is not %q", got, fill(want))
		}
	case map[string]any:
		m, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%v is no object", got)
		}
		for k, v := range want {
			if have, ok := m[k]; !ok {
				return "no " + k
			} else if d := differs(have, v, subset, fill); d != "" {
				return k + ": " + d
			}
		}
		if !subset && len(m) != len(want) {
			return fmt.Sprintf("%d fields, want %d", len(m), len(want))
		}
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return fmt.Sprintf("%v is not a list of %d", got, len(want))
		}
		for _, v := range want {
			found := ""
			for _, have := range list {
				if found = differs(have, v, subset, fill); found == "" {
					break
				}
			}
			if found != "" {
				return "one is missing: " + found
			}
		}
	default:
		if got != want {
			return fmt.Sprintf("%v is not %v", got, want)
		}
	}
	return ""
}
