package configs

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"consul.internal/agent"
	"consul.internal/catalog"
	"consul.internal/checks"
)

func TestDefinitions(t *testing.T) {
	write(t, map[string]string{
		"a.hcl": `data_dir = "x"
enable_local_script_checks = true
service {
  id = "web-1" name = "web" port = 80 tags = ["a", "b"] address = "10.1.1.1" token = "t"
  enable_tag_override = true
  meta { m = "1" }
  tagged_addresses { lan = { address = "10.1.1.1" port = 81 } wan { address = "203.0.113.1", port = 82 } }
  weights { passing = 10 }
  check { http = "http://127.0.0.1/" interval = "10s" timeout = "1s" method = "GET" header { X = ["y", "z"] } status = "passing"
    tls_skip_verify = true success_before_passing = 2 failures_before_warning = 1 failures_before_critical = 3 deregister_critical_service_after = "90m" }
  checks = [ { id = "c2" args = ["/bin/true"] interval = "5s" }, { tcp = "x:1", interval = "5s" } ]
}
services = [ { name = "api", connect { native = true } } ]
check { id = "mem" name = "memory" ttl = "30s" notes = "n" }
checks = [ { name = "alias", alias_service = "web-1", service_id = "api" }, { name = "h2", h2ping = "x:2", interval = "1s" }, { name = "g", grpc = "x:3", grpc_use_tls = true, interval = "1s" } ]
`,
		// as people paste it from the HTTP API
		"b.json": `{"service": {"ID": "p", "Name": "pasted", "EnableTagOverride": true, "Check": {"TTL": "5s", "DeregisterCriticalServiceAfter": "1h"},
  "proxy": {"destination_service_name": "web", "upstreams": [{"destination_name": "db", "local_bind_port": 1, "config": {"a_b": 1}}]}}}`,
	})
	s, warnings := mustLoad(t, "-config-file=a.hcl", "-config-file=b.json")
	sec := time.Second
	wantServices := []agent.ServiceDefinition{
		{
			ID: "web-1", Name: "web", Port: 80, Tags: []string{"a", "b"}, Address: "10.1.1.1", Token: "t", EnableTagOverride: true,
			Meta:            map[string]string{"m": "1"},
			TaggedAddresses: map[string]catalog.ServiceAddress{"lan": {Address: "10.1.1.1", Port: 81}, "wan": {Address: "203.0.113.1", Port: 82}},
			Weights:         &catalog.Weights{Passing: 10, Warning: 1},
			Checks: []checks.Definition{
				{
					HTTP: "http://127.0.0.1/", Interval: 10 * sec, Timeout: sec, Method: "GET", Header: map[string][]string{"X": {"y", "z"}},
					Status: catalog.Passing, TLSSkipVerify: true, SuccessBeforePassing: 2, FailuresBeforeWarning: 1, FailuresBeforeCritical: 3,
					DeregisterCriticalServiceAfter: 90 * time.Minute,
				},
				{ID: "c2", Args: []string{"/bin/true"}, Interval: 5 * sec},
				{TCP: "x:1", Interval: 5 * sec},
			},
		},
		{Name: "api", Connect: catalog.Connect{Native: true}},
		{
			ID: "p", Name: "pasted", EnableTagOverride: true, Checks: []checks.Definition{{TTL: 5 * sec, DeregisterCriticalServiceAfter: time.Hour}},
			Proxy: catalog.Proxy{DestinationServiceName: "web", Upstreams: []any{map[string]any{"DestinationName": "db", "LocalBindPort": int64(1), "Config": map[string]any{"a_b": int64(1)}}}},
		},
	}
	if !reflect.DeepEqual(s.Definitions.Services, wantServices) {
		t.Errorf("got  %+v\nwant %+v", s.Definitions.Services, wantServices)
	}
	wantChecks := []checks.Definition{
		{ID: "mem", Name: "memory", TTL: 30 * sec, Notes: "n"},
		{Name: "alias", AliasService: "web-1", ServiceID: "api"},
		{Name: "h2", H2PING: "x:2", H2PINGUseTLS: true, Interval: sec},
		{Name: "g", GRPC: "x:3", GRPCUseTLS: true, Interval: sec},
	}
	if !reflect.DeepEqual(s.Definitions.Checks, wantChecks) {
		t.Errorf("got  %+v\nwant %+v", s.Definitions.Checks, wantChecks)
	}
	if got := strings.Join(warnings, "\n"); !strings.Contains(got, "no effect yet: service.connect, service.proxy") {
		t.Errorf("warnings %s", got)
	}
}

