package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/query"
	"consul.internal/rpc"
	"github.com/hashicorp/consul/api"
)

// queryCaller answers the operations on queries: those of the ID or name "gone"
// with what is the matter.
func queryCaller(_ context.Context, _ string, in, out any) error {
	missing := fault.Newf(fault.NotFound, "Query not found")
	q := &query.Query{ID: "i", Name: "q", Service: query.Service{Service: "web"}}
	switch in := in.(type) {
	case *rpc.QueryApplyRequest:
		if in.Query.ID == "gone" {
			return fault.Newf(fault.NotFound, "Cannot modify non-existent prepared query: 'gone'")
		}
		out.(*rpc.QueryApplyReply).ID = "new"
	case *rpc.QueryGetRequest:
		if in.ID == "gone" {
			return missing
		}
		*out.(*rpc.QueriesReply) = rpc.QueriesReply{ReadMeta: rpc.ReadMeta{Index: 7}, Queries: []*query.Query{q}}
	case *rpc.QueryExecuteRequest:
		if in.Query == "gone" {
			return missing
		}
		switch out := out.(type) {
		case *rpc.QueryExplainReply:
			*out = rpc.QueryExplainReply{ReadMeta: rpc.ReadMeta{Index: 7, KnownLeader: true}, Query: q}
		case *rpc.QueryExecuteReply:
			*out = rpc.QueryExecuteReply{ReadMeta: rpc.ReadMeta{Index: 7, KnownLeader: true}, Service: "web", Datacenter: "dc2", Failovers: 1,
				DNS: query.DNS{TTL: "5s"}, Instances: []*catalog.Instance{{Node: &catalog.Node{Name: "n"}, Service: &catalog.Service{Name: "web"}}}}
		}
	}
	return nil
}

func TestQueryStatuses(t *testing.T) {
	s := newTestServer(t, &fakeCaller{answer: queryCaller}, nil)
	for _, tt := range []struct {
		method, target, body string
		status               int
		text, allow          string
	}{
		{"GET", "/v1/query", "", 200, "[]", ""},
		{"POST", "/v1/query", `{"Name":"q"}`, 200, `{"ID":"new"}`, ""},
		{"POST", "/v1/query", `{`, 400, "Request decode failed: ", ""},
		{"PUT", "/v1/query", `{}`, 405, "method PUT not allowed", "OPTIONS,GET,POST"},
		{"GET", "/v1/query/i", "", 200, `[{"ID":"i"`, ""},
		{"GET", "/v1/query/gone", "", 404, "Query not found", ""},
		{"PUT", "/v1/query/i", `{}`, 200, "", ""},
		{"PUT", "/v1/query/gone", `{}`, 500, "Cannot modify non-existent prepared query: 'gone'", ""},
		{"DELETE", "/v1/query/i", "", 200, "", ""},
		{"POST", "/v1/query/i", `{}`, 405, "method POST not allowed", "GET,PUT,DELETE"},
		{"OPTIONS", "/v1/query/i", "", 200, "{}", "OPTIONS,GET,PUT,DELETE"},
		{"GET", "/v1/query/", "", 400, "Missing query ID", ""},
		{"GET", "/v1/query/q/execute", "", 200, `{"Service":"web","Nodes":[{"Node":{`, ""},
		{"GET", "/v1/query/gone/execute", "", 404, "Query not found", ""},
		{"GET", "/v1/query/gone/explain", "", 404, "Query not found", ""},
		{"GET", "/v1/query/q/explain", "", 200, `{"Query":{"ID":"i"`, ""},
		{"POST", "/v1/query/q/execute", "{}", 405, "method POST not allowed", "GET"},
		{"GET", "/v1/query/q/execute?limit=x", "", 500, `Bad limit: strconv.Atoi: parsing "x": invalid syntax`, ""},
		{"GET", "/v1/query/q/execute?connect=x", "", 500, "Error parsing 'connect' value: ", ""},
	} {
		r := do(s, tt.method, tt.target, tt.body)
		if got := text(t, r); r.StatusCode != tt.status || !strings.HasPrefix(got, tt.text) || r.Header.Get("Allow") != tt.allow {
			t.Errorf("%s %s: %d %q Allow %q, want %d %q %q", tt.method, tt.target, r.StatusCode, got, r.Header.Get("Allow"), tt.status, tt.text, tt.allow)
		}
	}
}

