package configentry_test

import (
	"encoding/json"
	"testing"

	"consul.internal/catalog"
	"consul.internal/configentry"
)

func TestMerge(t *testing.T) {
	entries := map[string]*configentry.Entry{}
	for _, text := range []string{
		`{"Kind":"proxy-defaults","Name":"global","Config":{"protocol":"http","a":1},"Mode":"transparent","MeshGateway":{"Mode":"local"},
		  "Expose":{"Checks":true},"AccessLogs":{"Enabled":true},"EnvoyExtensions":[{"Name":"lua"}]}`,
		`{"Kind":"service-defaults","Name":"web","Protocol":"grpc","MaxInboundConnections":7,"LocalRequestTimeoutMs":9,"MutualTLSMode":"strict",
		  "UpstreamConfig":{"Defaults":{"ConnectTimeoutMs":5,"MeshGateway":{"Mode":"remote"}},"Overrides":[{"Name":"db","Protocol":"tcp","ConnectTimeoutMs":6}]}}`,
		`{"Kind":"service-defaults","Name":"cache","Protocol":"http2"}`,
		`{"Kind":"service-defaults","Name":"edge","MeshGateway":{"Mode":"none"}}`,
	} {
		e, err := configentry.DecodeJSON([]byte(text))
		if err == nil {
			err = e.Prepare()
		}
		if err != nil {
			t.Fatal(err)
		}
		entries[e.Kind+"/"+e.Name] = e
	}
	get := func(kind, name string) *configentry.Entry { return entries[kind+"/"+name] }
	none := func(string, string) *configentry.Entry { return nil }
	up := func(name string, more map[string]any) any {
		u := map[string]any{"DestinationName": name}
		for k, v := range more {
			u[k] = v
		}
		return u
	}
	for _, tt := range []struct {
		name string
		in   catalog.Service
		get  func(string, string) *configentry.Entry
		want string
	}{
		{"no proxy", catalog.Service{Name: "web"}, get, `{"Mode":"","MeshGateway":{},"Expose":{}}`},
		{"no entries", catalog.Service{Kind: "connect-proxy", Proxy: catalog.Proxy{DestinationServiceName: "web", Config: map[string]any{"b": 2}}}, none,
			`{"DestinationServiceName":"web","Mode":"","Config":{"b":2},"MeshGateway":{},"Expose":{}}`},
		{"a gateway", catalog.Service{Kind: "mesh-gateway", Name: "edge"}, get,
			`{"Mode":"transparent","Config":{"a":1,"protocol":"http"},"MeshGateway":{"Mode":"none"},"Expose":{"Checks":true},"AccessLogs":{"Enabled":true},` +
				`"EnvoyExtensions":[{"ConsulVersion":"","EnvoyVersion":"","Name":"lua","Required":false}]}`},
		{"a proxy", catalog.Service{Kind: "connect-proxy", Proxy: catalog.Proxy{
			DestinationServiceName: "web", Mode: "direct", Config: map[string]any{"a": "mine"}, EnvoyExtensions: []any{"x"}, Expose: catalog.Object{"Checks": false},
			Upstreams: []any{
				up("db", nil), up("cache", map[string]any{"Config": map[string]any{"connect_timeout_ms": 1}, "MeshGateway": map[string]any{"Mode": "none"}}),
				map[string]any{"DestinationType": "prepared_query", "DestinationName": "q"},
			}}}, get,
			`{"DestinationServiceName":"web","Mode":"direct","Config":{"a":"mine","local_request_timeout_ms":9,"max_inbound_connections":7,"protocol":"grpc"},` +
				`"Upstreams":[{"Config":{"connect_timeout_ms":6,"protocol":"tcp"},"DestinationName":"db","MeshGateway":{"Mode":"remote"}},` +
				`{"Config":{"connect_timeout_ms":1,"protocol":"http2"},"DestinationName":"cache","MeshGateway":{"Mode":"none"}},` +
				`{"DestinationName":"q","DestinationType":"prepared_query"}],` +
				`"MeshGateway":{"Mode":"local"},"Expose":{"Checks":false},"MutualTLSMode":"strict","AccessLogs":{"Enabled":true},"EnvoyExtensions":["x"]}`},
	} {
		before, err := json.Marshal(tt.in)
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(configentry.Merge(&tt.in, tt.get).Proxy)
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", tt.name, err, got, tt.want)
		}
		if after, _ := json.Marshal(tt.in); string(after) != string(before) {
			t.Errorf("%s: what was given is changed: %s", tt.name, after)
		}
	}
}

func TestNames(t *testing.T) {
	for text, want := range map[string]string{
		`{"Kind":"service-resolver","Name":"web","ConnectTimeout":"5s"}`: `null`,
		`{"Kind":"service-defaults","Name":"web","Protocol":"http"}`:     `null`,
		`{"Kind":"service-resolver","Name":"web","Redirect":{"Service":"other","Datacenter":"dc2"}}`: `{"Service":"web","DefaultSubset":"","Subsets":null,` +
			`"Redirect":{"Service":"other","Subset":"","Datacenter":"dc2"},"Failover":null}`,
		`{"Kind":"service-resolver","Name":"web","Redirect":{"Peer":"p"}}`: `null`,
		`{"Kind":"service-resolver","Name":"web","DefaultSubset":"v1","Subsets":{"v1":{"OnlyPassing":true}},` +
			`"Failover":{"*":{"Datacenters":["dc2","dc3"],"ServiceSubset":"v1"},"v1":{"Targets":[{"Peer":"p"},{"Service":"b"}]}}}`: `{"Service":"web","DefaultSubset":"v1",` +
			`"Subsets":{"v1":{"Filter":"","OnlyPassing":true}},"Redirect":null,"Failover":{"*":[{"Service":"","Subset":"v1","Datacenter":"dc2"},` +
			`{"Service":"","Subset":"v1","Datacenter":"dc3"}],"v1":[{"Service":"b","Subset":"","Datacenter":""}]}}`,
		`{"Kind":"service-resolver","Name":"web","Failover":{"*":{"Service":"b"}}}`: `{"Service":"web","DefaultSubset":"","Subsets":null,"Redirect":null,` +
			`"Failover":{"*":[{"Service":"b","Subset":"","Datacenter":""}]}}`,
	} {
		e, err := configentry.DecodeJSON([]byte(text))
		if err == nil {
			err = e.Prepare()
		}
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if got, err := json.Marshal(e.Names()); err != nil || string(got) != want {
			t.Errorf("%s:\n%s\nwant\n%s", text, got, want)
		}
	}
}
