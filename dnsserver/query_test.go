package dnsserver

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/zap/zaptest"

	"consul.internal/catalog"
	"consul.internal/dnsserver/zone"
	"consul.internal/internal/fault"
)

// TestQuery: a prepared query's answer is made for the client that a resolver asks
// for, and may take as long as that of another datacenter.
func TestQuery(t *testing.T) {
	var asked zone.Ask
	var left time.Duration
	s, err := New(DefaultConfig(), Deps{Source: webSource(1), Logger: zaptest.NewLogger(t), Execute: func(ctx context.Context, a zone.Ask) (zone.Result, error) {
		asked = a
		deadline, _ := ctx.Deadline()
		left = time.Until(deadline)
		if a.Name != "web" {
			return zone.Result{}, fault.Newf(fault.NotFound, "Query not found")
		}
		return zone.Result{Service: "web", Datacenter: "dc1", Instances: []*catalog.Instance{
			{Node: &catalog.Node{Name: "n", Address: "10.1.2.3"}, Service: &catalog.Service{Name: "web"}}}}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	subnet := func(m *dns.Msg, family uint16, bits uint8, addr string) {
		m.SetEdns0(1232, false)
		m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: family, SourceNetmask: bits, Address: net.ParseIP(addr)})
	}
	for _, tt := range []struct {
		name   string
		family uint16
		bits   uint8
		addr   string
		client string
		scope  uint8
	}{
		{"web.query.consul.", 0, 0, "", "127.0.0.1", 0},
		{"web.query.consul.", 1, 24, "198.51.100.0", "198.51.100.0", 24},
		{"web.query.consul.", 2, 56, "2001:db8::", "2001:db8::", 56},
		{"nope.query.consul.", 1, 32, "198.51.100.7", "198.51.100.7", 32},
		{"web.service.consul.", 1, 24, "198.51.100.0", "", 0},
	} {
		asked = zone.Ask{}
		m := question(tt.name, dns.TypeA)
		if tt.bits != 0 {
			subnet(m, tt.family, tt.bits, tt.addr)
		}
		r := ask(t, s, m, false)
		if tt.client == "" {
			if asked.Name != "" {
				t.Errorf("%s executed %+v", tt.name, asked)
			}
		} else {
			if asked.Client != netip.MustParseAddr(tt.client) {
				t.Errorf("%s for %s: asked for %s", tt.name, tt.client, asked.Client)
			}
			if left <= DefaultConfig().Limits.QueryTimeout {
				t.Errorf("%s may take only %v", tt.name, left)
			}
		}
		if tt.bits == 0 {
			continue
		}
		if e := subnetOf(r.IsEdns0()); e == nil || e.SourceScope != tt.scope || e.SourceNetmask != tt.bits {
			t.Errorf("%s: subnet %v, want scope %d", tt.name, e, tt.scope)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
