package names

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"consul.internal/catalog"
	"consul.internal/dnsserver"
	"consul.internal/dnsserver/observe"
	"consul.internal/httpapi/edge"
	"consul.internal/rpc"
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
		v, err := handlers{echo{}}.explain(&edge.Base{Settings: func() edge.Settings { return edge.Settings{} }}, r)
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
	for _, h := range []edge.Handler{(handlers{}).query, Explain(nil, nil), Top(nil)} {
		if _, err := h(nil, r); edge.StatusOf(err) != http.StatusNotFound {
			t.Error(err)
		}
	}
}

// instances is a Caller that knows some.
type instances func(in *rpc.ServiceRequest) ([]*catalog.Instance, error)

func (f instances) Call(_ context.Context, _ string, in, out any) (err error) {
	out.(*rpc.InstancesReply).Instances, err = f(in.(*rpc.ServiceRequest))
	return err
}

// service is an Explainer that has seen one instance of web.
type service struct{ kind, by, dc string }

func (s service) Explain(context.Context, string, string, netip.Addr) (*dnsserver.Explanation, error) {
	return &dnsserver.Explanation{Kind: s.kind, By: s.by, Label: "web", Datacenter: s.dc, Instances: []dnsserver.ExplainedInstance{{Node: "N1", ID: "web", Given: true}}}, nil
}

func TestHidden(t *testing.T) {
	both := instances(func(in *rpc.ServiceRequest) ([]*catalog.Instance, error) {
		if in.Service != "web" || in.Datacenter != "dc2" || in.Token != "secret" {
			return nil, fmt.Errorf("asked for %+v", in)
		}
		var list []*catalog.Instance
		for _, n := range []string{"n1", "n2"} {
			list = append(list, &catalog.Instance{Node: &catalog.Node{Name: n, Address: "10.0.0.1"}, Service: &catalog.Service{ID: "web", Name: "web", Port: 80}})
		}
		return list, nil
	})
	broken := instances(func(*rpc.ServiceRequest) ([]*catalog.Instance, error) { return nil, errors.New("no server") })
	for _, tt := range []struct {
		name   string
		acls   bool
		caller rpc.Caller
		dns    service
		hidden int
		note   bool
	}{
		{"hidden", true, both, service{"service", "zone", "dc2"}, 1, false},
		{"no ACLs", false, both, service{"service", "zone", "dc2"}, 0, false},
		{"a node's name", true, both, service{"node", "zone", "dc2"}, 0, false},
		{"recursors", true, both, service{"service", "recursors", "dc2"}, 0, false},
		{"not to be found out", true, broken, service{"service", "zone", "dc2"}, 0, true},
		{"any datacenter", true, broken, service{"service", "zone", "any"}, 0, false},
		{"all datacenters", true, broken, service{"service", "zone", "all"}, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set("X-Consul-Token", "secret")
			b := &edge.Base{Caller: tt.caller, Settings: func() edge.Settings { return edge.Settings{ACLs: tt.acls} }}
			e, err := Explained(r, b, tt.dns, "web.service.dc2.consul", "A")
			if err != nil {
				t.Fatal(err)
			}
			hidden := e.Instances[1:]
			if len(hidden) != tt.hidden || (e.Note != "") != tt.note {
				t.Fatalf("%+v", e)
			}
			if len(hidden) == 1 && (hidden[0].Node != "n2" || hidden[0].Given || hidden[0].Reason != hiddenReason || hidden[0].Address != "10.0.0.1") {
				t.Errorf("%+v", hidden[0])
			}
		})
	}
}
