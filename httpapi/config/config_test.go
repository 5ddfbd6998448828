package config

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"consul.internal/configentry"
	"consul.internal/httpapi/edge"
	"consul.internal/internal/fault"
	"consul.internal/rpc"
)

// servers notes what it was asked, and answers with what it has.
type servers struct {
	asked any
	err   error
}

func (s *servers) Call(_ context.Context, _ string, in, out any) error {
	s.asked = in
	if o, ok := out.(*rpc.ConfigEntriesReply); ok && s.err == nil {
		e, err := configentry.DecodeJSON([]byte(`{"Kind":"service-defaults","Name":"web","Protocol":"http"}`))
		o.Entries = []*configentry.Entry{e}
		return err
	}
	if o, ok := out.(*rpc.ConfigApplyReply); ok {
		o.Done = true
	}
	return s.err
}

func TestRequests(t *testing.T) {
	for name, tt := range map[string]struct {
		method, path, body string
		err                error
		status             int
		text               string
	}{
		"write":            {"PUT", "/v1/config?cas=7&dc=dc2", `{"Kind":"service-defaults","Name":"web"}`, nil, 200, `true`},
		"unknown field":    {"PUT", "/v1/config", `{"Kind":"service-defaults","Name":"web","Bogus":1}`, nil, 400, "Request decoding failed: 1 error occurred:\n\t* invalid config key \"Bogus\"\n\n"},
		"cut short":        {"PUT", "/v1/config", `{`, nil, 400, "Request decoding failed: unexpected EOF"},
		"a bad cas":        {"PUT", "/v1/config?cas=x", `{"Kind":"mesh"}`, nil, 500, `strconv.ParseUint: parsing "x": invalid syntax`},
		"refused":          {"PUT", "/v1/config", `{"Kind":"mesh"}`, fault.Newf(fault.Invalid, "no"), 500, "no"},
		"one":              {"GET", "/v1/config/service-defaults/web", "", nil, 200, `{"Expose":{},"Kind":"service-defaults","MeshGateway":{},"Name":"web","Protocol":"http","TransparentProxy":{},"CreateIndex":0,"ModifyIndex":0}`},
		"none":             {"GET", "/v1/config/service-defaults/web", "", fault.Newf(fault.NotFound, "not there"), 404, "not there"},
		"delete":           {"DELETE", "/v1/config/mesh/mesh", "", nil, 200, `{}`},
		"delete with cas":  {"DELETE", "/v1/config/mesh/mesh?cas=3", "", nil, 200, `true`},
		"delete no name":   {"DELETE", "/v1/config/mesh", "", nil, 404, "Must provide both a kind and name to delete"},
		"filters are none": {"GET", "/v1/config/mesh?filter=Name==x", "", nil, 500, "cannot be filtered"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &servers{err: tt.err}
			a := handlers{&edge.Base{Caller: s, Settings: func() edge.Settings { return edge.Settings{Datacenter: "dc1"} }}}
			r := httptest.NewRequest(tt.method, tt.path, strings.NewReader(tt.body))
			r.SetPathValue("item", strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/v1/config"), "/"))
			w := httptest.NewRecorder()
			handle := a.below
			if tt.method == http.MethodPut {
				handle = a.write
			}
			v, err := handle(w, r)
			status, text := 200, ""
			if err != nil {
				status, text = edge.StatusOf(err), edge.TextOf(r, err)
			} else {
				raw, err := json.Marshal(v)
				if err != nil {
					t.Fatal(err)
				}
				text = string(raw)
				if strings.HasPrefix(tt.text, "{") {
					text = sortedJSON(t, text)
					tt.text = sortedJSON(t, tt.text)
				}
			}
			if status != tt.status || !strings.Contains(text, tt.text) {
				t.Errorf("%d %s, want %d %s", status, text, tt.status, tt.text)
			}
			if w.Header().Get("X-Consul-Effective-Consistency") != "" {
				t.Error("it tells of its consistency")
			}
			if in, ok := s.asked.(*rpc.ConfigApplyRequest); ok && name == "write" && (in.CAS == nil || *in.CAS != 7 || in.Datacenter != "dc2") {
				t.Errorf("asked %+v", in)
			}
		})
	}
}

func sortedJSON(t *testing.T, text string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// Whatever the official client can write is understood, field by field.
func TestOfficialShapes(t *testing.T) {
	for _, kind := range configentry.Kinds() {
		theirs, err := api.MakeConfigEntry(kind, "x")
		if err != nil {
			if kind != configentry.KindBoundAPIGateway {
				t.Error(err)
			}
			continue
		}
		raw, err := json.Marshal(theirs)
		if err != nil {
			t.Fatal(err)
		}
		e, err := configentry.DecodeJSON(raw)
		if kind == configentry.KindSamenessGroup || kind == configentry.KindRequestLimit {
			if !errors.Is(err, fault.Invalid) {
				t.Errorf("%s: %v", kind, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s as the client writes it: %v", kind, err)
			continue
		}
		shown, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(shown, theirs); err != nil {
			t.Errorf("%s as it is shown: %v", kind, err)
		}
	}
}
