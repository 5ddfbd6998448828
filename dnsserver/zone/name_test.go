package zone_test

import (
	"net/netip"
	"testing"

	"consul.internal/dnsserver/zone"
)

func TestParse(t *testing.T) {
	z := zone.New(zone.Options{Domain: "Consul", AltDomain: "alt.example.", Datacenter: "DC1"}, nil, nil)
	addr := netip.MustParseAddr
	for _, tt := range []struct {
		name string
		want zone.Name
	}{
		{"consul.", zone.Name{Kind: zone.Apex, Keywords: false}},
		{"alt.example.", zone.Name{Kind: zone.Apex, Domain: "alt.example.", Zone: "alt.example."}},
		{"NS.Consul.", zone.Name{Kind: zone.Nameserv, Domain: "Consul."}},
		{"web.service.consul.", zone.Name{Kind: zone.Service, Label: "web"}},
		{"WEB.Service.CONSUL.", zone.Name{Kind: zone.Service, Label: "web", Domain: "CONSUL."}},
		{"web.service.dc2.consul.", zone.Name{Kind: zone.Service, Label: "web", Datacenter: "dc2"}},
		{"web.service.DC2.dc.consul.", zone.Name{Kind: zone.Service, Label: "web", Datacenter: "dc2"}},
		{"web.service.dc1.dcx.consul.", zone.Name{Kind: zone.Nothing}},
		{"web.service.p.peer.consul.", zone.Name{Kind: zone.Nothing}},
		{"web.service.a.b.c.consul.", zone.Name{Kind: zone.Nothing}},
		{"V1.2.web.service.consul.", zone.Name{Kind: zone.Service, Label: "web", Tag: "v1.2"}},
		{"service.db.service.consul.", zone.Name{Kind: zone.Service, Label: "db", Tag: "service"}},
		{"web.service.service.consul.", zone.Name{Kind: zone.Service, Label: "service", Tag: "web"}},
		{"_web._tcp.service.consul.", zone.Name{Kind: zone.Service, Label: "web"}},
		{"_web._TCP.service.consul.", zone.Name{Kind: zone.Service, Label: "web"}},
		{"_web._udp.service.consul.", zone.Name{Kind: zone.Service, Label: "web", Tag: "udp"}},
		{"_web._.service.consul.", zone.Name{Kind: zone.Service, Label: "web"}},
		{"_._tcp.service.consul.", zone.Name{Kind: zone.Nothing}},
		{"__web.__tcp.service.consul.", zone.Name{Kind: zone.Service, Label: "_web", Tag: "_tcp"}},
		{"web._tcp.service.consul.", zone.Name{Kind: zone.Service, Label: "_tcp", Tag: "web"}},
		{"_web.service.consul.", zone.Name{Kind: zone.Service, Label: "_web"}},
		{"_db._v1.02.service.consul.", zone.Name{Kind: zone.Service, Label: "02", Tag: "_db._v1"}},
		{"_web._v1.consul.", zone.Name{Kind: zone.Service, Label: "web", Tag: "v1", SRVOnly: true}},
		{"_web._v1.dc1.consul.", zone.Name{Kind: zone.Service, Label: "web", Tag: "v1", SRVOnly: true, Datacenter: "dc1"}},
		{"_web._v1.dc1.dc.consul.", zone.Name{Kind: zone.Service, Label: "web", Tag: "v1", SRVOnly: true, Datacenter: "dc1"}},
		{"a._web._tcp.consul.", zone.Name{Kind: zone.Service, Label: "web", SRVOnly: true, Instance: "a"}},
		{"_a.b.consul.", zone.Name{Kind: zone.Nothing}},
		{"_tcp.service.consul.", zone.Name{Kind: zone.Empty}},
		{"_tcp.consul.", zone.Name{Kind: zone.Empty}},
		{"a.b.node.consul.", zone.Name{Kind: zone.Node, Label: "a.b"}},
		{"node.node.consul.", zone.Name{Kind: zone.Node, Label: "node", Keywords: true}},
		{`spa\032ce.node.consul.`, zone.Name{Kind: zone.Node, Label: "spa ce"}},
		{`a\.b.node.consul.`, zone.Name{Kind: zone.Node, Label: "a.b"}},
		{"service.consul.", zone.Name{Kind: zone.Empty, Keywords: true}},
		{"service.dc2.consul.", zone.Name{Kind: zone.Empty, Datacenter: "dc2", Keywords: true}},
		{"addr.consul.", zone.Name{Kind: zone.Empty, Keywords: true}},
		{"dc.consul.", zone.Name{Kind: zone.Empty}},
		{"dc1.consul.", zone.Name{Kind: zone.Empty, Datacenter: "dc1"}},
		{"dc1.dc.consul.", zone.Name{Kind: zone.Empty, Datacenter: "dc1"}},
		{"service.node.query.consul.", zone.Name{Kind: zone.Query, Label: "service.node", Keywords: true}},
		{"a.b.query.consul.", zone.Name{Kind: zone.Query, Label: "a.b"}},
		{"web.virtual.consul.", zone.Name{Kind: zone.Mesh, Label: "web"}},
		{"0A170001.ADDR.Consul.", zone.Name{Kind: zone.Addr, Addr: addr("10.23.0.1"), Domain: "Consul.", Owner: "0a170001.addr.Consul."}},
		{"0a170001.addr.any.thing.consul.", zone.Name{Kind: zone.Addr, Addr: addr("10.23.0.1")}},
		{"20010db8000000000000000000000001.addr.consul.", zone.Name{Kind: zone.Addr, Addr: addr("2001:db8::1")}},
		{"00000000000000000000ffff0a170001.addr.consul.", zone.Name{Kind: zone.Addr, Addr: addr("::ffff:10.23.0.1")}},
		{"0a1700.addr.consul.", zone.Name{Kind: zone.Nothing}},
		{"x.0a170001.addr.consul.", zone.Name{Kind: zone.Nothing}},
		{"zzzzzzzz.addr.consul.", zone.Name{Kind: zone.Nothing}},
		{"1.0.22.10.in-addr.arpa.", zone.Name{Kind: zone.Reverse, Addr: addr("10.22.0.1")}},
		{"01.0.22.10.in-addr.arpa.", zone.Name{Kind: zone.Nothing}},
		{"300.0.22.10.in-addr.arpa.", zone.Name{Kind: zone.Nothing}},
		{"0.22.10.in-addr.arpa.", zone.Name{Kind: zone.Nothing}},
		{"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.B.D.0.1.0.0.2.IP6.ARPA.", zone.Name{Kind: zone.Reverse, Addr: addr("2001:db8::1")}},
		{"10.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.", zone.Name{Kind: zone.Nothing}},
		{"arpa.", zone.Name{Kind: zone.Nothing}},
		{".", zone.Name{Kind: zone.Outside}},
		{"example.com.", zone.Name{Kind: zone.Outside}},
		{"consulx.", zone.Name{Kind: zone.Outside}},
		{`web.service\.consul.`, zone.Name{Kind: zone.Outside}},
	} {
		want := tt.want
		if want.Kind != zone.Outside && want.Zone == "" {
			want.Zone = "consul."
		}
		if want.Kind != zone.Outside && want.Domain == "" {
			want.Domain = "consul."
		}
		if want.Owner == "" {
			want.Owner = tt.name
		}
		got := z.Parse(tt.name)
		if got.Kind == zone.Nothing {
			got.Keywords = false // says nothing of such names
		}
		if got != want {
			t.Errorf("%s:\n got %+v\nwant %+v", tt.name, got, want)
		}
	}
}

// A domain below the other one wins for the names below it.
func TestParseNestedDomains(t *testing.T) {
	z := zone.New(zone.Options{Domain: "corp.", AltDomain: "sd.corp.", Datacenter: "dc1"}, nil, nil)
	for name, want := range map[string]string{"web.service.sd.corp.": "sd.corp.", "web.service.corp.": "corp."} {
		if got := z.Parse(name); got.Zone != want || got.Label != "web" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