// TestQueryMissingText: only a query that there is not is 404.
func TestQueryMissingText(t *testing.T) {
	s := newTestServer(t, &fakeCaller{answer: func(context.Context, string, any, any) error {
		return fault.Newf(fault.NotFound, "something else")
	}}, nil)
	if r := do(s, "GET", "/v1/query/q/execute", ""); r.StatusCode != 500 {
		t.Error(r.StatusCode)
	}
	s = newTestServer(t, &fakeCaller{answer: func(context.Context, string, any, any) error { return errors.New("broken") }}, nil)
	if r := do(s, "DELETE", "/v1/query/q", ""); r.StatusCode != 500 {
		t.Error(r.StatusCode)
	}
}

func TestQueryRequest(t *testing.T) {
	caller := &fakeCaller{answer: queryCaller}
	s := newTestServer(t, caller, nil)
	do(s, "GET", "/v1/query/Web-Q/execute?limit=3&connect=true&near=_ip&dc=dc2&stale&index=9", "", "X-Consul-Token", "secret", "X-Forwarded-For", "192.0.2.7, 10.0.0.1")
	in := caller.last.(*rpc.QueryExecuteRequest)
	if in.Query != "Web-Q" || in.Limit != 3 || !in.Connect || in.Near != "_ip" || in.Datacenter != "dc2" || in.Consistency != rpc.Stale ||
		in.Token != "secret" || in.MinIndex != 0 || in.Origin != (rpc.QueryOrigin{Node: "me", IP: "192.0.2.7"}) || in.Brief {
		t.Errorf("%+v", in)
	}
	do(s, "GET", "/v1/query/q/execute?connect&near=_agent", "")
	in = caller.last.(*rpc.QueryExecuteRequest)
	if in.Connect || in.Near != "me" || in.Origin.IP != "192.0.2.1" { // httptest's
		t.Errorf("%+v", in)
	}
	do(s, "PUT", "/v1/query/path?dc=dc2", `{"ID":"body","Name":"n","Service":{"Service":"web","Tags":["a"]}}`)
	up := caller.last.(*rpc.QueryApplyRequest)
	if up.Op != rpc.QueryUpdate || up.Query.ID != "path" || up.Query.Name != "n" || up.Query.Service.Tags[0] != "a" || up.Datacenter != "dc2" {
		t.Errorf("%+v", up)
	}
	do(s, "DELETE", "/v1/query/path", "")
	if down := caller.last.(*rpc.QueryApplyRequest); down.Op != rpc.QueryDelete || down.Query.ID != "path" {
		t.Errorf("%+v", down)
	}
}

// TestQueryJSON: what the official client sends and reads is ours, field by field.
func TestQueryJSON(t *testing.T) {
	full := api.PreparedQueryDefinition{
		ID: "i", Name: "n", Session: "s", Token: "t", DNS: api.QueryDNSOptions{TTL: "5s"},
		Template: api.QueryTemplate{Type: "name_prefix_match", Regexp: "x", RemoveEmptyTags: true},
		Service: api.ServiceQuery{
			Service: "web", SamenessGroup: "g", Near: "_agent", OnlyPassing: true, Connect: true, Tags: []string{"a"}, IgnoreCheckIDs: []string{"c"},
			NodeMeta: map[string]string{"a": "b"}, ServiceMeta: map[string]string{"c": "d"},
			Failover: api.QueryFailoverOptions{NearestN: 2, Datacenters: []string{"dc2"}, Targets: []api.QueryFailoverTarget{{Peer: "p", Datacenter: "dc3"}}},
		},
	}
	raw, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	var ours query.Query
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.DisallowUnknownFields()
	if err := d.Decode(&ours); err != nil {
		t.Fatal(err)
	}
	raw, err = json.Marshal(ours)
	if err != nil {
		t.Fatal(err)
	}
	var back api.PreparedQueryDefinition
	if err := json.Unmarshal(raw, &back); err != nil || !reflect.DeepEqual(back, full) {
		t.Errorf("%+v, %v, want %+v", back, err, full)
	}
	s := newTestServer(t, &fakeCaller{answer: queryCaller}, nil)
	r := do(s, http.MethodGet, "/v1/query/q/execute", "")
	var out api.PreparedQueryExecuteResponse
	if err := json.Unmarshal([]byte(text(t, r)), &out); err != nil || out.Datacenter != "dc2" || out.Failovers != 1 || out.DNS.TTL != "5s" ||
		len(out.Nodes) != 1 || out.Nodes[0].Node.Node != "n" || out.Nodes[0].Checks == nil {
		t.Errorf("%+v, %v", out, err)
	}
}
