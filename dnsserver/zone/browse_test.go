package zone_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"consul.internal/catalog"
	"consul.internal/dnsserver/zone"
	"consul.internal/internal/fault"
)

// checkAnswers asks questions, "name type", and holds the replies against a table.
func checkAnswers(t *testing.T, z *zone.Zone, table []struct{ question, want string }) {
	t.Helper()
	for _, tt := range table {
		name, qtype, _ := strings.Cut(tt.question, " ")
		if got := lines(z.Answer(t.Context(), z.Parse(name), dns.StringToType[qtype])); strings.ReplaceAll(got, `\ `, `\032`) != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.question, strings.ReplaceAll(got, "\n", "\n     "), strings.ReplaceAll(tt.want, "\n", "\n     "))
		}
	}
}

func withMeta(pairs ...string) func(*catalog.Instance) {
	return func(i *catalog.Instance) {
		i.Service.Meta = map[string]string{}
		for k := 0; k < len(pairs); k += 2 {
			i.Service.Meta[pairs[k]] = pairs[k+1]
		}
	}
}

func TestBrowse(t *testing.T) {
	opt := options()
	opt.Services = func(context.Context) ([]string, bool, error) { return []string{"db", "no name", "web"}, false, nil }
	long := strings.Repeat("x", 60)
	z := newZone(opt,
		with(inst("n1", "10.0.1.1", "web", "", 80), withMeta("path", "/", "=", "no key", "q", `a\b`)),
		inst("n2.rack", "10.0.1.2", "web", "192.0.2.2", 81),
		inst("n3", "10.0.1.3", "web", "", 82, catalog.Critical),
		inst(long, "10.0.1.4", "far", "", 82),
	)
	first := `web\032on\032n1._web._tcp.consul.`
	second := `web\032on\032n2\.rack._web._tcp.consul.`
	checkAnswers(t, z, []struct{ question, want string }{
		{"_services._dns-sd._udp.consul. PTR", "NOERROR\n_services._dns-sd._udp.consul. 5 IN PTR _db._tcp.consul.\n_services._dns-sd._udp.consul. 5 IN PTR _web._tcp.consul."},
		{"_services._dns-sd._udp.consul. A", "NOERROR\n" + soa},
		{"b._dns-sd._udp.Consul. PTR", "NOERROR\nb._dns-sd._udp.Consul. 9 IN PTR Consul."},
		{"x._dns-sd._udp.consul. PTR", "NXDOMAIN\n" + soa},
		{"_dns-sd._udp.consul. PTR", "NOERROR\n" + soa},
		{"_udp.consul. SRV", "NOERROR\n" + soa},
		{"_web._tcp.consul. PTR", "NOERROR\n_web._tcp.consul. 5 IN PTR " + first + "\n_web._tcp.consul. 5 IN PTR " + second +
			"\n+ " + first + " 5 IN SRV 1 7 80 n1.node.dc1.consul.\n+ n1.node.dc1.consul. 5 IN A 10.0.1.1\n+ " + first + ` 5 IN TXT "path=/" "q=a\\b"` +
			"\n+ " + second + " 5 IN SRV 1 7 81 c0000202.addr.dc1.consul.\n+ c0000202.addr.dc1.consul. 5 IN A 192.0.2.2\n+ " + second + ` 5 IN TXT ""`},
		{"_WEB._tcp.dc1.consul. A", "NXDOMAIN\n" + soa},
		{"_none._tcp.consul. PTR", "NXDOMAIN\n" + soa},
		{"_web._blue.consul. PTR", "NXDOMAIN\n" + soa},
		{first + " SRV", "NOERROR\n" + first + " 5 IN SRV 1 7 80 n1.node.dc1.consul.\n+ n1.node.dc1.consul. 5 IN A 10.0.1.1"},
		{first + " TXT", "NOERROR\n" + first + ` 5 IN TXT "path=/" "q=a\\b"`},
		{first + " A", "NOERROR\n" + soa},
		{strings.ToUpper(first) + " TXT", "NOERROR\n" + strings.ToUpper(first) + ` 5 IN TXT "path=/" "q=a\\b"`},
		{second + " TXT", "NOERROR\n" + second + ` 5 IN TXT ""`},
		{second + " ANY", "NOERROR\n" + second + " 5 IN SRV 1 7 81 c0000202.addr.dc1.consul.\n" + second + " 5 IN TXT \"\"\n+ c0000202.addr.dc1.consul. 5 IN A 192.0.2.2"},
		{`web\032on\032n3._web._tcp.consul. SRV`, "NXDOMAIN\n" + soa},
		{`web\032on\032n1._web._tcp.dc9.consul. SRV`, "NXDOMAIN\n" + soa},
	})
	// What does not fit a label is found all the same.
	r := z.Answer(t.Context(), z.Parse("_far._tcp.consul."), dns.TypePTR)
	if len(r.Answer) != 1 {
		t.Fatal(lines(r))
	}
	name := r.Answer[0].(*dns.PTR).Ptr
	if r := z.Answer(t.Context(), z.Parse(name), dns.TypeSRV); len(r.Answer) != 1 {
		t.Error(name, lines(r))
	}
}

