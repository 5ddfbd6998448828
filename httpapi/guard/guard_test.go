package guard_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"consul.internal/httpapi/edge"
	"consul.internal/httpapi/guard"
)

func names() *guard.Names {
	return &guard.Names{
		Node: "Node-1.rack.example", Domains: []string{"consul.", "lab.example.", "", "."}, Allowed: []string{"consul.example.com", "*.ui.example.com"},
	}
}

func TestHost(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1:8500":           true,
		"10.1.2.3":                 true,
		"[::1]:8500":               true,
		"[fe80::1%25eth0]:8500":    true,
		"::1":                      true,
		"localhost:8500":           true,
		"LOCALHOST":                true,
		"consul:8500":              true,
		"machine-7":                true,
		"":                         true, // HTTP/1.0
		"node-1.rack.example:8500": true,
		"NODE-1.RACK.EXAMPLE.":     true,
		"consul.service.consul":    true,
		"web.service.dc1.CONSUL.":  true,
		"a.lab.example:80":         true,
		"lab.example":              true,
		"consul.example.com:8500":  true,
		"Consul.Example.Com":       true,
		"a.ui.example.com":         true,
		"a.b.ui.example.com":       true,

		"evil.example.com":           false,
		"evil.example.com:8500":      false,
		"notconsul.evil":             false,
		"evilconsul.example.com":     false,
		"ui.example.com":             false,
		"consul.example.com.evil.se": false,
		"xlab.example":               false,
		"127.0.0.1.evil.se":          false,
		"127.0.0.1.nip.io:8500":      false,
		"localhost.evil.se":          false,
		"rack.example":               false,
		"a.node-1.rack.example":      false,
		":8500":                      false,
		"evil.se:80:80":              false,
	} {
		r := httptest.NewRequest(http.MethodGet, "/v1/status/leader", nil)
		r.Host = host
		if err := names().Admit(r); err != nil {
			t.Errorf("%q inside the process: %v", host, err)
		}
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{}))
		err := names().Admit(r)
		if (err == nil) != want {
			t.Errorf("%q: %v", host, err)
		}
		if err != nil && (edge.StatusOf(err) != http.StatusForbidden || !strings.Contains(err.Error(), "http_config.allowed_hosts")) {
			t.Errorf("%q: %d %v", host, edge.StatusOf(err), err)
		}
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.UnixAddr{Name: "/s", Net: "unix"}))
		if err := names().Admit(r); err != nil {
			t.Errorf("%q over a unix socket: %v", host, err)
		}
	}
	all := &guard.Names{Allowed: []string{"*"}}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Host = "anything.at.all"
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{}))
	if err := all.Admit(r); err != nil {
		t.Errorf("* does not allow all: %v", err)
	}
}

func TestCrossSite(t *testing.T) {
	for _, tt := range []struct {
		name   string
		host   string
		header http.Header
		want   bool
	}{
		{"no browser", "", nil, true},
		{"own origin", "", http.Header{"Origin": {"http://127.0.0.1:8500"}}, true},
		{"own origin in capitals", "localhost:8500", http.Header{"Origin": {"HTTP://LocalHost:8500"}}, true},
		{"default port", "consul.example.com", http.Header{"Origin": {"https://consul.example.com"}}, true},
		{"default port said", "consul.example.com:443", http.Header{"Origin": {"https://consul.example.com"}}, true},
		{"behind a proxy", "127.0.0.1:8500", http.Header{"Origin": {"https://consul.example.com"}}, true},
		{"foreign", "", http.Header{"Origin": {"https://evil.se"}}, false},
		{"another port", "", http.Header{"Origin": {"http://127.0.0.1:3000"}}, false},
		{"another address", "", http.Header{"Origin": {"http://10.0.0.9:8500"}}, false},
		{"nobody's", "", http.Header{"Origin": {"null"}}, false},
		{"no URL", "", http.Header{"Origin": {"http://[::1"}}, false},
		{"another scheme", "", http.Header{"Origin": {"file://127.0.0.1:8500"}}, false},
		{"empty", "", http.Header{"Origin": {""}}, false},
		{"a second one", "", http.Header{"Origin": {"http://127.0.0.1:8500", "https://evil.se"}}, false},
		{"cross-site", "", http.Header{"Sec-Fetch-Site": {"cross-site"}}, false},
		{"Cross-Site", "", http.Header{"Sec-Fetch-Site": {" Cross-Site "}}, false},
		{"cross-site of an own origin", "", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"http://127.0.0.1:8500"}}, false},
		{"same-origin", "", http.Header{"Sec-Fetch-Site": {"same-origin"}}, true},
		{"typed by a person", "", http.Header{"Sec-Fetch-Site": {"none"}}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, method := range []string{"PUT", "POST", "DELETE", "PATCH", "GET", "HEAD", "OPTIONS"} {
				r := httptest.NewRequest(method, "/v1/kv/x", nil)
				r.Host = "127.0.0.1:8500"
				if tt.host != "" {
					r.Host = tt.host
				}
				for k, v := range tt.header {
					r.Header[k] = v
				}
				r.Header.Set("Content-Type", "text/plain") // it is not looked at
				reads := method == "GET" || method == "HEAD" || method == "OPTIONS"
				err := names().Admit(r)
				if (err == nil) != (tt.want || reads) {
					t.Errorf("%s: %v", method, err)
				}
				if err != nil && edge.StatusOf(err) != http.StatusForbidden {
					t.Errorf("%s: status %d", method, edge.StatusOf(err))
				}
			}
		})
	}
}
