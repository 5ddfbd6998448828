package configs

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestCheckTLS: the key stands alone or in tls, and its files may be of either block.
func TestCheckTLS(t *testing.T) {
	const files = `ca_file = "ca.pem" cert_file = "c.pem" key_file = "k.pem"`
	for text, want := range map[string]TLS{
		`enable_agent_tls_for_checks = true tls { defaults { ` + files + ` } }`:                                   {Checks: true},
		`tls { enable_agent_tls_for_checks = true internal_rpc { ` + files + ` } }`:                               {Checks: true},
		`enable_agent_tls_for_checks = true server_name = "agent.example" tls { internal_rpc { ` + files + ` } }`: {Checks: true, ServerName: "agent.example"},
		`tls { enable_agent_tls_for_checks = true server_name = "a.example" defaults { ca_path = "cas" } }`:       {Checks: true, ServerName: "a.example"},
		`enable_agent_tls_for_checks = false tls { defaults { ` + files + ` } }`:                                  {},
		``: {},
	} {
		s, warnings := mustLoad(t, "-data-dir=d", "-hcl", text)
		if s.TLS.Checks != want.Checks || s.TLS.ServerName != want.ServerName || len(warnings) != 0 {
			t.Errorf("%s: %+v, warnings %q", text, s.TLS, warnings)
		}
	}
	_, warnings := mustLoad(t, "-data-dir=d", "-hcl", `enable_agent_tls_for_checks = true`)
	if len(warnings) != 1 || !strings.Contains(warnings[0], "enable_agent_tls_for_checks changes nothing") {
		t.Errorf("without files: warnings %q", warnings)
	}
}

func TestSessionTTLMin(t *testing.T) {
	for text, want := range map[string]time.Duration{``: 10 * time.Second, `session_ttl_min = "1s"`: time.Second, `session_ttl_min = "24h"`: 24 * time.Hour} {
		if s, warnings := mustLoad(t, "-data-dir=d", "-hcl", text); s.Server.SessionTTLMin != want || len(warnings) != 0 {
			t.Errorf("%q: %v, warnings %q", text, s.Server.SessionTTLMin, warnings)
		}
	}
}

func TestAdvertiseReconnect(t *testing.T) {
	for text, want := range map[string]time.Duration{
		``: 0, `advertise_reconnect_timeout = "15m"`: 15 * time.Minute, `advertise_reconnect_timeout = "100h"`: 100 * time.Hour,
		`advertise_reconnect_timeout = "0s" server = true`: 0, // as if it were not there
	} {
		s, warnings := mustLoad(t, "-data-dir=d", "-hcl", text)
		if s.Gossip.AdvertiseReconnect != want || len(warnings) != 0 {
			t.Errorf("%q: %v, warnings %q", text, s.Gossip.AdvertiseReconnect, warnings)
		}
	}
}

func TestClusterMistakes(t *testing.T) {
	for text, want := range map[string]string{
		`session_ttl_min = "999ms"`:                               "session_ttl_min cannot be 999ms. Must be 1s or more",
		`session_ttl_min = "0s"`:                                  "session_ttl_min cannot be 0s. Must be 1s or more",
		`session_ttl_min = "-10s"`:                                "session_ttl_min cannot be -10s. Must be 1s or more",
		`session_ttl_min = "25h"`:                                 "session_ttl_min cannot be 25h0m0s. Must be 24h0m0s or less",
		`advertise_reconnect_timeout = "-1s"`:                     "advertise_reconnect_timeout cannot be -1s. Must be 0s or more",
		`server = true advertise_reconnect_timeout = "15m"`:       "advertise_reconnect_timeout is for clients only",
		`tls { defaults { enable_agent_tls_for_checks = true } }`: "enable_agent_tls_for_checks",
	} {
		if _, _, err := Load([]string{"-data-dir=d", "-hcl", text}, testHost()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, _, err := Load([]string{"-dev", "-hcl", `advertise_reconnect_timeout = "15m"`}, testHost()); err == nil {
		t.Error("a server of -dev took advertise_reconnect_timeout")
	}
}

// What is reloaded takes none of them: they are named among what needs a restart.
func TestClusterKeysNeedARestart(t *testing.T) {
	old, _ := mustLoad(t, "-data-dir=d")
	next, _ := mustLoad(t, "-data-dir=d", "-hcl", `session_ttl_min = "30s" advertise_reconnect_timeout = "1h" tls { enable_agent_tls_for_checks = true defaults { ca_path = "cas" } }`)
	_, restart := Diff(old, next)
	if want := []string{"advertise_reconnect_timeout", "session_ttl_min", "tls.enable_agent_tls_for_checks"}; !slices.Equal(restart, want) {
		t.Errorf("%q, want %q", restart, want)
	}
}
