package configs

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"consul.internal/dnsserver/observe"
)

func TestRecursors(t *testing.T) {
	s, warnings := mustLoad(t, "-data-dir=x", "-client=127.0.0.1", "-hcl", `
recursors = ["10.0.0.53", "10.0.0.53", "[2001:db8::53]:5353", "2001:db8::54"]
dns_config {
  recursor_strategy = "random"
  recursor_timeout  = "400ms"
  recursion_allow   = ["10.1.2.3/8", "192.0.2.7"]
}
`)
	d := s.DNS
	if got := fmt.Sprint(d.Recursors, d.RecursorsRandom, d.RecursorTimeout, d.RecursionAllow); got !=
		"[10.0.0.53:53 [2001:db8::53]:5353 [2001:db8::54]:53] true 400ms [10.0.0.0/8 192.0.2.7/32]" {
		t.Errorf("got %s", got)
	}
	if got := strings.Join(warnings, "|"); strings.Contains(got, "no effect") {
		t.Errorf("warnings %s", got)
	}
}

func TestRecursorDefaults(t *testing.T) {
	s, _ := mustLoad(t, "-data-dir=x", "-client=127.0.0.1")
	d := s.DNS
	if len(d.Recursors) != 0 || d.RecursorsRandom || d.RecursorTimeout != 2*time.Second || !strings.Contains(fmt.Sprint(d.RecursionAllow), "192.168.0.0/16") {
		t.Errorf("got %+v", d)
	}
}

func TestRecursorMistakes(t *testing.T) {
	for _, tt := range []struct{ hcl, want string }{
		{`recursors = ["dns.example.com"]`, `flags-0.hcl:1:1: recursors: dns.example.com: "dns.example.com" is not an IP address`},
		{`recursors = ["0.0.0.0"]`, "recursors: 0.0.0.0: this is every address"},
		{`recursors = ["10.0.0.1:0"]`, "a port above 0"},
		{`recursors = ["224.0.0.1"]`, "the address of many"},
		{`recursors = ["127.0.0.1:8600"]`, "recursors: 127.0.0.1:8600 is this agent's own DNS address (127.0.0.1:8600)"},
		{`recursors = ["10.0.0.5:8600"] addresses { dns = "0.0.0.0" }`, "is this agent's own DNS address (0.0.0.0:8600)"},
		{`dns_config { recursor_strategy = "fastest" }`, `dns_config.recursor_strategy cannot be "fastest": use sequential or random`},
		{`dns_config { recursor_timeout = "0s" }`, "dns_config.recursor_timeout cannot be 0s"},
		{`dns_config { limit_exempt = ["lan"] }`, `dns_config.limit_exempt: "lan" is not a network`},
		{`dns_config { max_udp_size = 511 }`, "dns_config.max_udp_size: 511 is less than the 512 bytes that every asker takes"},
		{`dns_config { response_rate_limit = -1 }`, "dns_config.response_rate_limit: -1 is negative"},
		{`dns_config { unknown_name_limit = -1 }`, "dns_config.unknown_name_limit: -1 is negative"},
		{`dns_config { dnstap { socket = "tap.sock" } }`, `dns_config.dnstap.socket: "tap.sock" is not an absolute path`},
		{`dns_config { query_log { path = "q.log" } }`, `dns_config.query_log.path: "q.log" is not an absolute path`},
		{`dns_config { query_log { sampel = 1 } }`, `sample`},
		{`dns_config { version_bind = "ü" }`, "printable ASCII"},
		{`dns_config { recursion_allow = ["lan"] }`, `dns_config.recursion_allow: "lan" is not a network`},
	} {
		_, _, err := Load([]string{"-data-dir=x", "-client=127.0.0.1", "-hcl", tt.hcl}, testHost())
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v", tt.hcl, err)
		}
	}
	// The same port elsewhere is another server.
	mustLoad(t, "-data-dir=x", "-client=127.0.0.1", "-hcl", `recursors = ["127.0.0.2:8600", "10.0.0.5:8600"]`)
}

// TestObserve: a log of questions has a sample and bounds of its own, and is off
// where nothing is said of it.
func TestObserve(t *testing.T) {
	for _, tt := range []struct {
		hcl  string
		want observe.Config
	}{
		{``, observe.Config{}},
		{`query_log { path = "/q" }`, observe.Config{Log: observe.Log{Path: "/q", Sample: 100, MaxBytes: 100e6, Keep: 5}}},
		{`query_log { sample = 3 rotate_bytes = 0 rotate_max_files = 2 } dnstap { socket = "/t" sample = 4 }`,
			observe.Config{Log: observe.Log{Sample: 3, Keep: 2}, Tap: observe.Tap{Socket: "/t", Sample: 4}}},
	} {
		s, _ := mustLoad(t, "-data-dir=x", "-hcl", "dns_config { "+tt.hcl+" }")
		if s.DNS.Observe != tt.want {
			t.Errorf("%s: %+v", tt.hcl, s.DNS.Observe)
		}
	}
}
