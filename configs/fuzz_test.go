package configs

import (
	"errors"
	"testing"

	"consul.internal/internal/fault"
)

// FuzzLoad: whatever stands in a file, the answer is settings or an error.
func FuzzLoad(f *testing.F) {
	for _, s := range []string{
		`ports { http = 1 }`, `service { name = "a" check { ttl = "1s" } }`, `acl_token = "x" acl { tokens { default = "y" } }`,
		`{"acl": [{"tokens": []}], "acl_master_token": {}}`, `start_join = ["a"] retry_join = "b"`, `tls = 1 ca_file = "x"`,
		`services = [{}] check { args = ["x"] }`, `bind_addr = "{{ GetPrivateIP }}" client_addr = "::1 127.0.0.1"`, `node_meta { "consul-x" = "1" }`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, _, err := Resolve(&Input{Dev: true, Fragments: []string{text}}, testHost())
		if (s == nil) == (err == nil) {
			t.Fatalf("settings %v, error %v", s, err)
		}
		if err != nil && !errors.Is(err, fault.Invalid) {
			t.Fatalf("error of kind %q: %v", fault.Of(err), err)
		}
	})
}