func TestBrowseWithoutServers(t *testing.T) {
	opt := options()
	z := newZone(opt)
	checkAnswers(t, z, []struct{ question, want string }{{"_services._dns-sd._udp.consul. PTR", "NOERROR\n" + soa}})
	opt.Services = func(context.Context) ([]string, bool, error) {
		return nil, false, fault.Newf(fault.Unavailable, "nobody there")
	}
	if r := newZone(opt).Answer(t.Context(), z.Parse("_services._dns-sd._udp.consul."), dns.TypePTR); r.Rcode != dns.RcodeServerFailure || r.Err == nil {
		t.Error(lines(r))
	}
	opt.Services = func(context.Context) ([]string, bool, error) { return []string{"web"}, true, nil }
	if r := newZone(opt).Answer(t.Context(), z.Parse("_services._dns-sd._udp.consul."), dns.TypePTR); !r.Stale || len(r.Answer) != 1 {
		t.Error(lines(r))
	}
}

func TestBindings(t *testing.T) {
	z := newZone(options(),
		with(inst("n1", "10.0.1.1", "web", "", 443), withMeta("svcb-alpn", "h2, h3", "svcb-ech", "AAE=")),
		with(inst("n2", "10.0.1.2", "web", "2001:db8::2", 8443), withMeta("svcb-priority", "2")),
		inst("n3", "10.0.1.3", "web", "", 8443),
		inst("n4", "10.0.1.4", "plain", "", 80),
		with(inst("n5", "10.0.1.5", "ext", "www.example.com", 80), withMeta("svcb-alpn", "h2")),
	)
	one := ` HTTPS 1 n1.node.dc1.consul. alpn="h2,h3" port="443" ipv4hint="10.0.1.1" ech="AAE="`
	two := ` 2 20010db8000000000000000000000002.addr.dc1.consul. port="8443" ipv6hint="2001:db8::2"`
	addrs := "\n+ n1.node.dc1.consul. 5 IN A 10.0.1.1\n+ 20010db8000000000000000000000002.addr.dc1.consul. 5 IN AAAA 2001:db8::2"
	checkAnswers(t, z, []struct{ question, want string }{
		{"web.service.consul. HTTPS", "NOERROR\nweb.service.consul. 5 IN" + one + "\nweb.service.consul. 5 IN HTTPS" + two + addrs},
		{"_443._https.web.service.consul. HTTPS", "NOERROR\n_443._https.web.service.consul. 5 IN" + one + "\n+ n1.node.dc1.consul. 5 IN A 10.0.1.1"},
		{"_8443._foo.web.service.consul. SVCB", "NOERROR\n_8443._foo.web.service.consul. 5 IN SVCB" + two + "\n+ 20010db8000000000000000000000002.addr.dc1.consul. 5 IN AAAA 2001:db8::2"},
		{"_8443._foo.web.service.consul. HTTPS", "NOERROR\n" + soa},
		{"_443._https.web.service.consul. A", "NOERROR\n" + soa},
		{"_81._https.web.service.consul. HTTPS", "NXDOMAIN\n" + soa},
		{"_0._https.web.service.consul. HTTPS", "NXDOMAIN\n" + soa},
		{"plain.service.consul. HTTPS", "NOERROR\n" + soa},
		{"ext.service.consul. HTTPS", "NOERROR\next.service.consul. 5 IN CNAME www.example.com."},
	})
}

func TestWishes(t *testing.T) {
	z := newZone(options(),
		with(inst("n1", "10.0.1.1", "web", "", 1), withMeta("dns-ttl", "90s", "dns-answer-limit", "2")),
		with(inst("n2", "10.0.1.2", "web", "", 2), withMeta("dns-ttl", "1m", "dns-answer-limit", "x")),
		with(inst("n3", "10.0.1.3", "web", "", 3), withMeta("dns-ttl", "-1s", "dns-answer-limit", "0")),
		with(inst("n4", "10.0.1.4", "bad", "", 3), withMeta("dns-ttl", "soon")),
	)
	for _, tt := range []struct {
		name    string
		qtype   uint16
		answers int
		ttl     uint32
	}{
		{"web", dns.TypeA, 2, 60}, {"web", dns.TypeANY, 2, 60}, {"web", dns.TypeSRV, 2, 60}, {"bad", dns.TypeA, 1, 5},
	} {
		r := z.Answer(t.Context(), z.Parse(tt.name+".service.consul."), tt.qtype)
		if len(r.Answer) != tt.answers || r.Answer[0].Header().Ttl != tt.ttl || r.Limited != (tt.answers == 2) {
			t.Errorf("%v: limited %v\n%s", tt, r.Limited, lines(r))
		}
	}
}

func TestPTRTTL(t *testing.T) {
	opt := options()
	opt.PTRTTL = 11 * time.Second
	checkAnswers(t, newZone(opt, inst("n1", "10.0.1.1", "web", "", 1)), []struct{ question, want string }{
		{"1.1.0.10.in-addr.arpa. PTR", "NOERROR\n1.1.0.10.in-addr.arpa. 11 IN PTR n1.node.dc1.consul."},
	})
}
