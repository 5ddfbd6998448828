package charts

import (
	"net/http"
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		cfg   Config
		wrong string
	}{
		{Config{}, ""},
		{Config{Base: "http://prometheus-server", Paths: DefaultPaths()}, ""},
		{Config{Base: "https://u:secret@[::1]:9090/prom/", Paths: []string{"/", "/api/", "/a-b_c.d/e"}, Header: http.Header{"Authorization": {"Bearer secret"}}}, ""},
		{Config{Base: "prometheus:9090"}, "base_url: it must be a URL"},
		{Config{Base: "unix:///run/secret"}, "base_url: it must be a URL"},
		{Config{Base: "http://"}, "base_url: it must be a URL"},
		{Config{Base: "http://:9090"}, "base_url: it must be a URL"},
		{Config{Base: "http://u:secret@a b/"}, "base_url: it must be a URL"},
		{Config{Base: "http://prometheus?secret=1"}, "has no ?"},
		{Config{Base: "http://prometheus/#x"}, "has no ?"},
		{Config{Base: "http://prometheus", Paths: []string{""}}, "path_allowlist"},
		{Config{Base: "http://prometheus", Paths: []string{"api/v1/query"}}, "path_allowlist"},
		{Config{Base: "http://prometheus", Paths: []string{"/api/../x"}}, "path_allowlist"},
		{Config{Base: "http://prometheus", Paths: []string{"/api//x"}}, "path_allowlist"},
		{Config{Base: "http://prometheus", Paths: []string{"/api//"}}, "path_allowlist"},
		{Config{Base: "http://prometheus", Paths: []string{"/.."}}, "path_allowlist"},
		{Config{Base: "http://prometheus", Paths: []string{"/api/%2e%2e"}}, "path_allowlist"},
		{Config{Base: "http://prometheus", Paths: []string{"/api?x"}}, "path_allowlist"},
		{Config{Base: "http://prometheus", Paths: []string{"/a b"}}, "path_allowlist"},
		{Config{Base: "http://prometheus", Header: http.Header{"": {"secret"}}}, "is not the name of a header"},
		{Config{Base: "http://prometheus", Header: http.Header{"A b": {"secret"}}}, "is not the name of a header"},
		{Config{Base: "http://prometheus", Header: http.Header{"A": {"secret\r\nB: c"}}}, "the value of A has"},
	} {
		err := tt.cfg.Validate()
		if (err == nil) != (tt.wrong == "") || err != nil && (!strings.Contains(err.Error(), tt.wrong) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%+v: %v, want %q", tt.cfg, err, tt.wrong)
		}
	}
}
