package names

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"consul.internal/dnsserver"
	"consul.internal/dnsserver/observe"
	"consul.internal/httpapi/edge"
)

// echo answers with the question.
type echo struct{}

func (echo) Message(q []byte, from netip.Addr) ([]byte, uint32) {
	if len(q) < 12 {
		return nil, 0
	}
	return q, 7
}

func (echo) Top(n int) observe.Summary {
	return observe.Summary{Questions: uint64(n), Names: []observe.Count{}}
}

func (echo) Explain(_ context.Context, name, qtype string, _ netip.Addr) (*dnsserver.Explanation, error) {
	return &dnsserver.Explanation{Name: name, Type: qtype}, nil
}

func TestQuery(t *testing.T) {
	msg := []byte("a message of more than twelve bytes")
	get := "/dns-query?dns=" + base64.RawURLEncoding.EncodeToString(msg)
	for _, tt := range []struct {
		method, path, kind, body string
		plain                    bool
		status                   int
	}{
		{"GET", get, "", "", false, 200},
		{"GET", get, "", "", true, 403},
		{"GET", "/dns-query", "", "", false, 400},
		{"GET", "/dns-query?dns=!!", "", "", false, 400},
		{"GET", "/dns-query?dns=AAAA", "", "", false, 400},
		{"POST", "/dns-query", media, string(msg), false, 200},
		{"POST", "/dns-query", "text/plain", string(msg), false, 415},
		{"POST", "/dns-query", media, strings.Repeat("x", maxQuery+1), false, 413},
		{"POST", "/dns-query", media, "", false, 400},
	} {
		r := httptest.NewRequest(tt.method, tt.path, strings.NewReader(tt.body))
		r.Header.Set("Content-Type", tt.kind)
		if !tt.plain {
			r.TLS = &tls.ConnectionState{}
		}
		w := httptest.NewRecorder()
		_, err := handlers{echo{}}.query(w, r)
		status := http.StatusOK
		if err != nil {
			status = edge.StatusOf(err)
		}
		if status != tt.status {
			t.Errorf("%s %.40s: %d, want %d (%v)", tt.method, tt.path, status, tt.status, err)
		}
		if status == http.StatusOK && (!bytes.Equal(w.Body.Bytes(), msg) || w.Header().Get("Content-Type") != media || w.Header().Get("Cache-Control") != "max-age=7") {
			t.Errorf("%s: %v %q", tt.method, w.Header(), w.Body)
		}
	}
}

func TestExplain(t *testing.T) {
	for _, tt := range []struct{ query, item, name, qtype string }{
		{"?name=web.service.consul&type=SRV", "", "web.service.consul", "SRV"},
		{"?name=web.service.consul", "", "web.service.consul", "A"},
		{"", "web.service.consul/TXT", "web.service.consul", "TXT"},
		{"", "web.service.consul", "web.service.consul", "A"},
		{"", "", "", ""},
	} {
		r := httptest.NewRequest("GET", "/v1/internal/dns/explain"+tt.query, nil)
		r.SetPathValue("item", tt.item)
		v, err := handlers{echo{}}.explain(nil, r)
		if tt.name == "" {
			if edge.StatusOf(err) != http.StatusBadRequest {
				t.Errorf("%+v: %v, %v", tt, v, err)
			}
			continue
		}
		if e, ok := v.(*dnsserver.Explanation); err != nil || !ok || e.Name != tt.name || e.Type != tt.qtype {
			t.Errorf("%+v: %+v, %v", tt, v, err)
		}
	}
}

func TestTop(t *testing.T) {
	for _, tt := range []struct {
		query, item string
		n           uint64
	}{
		{"", "", defaultTop}, {"?n=7", "", 7}, {"", "8", 8}, {"?n=0", "", 0}, {"?n=1001", "", 0}, {"", "x", 0},
	} {
		r := httptest.NewRequest("GET", "/v1/internal/dns/top"+tt.query, nil)
		r.SetPathValue("item", tt.item)
		v, err := Top(echo{})(nil, r)
		if tt.n == 0 {
			if edge.StatusOf(err) != http.StatusBadRequest {
				t.Errorf("%+v: %v, %v", tt, v, err)
			}
			continue
		}
		if s, ok := v.(observe.Summary); err != nil || !ok || s.Questions != tt.n {
			t.Errorf("%+v: %+v, %v", tt, v, err)
		}
	}
}

func TestOff(t *testing.T) {
	r := httptest.NewRequest("GET", "/v1/internal/dns/explain?name=a", nil)
	for _, h := range []edge.Handler{(handlers{}).query, (handlers{}).explain, Top(nil)} {
		if _, err := h(nil, r); edge.StatusOf(err) != http.StatusNotFound {
			t.Error(err)
		}
	}
}