func TestDefinitionErrors(t *testing.T) {
	tests := []struct {
		name, src string
		want      []string
	}{
		{"no name", `service { port = 1 }`, []string{"flags-0.hcl:1:9: a service needs a name"}},
		{"no kind", "service { name = \"x\"\n check { id = \"c\" } }", []string{`flags-0.hcl:2:8: service "x": check "c": TTL must be > 0`}},
		{"no interval", `check { name = "c" tcp = "x:1" }`, []string{`flags-0.hcl:1:7: check "c": Interval must be > 0`}},
		{"no check name", `check { ttl = "1s" }`, []string{"flags-0.hcl:1:7: a check needs a name or an id"}},
		{"same ID", "service { name = \"a\" }\nservice { id = \"a\" name = \"b\" }", []string{`flags-0.hcl:2:9: service "a": this ID is already used by the service at flags-0.hcl:1:9`}},
		{"same check ID", "check { name = \"a\" ttl = \"1s\" }\nservice { name = \"s\" check { id = \"a\" ttl = \"1s\" } }", []string{`this ID is already used by the check at flags-0.hcl:2:28`}},
		{"port", `service { name = "a" port = 65536 }`, []string{`service "a": 65536 is not a port number`}},
		{"weights", `service { name = "a" weights { passing = 0 warning = -1 } }`, []string{"weights.passing cannot be 0", "weights.warning cannot be -1"}},
		{"address", `service { name = "a" address = "0.0.0.0" }`, []string{"the address 0.0.0.0 reaches nothing"}},
		{"meta", `service { name = "a" meta { "b c" = "" } }`, []string{`service "a": meta: key "b c" contains invalid characters`}},
		{"removed", `service { name = "a" check { script = "x" } }`, []string{`flags-0.hcl:1:30: services.check.script is no longer supported: write args = ["/bin/sh", "-c", "..."]`}},
		{"unknown", `service { name = "a" chekc { } }`, []string{`invalid config key services.chekc; nearest valid key is "check"`}},
		{"label", `service "web" { port = 80 }`, []string{"invalid config key services.web"}},
		{"scripts are off", `check { name = "a" args = ["x"] interval = "1s" }`, []string{`check "a": scripts are disabled on this agent; enable_local_script_checks = true`}},
		{"bad status", `check { name = "a" ttl = "1s" status = "good" }`, []string{"good"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := Load([]string{"-data-dir=x", "-hcl", tt.src}, testHost())
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q\nlacks %q", err, want)
				}
			}
		})
	}
}

func TestDefinitionWarnings(t *testing.T) {
	_, warnings := mustLoad(t, "-data-dir=x", "-node=bad_name", "-hcl", `service { name = "my_service" tags = ["a.b", "ok"] check { ttl = "1s" } }`)
	got := strings.Join(warnings, "\n")
	for _, want := range []string{
		`flag -node: node name "bad_name" cannot be asked for by DNS`,
		`flags-0.hcl:1:9: service "my_service": this name cannot be asked for by DNS`,
		`service "my_service": the tag "a.b" cannot be asked for by DNS`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("warnings lack %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, `"ok"`) {
		t.Errorf("a good tag is complained about:\n%s", got)
	}
}
