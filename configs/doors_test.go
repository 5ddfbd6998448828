package configs

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestDoors(t *testing.T) {
	s, warnings := mustLoad(t, "-data-dir=d", "-hcl="+`
http_config { allowed_hosts = ["Consul.Example.com.", "*.lab.example", "*"] use_cache = false }
limits {
  rpc_rate = 12.5
  rpc_max_burst = 3
  request_limits { mode = "enforcing" read_rate = 100 write_rate = 20.5 source_read_rate = 10 source_write_rate = 0 }
}
audit {
  enabled = true
  sink "My sink" {
    type               = "file"
    format             = "json"
    path               = "/tmp/audit.json"
    delivery_guarantee = "best-effort"
    rotate_duration    = "24h"
    rotate_max_files   = 15
    rotate_bytes       = 25165824
  }
  sink "other" { type = "file" path = "/tmp/b.json" mode = "0640" rotate_bytes = 100 }
}`)
	if len(warnings) != 0 {
		t.Errorf("warnings %q", warnings)
	}
	if got := s.HTTP.AllowedHosts; !reflect.DeepEqual(got, []string{"consul.example.com", "*.lab.example", "*"}) || !s.HTTP.NoCache {
		t.Errorf("%+v", s.HTTP)
	}
	want := RequestLimits{"enforcing", 100, 20.5, 10, 0}
	if s.Limits.Requests != want || s.Limits.RPCRate != 12.5 || s.Limits.RPCMaxBurst != 3 {
		t.Errorf("%+v", s.Limits)
	}
	audit := Audit{true, []AuditSink{
		{"My sink", "/tmp/audit.json", 0o600, 24 * time.Hour, 25165824, 15},
		{"other", "/tmp/b.json", 0o640, 0, 100, 0},
	}}
	if !reflect.DeepEqual(s.Audit, audit) {
		t.Errorf("%+v", s.Audit)
	}
}

func TestDoorsMistakes(t *testing.T) {
	for text, want := range map[string]string{
		`http_config { allowed_hosts = ["consul.example.com:8500"] }`:                               `allowed_hosts: "consul.example.com:8500" is not a name`,
		`http_config { allowed_hosts = ["a.*.com"] }`:                                               `is not a name such as`,
		`limits { request_limits { mode = "on" } }`:                                                 `limits.request_limits.mode cannot be "on": use disabled or permissive or enforcing`,
		`limits { https_handshake_timeout = "0s" }`:                                                 "limits.https_handshake_timeout cannot be 0s",
		`audit { enabled = true }`:                                                                  "audit is enabled but has no sink",
		`audit { sink "a" { type = "file" rotate_bytes = 1 } }`:                                     `audit.sink "a": path is missing`,
		`audit { sink "a" { type = "syslog" path = "p" rotate_bytes = 1 } }`:                        `type cannot be "syslog": use file`,
		`audit { sink "a" { path = "p" rotate_bytes = 1 } }`:                                        `type cannot be ""`,
		`audit { sink "a" { type = "file" path = "p" } }`:                                           "rotate_duration or rotate_bytes is needed",
		`audit { sink "a" { type = "file" path = "p" rotate_bytes = 1 mode = "0200" } }`:            `mode "0200" is not an octal mode`,
		`audit { sink "a" { type = "file" path = "p" rotate_bytes = 1 delivery_guarantee = "x" } }`: `delivery_guarantee cannot be "x"`,
		`audit { sinks "a" { type = "file" } }`:                                                     `sink`,
	} {
		_, _, err := Load([]string{"-data-dir=d", "-hcl=" + text}, testHost())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
