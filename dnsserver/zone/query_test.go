package zone_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"consul.internal/catalog"
	"consul.internal/dnsserver/zone"
	"consul.internal/internal/fault"
	"consul.internal/view"
)

func TestParseQuery(t *testing.T) {
	z := zone.New(options(), nil, nil)
	for _, tt := range []struct {
		name, label, datacenter string
		kind                    zone.Kind
	}{
		{"Web.query.consul.", "web", "", zone.Query},
		{"web.query.DC2.consul.", "web", "dc2", zone.Query},
		{"web.query.alt.example.", "web", "", zone.Query},
		{"a.dotted.name.query.consul.", "a.dotted.name", "", zone.Query},
		{"_web._tcp.query.consul.", "web", "", zone.Query},
		{"_web._udp.query.dc2.consul.", "web", "dc2", zone.Query},
		{"_dot.ted._tcp.query.consul.", "dot.ted", "", zone.Query},
		{"_web.query.consul.", "_web", "", zone.Query},
		{"web._tcp.query.consul.", "web._tcp", "", zone.Query},
		{"_._tcp.query.consul.", "", "", zone.Nothing},
		{"web.query.dc2.dc.consul.", "", "dc2", zone.Nothing},
		{"web.query.a.b.c.consul.", "", "", zone.Nothing},
		{"query.consul.", "", "", zone.Empty},
		{"query.dc2.consul.", "", "dc2", zone.Empty},
		{"web.service.query.consul.", "web.service", "", zone.Query},
	} {
		n := z.Parse(tt.name)
		if n.Kind != tt.kind || n.Label != tt.label || n.Datacenter != tt.datacenter {
			t.Errorf("%s: kind %d label %q datacenter %q", tt.name, n.Kind, n.Label, n.Datacenter)
		}
	}
}

func TestQueryAnswer(t *testing.T) {
	opt := options()
	opt.OnlyPassing, opt.TranslateWANs = true, true
	opt.ServiceTTL = map[string]time.Duration{"web": 6 * time.Second}
	web := inst("n1", "10.0.1.1", "web", "", 80, catalog.Warning)
	two := inst("n2", "10.0.1.2", "web", "192.0.2.2", 81)
	far := with(inst("far", "10.2.0.1", "web", "", 82), func(i *catalog.Instance) {
		i.Node.TaggedAddresses = map[string]string{catalog.TaggedWAN: "198.51.100.2"}
		i.Node.Meta = map[string]string{"rack": "r9"}
	})
	results := map[string]zone.Result{
		"web":   {Service: "Web", Datacenter: "DC1", Instances: []*catalog.Instance{two, web}},
		"ttl":   {Service: "web", Datacenter: "dc1", Instances: []*catalog.Instance{web}, TTL: 90 * time.Second, HasTTL: true},
		"zero":  {Service: "web", Datacenter: "dc1", Instances: []*catalog.Instance{web}, HasTTL: true},
		"far":   {Service: "web", Datacenter: "dc2", Instances: []*catalog.Instance{far}},
		"none":  {Service: "web", Datacenter: "dc1"},
		"stale": {Service: "web", Datacenter: "dc2", Instances: []*catalog.Instance{two}, Stale: true},
		"alias": {Service: "web", Datacenter: "dc1", Instances: []*catalog.Instance{inst("h", "10.0.0.9", "web", "www.example.com", 1)}},
	}
	var asked zone.Ask
	opt.Execute = func(_ context.Context, ask zone.Ask) (zone.Result, error) {
		asked = ask
		switch ask.Name {
		case "down":
			return zone.Result{}, fault.Newf(fault.Unavailable, "down")
		case "secret":
			return zone.Result{}, fault.Newf(fault.Denied, "no")
		}
		r, ok := results[ask.Name]
		if !ok {
			return r, fault.Newf(fault.NotFound, "Query not found")
		}
		return r, nil
	}
	z := newZone(opt, inst("x", "10.9.9.9", "x", "", 1))
	for _, tt := range []struct{ question, want string }{
		// Its order stays, and dns_config.only_passing does not reach into it.
		{"Web.query.consul. A", "NOERROR\nWeb.query.consul. 6 IN A 192.0.2.2\nWeb.query.consul. 6 IN A 10.0.1.1"},
		{"web.query.consul. AAAA", "NOERROR\n" + soa},
		{"web.query.consul. MX", "NOERROR\n" + soa},
		{"web.query.consul. SOA", "NOERROR\n" + soa},
		{"_web._tcp.query.consul. SRV", "NOERROR\n_web._tcp.query.consul. 6 IN SRV 1 7 81 c0000202.addr.dc1.consul.\n" +
			"_web._tcp.query.consul. 6 IN SRV 1 3 80 n1.node.dc1.consul.\n+ c0000202.addr.dc1.consul. 6 IN A 192.0.2.2\n+ n1.node.dc1.consul. 6 IN A 10.0.1.1"},
		{"ttl.query.consul. A", "NOERROR\nttl.query.consul. 90 IN A 10.0.1.1"},
		{"zero.query.consul. A", "NOERROR\nzero.query.consul. 0 IN A 10.0.1.1"},
		{"far.query.consul. A", "NOERROR\nfar.query.consul. 6 IN A 198.51.100.2"},
		{"far.query.consul. SRV", "NOERROR\nfar.query.consul. 6 IN SRV 1 7 82 c6336402.addr.dc2.consul.\n" +
			"+ c6336402.addr.dc2.consul. 6 IN A 198.51.100.2\n+ far.node.dc2.consul. 6 IN TXT \"rack=r9\""},
		{"alias.query.consul. A", "NOERROR\nalias.query.consul. 6 IN CNAME www.example.com."},
		{"none.query.consul. A", "NXDOMAIN\n" + soa},
		{"nope.query.consul. SRV", "NXDOMAIN\n" + soa},
		{"secret.query.consul. A", "NXDOMAIN\n" + soa},
		{"down.query.consul. A", "SERVFAIL"},
		{"service.node.query.consul. A", "NOERROR\n" + soa},
		{"query.consul. A", "NOERROR\n" + soa},
	} {
		name, qtype, _ := cutQuestion(tt.question)
		r := z.Answer(t.Context(), z.Parse(name), qtype)
		if got := lines(r); got != tt.want {
			t.Errorf("%s:\n%s\nwant\n%s", tt.question, got, tt.want)
		}
		if r.Scoped != (z.Parse(name).Kind == zone.Query) || r.Stale {
			t.Errorf("%s: scoped %v stale %v", tt.question, r.Scoped, r.Stale)
		}
	}
	client := netip.MustParseAddr("198.51.100.7")
	r := z.AnswerTo(t.Context(), z.Parse("Stale.query.DC2.consul."), dns.TypeA, client)
	if !r.Stale || asked != (zone.Ask{Datacenter: "dc2", Name: "stale", Client: client}) {
		t.Errorf("stale %v, asked %+v", r.Stale, asked)
	}
	if r := z.Answer(t.Context(), z.Parse("web.service.consul."), dns.TypeA); r.Scoped {
		t.Error("a service's answer is scoped")
	}
}

func cutQuestion(q string) (name string, qtype uint16, ok bool) {
	for i := range q {
		if q[i] == ' ' {
			qtype, ok = dns.StringToType[q[i+1:]]
			return q[:i], qtype, ok
		}
	}
	return q, 0, false
}

// TestQueryStaleView: a result is no fresher than what the agent hears of its own
// datacenter.
func TestQueryStaleView(t *testing.T) {
	opt := options()
	opt.Execute = func(context.Context, zone.Ask) (zone.Result, error) {
		return zone.Result{Service: "web", Datacenter: "dc1", Instances: []*catalog.Instance{inst("n1", "10.0.1.1", "web", "", 80)}}, nil
	}
	z := zone.New(opt, &source{state: view.State{Index: 42, Stale: true}}, keepOrder)
	if r := z.Answer(t.Context(), z.Parse("web.query.consul."), dns.TypeA); !r.Stale || len(r.Answer) != 1 {
		t.Errorf("stale %v: %s", r.Stale, lines(r))
	}
}

// TestNoQueries: without anybody to execute them there are none.
func TestNoQueries(t *testing.T) {
	z := newZone(options(), inst("n1", "10.0.1.1", "web", "", 80))
	if r := z.Answer(t.Context(), z.Parse("web.query.consul."), dns.TypeA); r.Rcode != dns.RcodeNameError {
		t.Error(lines(r))
	}
}
