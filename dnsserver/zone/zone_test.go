package zone_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"consul.internal/catalog"
	"consul.internal/dnsserver/zone"
	"consul.internal/internal/fault"
	"consul.internal/view"
)

func keepOrder(int, func(i, j int)) {}

func newZone(opt zone.Options, instances ...*catalog.Instance) *zone.Zone {
	d := view.NewDirectory()
	b := catalog.Batch{Index: 42, Reset: true}
	for _, i := range instances {
		b.Changes = append(b.Changes, catalog.Change{Op: catalog.NodeSet, Node: i.Node})
		if i.Service != nil {
			b.Changes = append(b.Changes, catalog.Change{Op: catalog.InstanceSet, Instance: i})
		}
	}
	d.Apply(b)
	d.SetReady()
	return zone.New(opt, view.NewLocal(opt.Datacenter, d), keepOrder)
}

func options() zone.Options {
	return zone.Options{
		Domain: "consul.", AltDomain: "alt.example.", Datacenter: "dc1", NodeMetaTXT: true,
		NodeTTL:    9 * time.Second,
		ServiceTTL: map[string]time.Duration{"*": 5 * time.Second},
		SOA:        zone.SOA{Refresh: 1, Retry: 2, Expire: 3, MinTTL: 4},
	}
}

// inst is an instance of a service on a node; the checks are its states.
func inst(node, addr, service, svcAddr string, port int, status ...catalog.Status) *catalog.Instance {
	i := &catalog.Instance{
		Node: &catalog.Node{Name: node, Address: addr},
		Service: &catalog.Service{ID: service, Name: service, Address: svcAddr, Port: port,
			Weights: catalog.Weights{Passing: 7, Warning: 3}},
	}
	for _, s := range status {
		i.Checks = append(i.Checks, &catalog.Check{Status: s})
	}
	return i
}

func with(i *catalog.Instance, change func(*catalog.Instance)) *catalog.Instance {
	change(i)
	return i
}

// lines writes a reply as the tables below have it.
func lines(r zone.Reply) string {
	out := []string{dns.RcodeToString[r.Rcode]}
	for _, s := range []struct {
		mark string
		rrs  []dns.RR
	}{{"", r.Answer}, {"ns ", r.Ns}, {"+ ", r.Extra}} {
		for _, rr := range s.rrs {
			out = append(out, s.mark+strings.ReplaceAll(rr.String(), "\t", " "))
		}
	}
	return strings.Join(out, "\n")
}

const soa = "ns consul. 4 IN SOA ns.consul. hostmaster.consul. 42 1 2 3 4"

func TestAnswer(t *testing.T) {
	tagged := func(i *catalog.Instance) { i.Service.Tags = []string{"Blue", "v1.2"} }
	meta := func(i *catalog.Instance) {
		i.Node.Meta = map[string]string{"rack": "r1"}
		i.Service.Meta = map[string]string{"path": "/", "rfc1035-x": "plain"}
	}
	z := newZone(options(),
		inst("alpha", "10.0.0.1", "consul", "", 8300),
		inst("bad_one", "10.0.0.2", "consul", "", 8300),
		inst("crit", "10.0.0.3", "consul", "", 8300, catalog.Critical),
		with(inst("n1", "10.0.1.1", "web", "", 80, catalog.Passing), tagged),
		with(inst("n2", "10.0.1.2", "web", "192.0.2.2", 81, catalog.Passing, catalog.Warning), meta),
		inst("n3", "10.0.1.3", "web", "", 82, catalog.Critical),
		inst("n4", "2001:db8::4", "six", "", 1),
		inst("h1", "10.0.2.1", "alias", "web.service.consul", 1),
		inst("h2", "10.0.2.2", "ext", "www.example.com", 2),
		inst("h3", "10.0.2.3", "half", "www.example.com", 2),
		inst("h4", "10.0.2.4", "half", "2001:db8::9", 3),
		inst("h5", "10.0.2.5", "nowhere", "a..b", 3),
		inst("h6", "10.0.2.6", "self", "self.service.consul.", 3),
		inst("loop", "loop.node.consul", "onloop", "", 3),
		inst(strings.Repeat("x", 64), "10.0.3.1", "long", "", 3),
		inst("p1", "10.0.4.1", "huge", "", 70000),
	)
	for _, tt := range []struct{ question, want string }{
		{"web.service.consul. A", "NOERROR\nweb.service.consul. 5 IN A 10.0.1.1\nweb.service.consul. 5 IN A 192.0.2.2"},
		{"bLuE.web.service.consul. A", "NOERROR\nbLuE.web.service.consul. 5 IN A 10.0.1.1"},
		{"v1.2.web.service.consul. A", "NOERROR\nv1.2.web.service.consul. 5 IN A 10.0.1.1"},
		{"red.web.service.consul. A", "NXDOMAIN\n" + soa},
		{"web.service.consul. AAAA", "NOERROR\n" + soa},
		{"web.service.consul. SOA", "NOERROR\n" + soa},
		{"nosuch.service.consul. NS", "NXDOMAIN\n" + soa},
		{"web.service.consul. TXT", "NOERROR\nweb.service.consul. 5 IN TXT \"path=/\"\nweb.service.consul. 5 IN TXT \"plain\""},
		{"web.service.Consul. SRV", "NOERROR\nweb.service.Consul. 5 IN SRV 1 7 80 n1.node.dc1.Consul.\n" +
			"web.service.Consul. 5 IN SRV 1 3 81 c0000202.addr.dc1.Consul.\n" +
			"+ n1.node.dc1.Consul. 5 IN A 10.0.1.1\n+ c0000202.addr.dc1.Consul. 5 IN A 192.0.2.2\n+ n2.node.dc1.Consul. 5 IN TXT \"rack=r1\""},
		{"_web._blue.alt.example. SRV", "NOERROR\n_web._blue.alt.example. 5 IN SRV 1 7 80 n1.node.dc1.alt.example.\n+ n1.node.dc1.alt.example. 5 IN A 10.0.1.1"},
		{"_web._blue.consul. A", "NXDOMAIN\n" + soa},
		{"six.service.consul. ANY", "NOERROR\nsix.service.consul. 5 IN AAAA 2001:db8::4"},
		{"web.service.dc9.consul. A", "NXDOMAIN\n" + soa},
		{"web.service.DC1.consul. AAAA", "NOERROR\n" + soa},
		{"alias.service.consul. A", "NOERROR\nalias.service.consul. 5 IN CNAME web.service.consul.\nweb.service.consul. 5 IN A 10.0.1.1\nweb.service.consul. 5 IN A 192.0.2.2"},
		{"alias.service.consul. AAAA", "NOERROR\nalias.service.consul. 5 IN CNAME web.service.consul.\n" + soa},
		{"alias.service.consul. CNAME", "NOERROR\nalias.service.consul. 5 IN CNAME web.service.consul."},
		{"alias.service.consul. TXT", "NOERROR\nalias.service.consul. 5 IN CNAME web.service.consul.\nweb.service.consul. 5 IN TXT \"path=/\"\nweb.service.consul. 5 IN TXT \"plain\""},
		{"ext.service.consul. MX", "NOERROR\next.service.consul. 5 IN CNAME www.example.com."},
		{"half.service.consul. A", "NOERROR\n" + soa},
		{"half.service.consul. AAAA", "NOERROR\nhalf.service.consul. 5 IN AAAA 2001:db8::9"},
		{"nowhere.service.consul. A", "NOERROR\n" + soa},
		{"nowhere.service.consul. SRV", "NOERROR\n" + soa},
		{"self.service.consul. A", "NOERROR\nself.service.consul. 5 IN A 10.0.2.6"},
		{"self.service.dc1.consul. A", "NOERROR\nself.service.dc1.consul. 5 IN CNAME self.service.consul.\nself.service.consul. 5 IN A 10.0.2.6"},
		{"loop.node.consul. A", "NOERROR\nloop.node.consul. 9 IN CNAME loop.node.consul."},
		{"long.service.consul. SRV", "NOERROR\nlong.service.consul. 5 IN SRV 1 7 3 0a000301.addr.dc1.consul.\n+ 0a000301.addr.dc1.consul. 5 IN A 10.0.3.1"},
		{"huge.service.consul. SRV", "NOERROR\nhuge.service.consul. 5 IN SRV 1 7 65535 p1.node.dc1.consul.\n+ p1.node.dc1.consul. 5 IN A 10.0.4.1"},
		{"n2.node.consul. A", "NOERROR\nn2.node.consul. 9 IN A 10.0.1.2\n+ n2.node.consul. 9 IN TXT \"rack=r1\""},
		{"n2.node.consul. AAAA", "NOERROR\n" + soa},
		{"n2.node.consul. ANY", "NOERROR\nn2.node.consul. 9 IN A 10.0.1.2\nn2.node.consul. 9 IN TXT \"rack=r1\""},
		{"consul. NS", "NOERROR\nconsul. 9 IN NS alpha.node.dc1.consul.\n+ alpha.node.dc1.consul. 9 IN A 10.0.0.1"},
		{"consul. MX", "NOERROR\n" + soa},
		{"ns.consul. A", "NOERROR\nns.consul. 9 IN A 10.0.0.1\nns.consul. 9 IN A 10.0.0.2"},
		{"ns.consul. AAAA", "NOERROR\n" + soa},
		{"service.consul. A", "NOERROR\n" + soa},
		{"service.dc9.consul. A", "NXDOMAIN\n" + soa},
		{"dc1.consul. A", "NOERROR\n" + soa},
		{"dc9.consul. A", "NXDOMAIN\n" + soa},
		{"node.service.consul. A", "NOERROR\n" + soa},
		{"q.query.consul. A", "NXDOMAIN\n" + soa},
		{"web.virtual.consul. A", "NXDOMAIN\n" + soa},
		{"alt.example. A", "NOERROR\nns alt.example. 4 IN SOA ns.alt.example. hostmaster.alt.example. 42 1 2 3 4"},
		{"0a000001.addr.consul. A", "NOERROR\n0a000001.addr.consul. 9 IN A 10.0.0.1"},
		{"0a000001.addr.consul. AAAA", "NOERROR\n" + soa},
		{"2.1.0.10.in-addr.arpa. PTR", "NOERROR\n2.1.0.10.in-addr.arpa. 0 IN PTR n2.node.dc1.consul."},
		{"2.2.0.192.in-addr.arpa. PTR", "NOERROR\n2.2.0.192.in-addr.arpa. 0 IN PTR web.service.dc1.consul."},
		{"2.2.0.192.in-addr.arpa. A", "NOERROR\n" + soa},
		{"9.9.9.9.in-addr.arpa. PTR", "NXDOMAIN\n" + soa},
		{"1.3.0.10.in-addr.arpa. PTR", "NXDOMAIN\n" + soa},
		{"web.service.consul. AXFR", "NOTIMP"},
		{"example.com. A", "REFUSED"},
	} {
		name, qtype, _ := strings.Cut(tt.question, " ")
		if got := lines(z.Answer(t.Context(), z.Parse(name), dns.StringToType[qtype])); got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.question, strings.ReplaceAll(got, "\n", "\n     "), strings.ReplaceAll(tt.want, "\n", "\n     "))
		}
	}
}

func TestTTL(t *testing.T) {
	opt := options()
	opt.ServiceTTL = map[string]time.Duration{"*": 5 * time.Second, "API": time.Hour, "db*": 10 * time.Second,
		"db-m*": 20 * time.Second, "frac": 1500 * time.Millisecond, "zero": 0, "ages": 1e6 * time.Hour}
	want := map[string]string{"api": "3600", "apix": "5", "db": "10", "dbx": "10", "db-main": "20", "frac": "1", "zero": "0", "ages": "2147483647", "x": "5"}
	for name, ttl := range want {
		z := newZone(opt, inst("n", "10.0.0.1", name, "", 1))
		owner := name + ".service.consul."
		if got := lines(z.Answer(t.Context(), z.Parse(owner), dns.TypeA)); got != "NOERROR\n"+owner+" "+ttl+" IN A 10.0.0.1" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestOnlyPassing(t *testing.T) {
	opt := options()
	opt.OnlyPassing = true
	z := newZone(opt, inst("n1", "10.0.0.1", "web", "", 1, catalog.Warning), inst("n2", "10.0.0.2", "web", "", 1))
	if got := lines(z.Answer(t.Context(), z.Parse("web.service.consul."), dns.TypeA)); got != "NOERROR\nweb.service.consul. 5 IN A 10.0.0.2" {
		t.Error(got)
	}
}

func TestARecordLimit(t *testing.T) {
	opt := options()
	opt.ARecordLimit = 2
	z := newZone(opt, inst("n1", "10.0.0.1", "web", "", 1), inst("n2", "10.0.0.2", "web", "", 1), inst("n3", "10.0.0.3", "web", "", 1))
	for qtype, want := range map[uint16]int{dns.TypeA: 2, dns.TypeANY: 2, dns.TypeSRV: 3} {
		if r := z.Answer(t.Context(), z.Parse("web.service.consul."), qtype); len(r.Answer) != want {
			t.Errorf("%s: %d answers, want %d", dns.Type(qtype), len(r.Answer), want)
		}
	}
}

// source answers every question with what it is given.
type source struct {
	view.Local
	service *view.Service
	state   view.State
	err     error
}

func (s *source) Service(context.Context, string, string) (*view.Service, view.State, error) {
	return s.service, s.state, s.err
}

func (s *source) Node(context.Context, string, string) (*view.Node, view.State, error) {
	return nil, s.state, s.err
}

func (s *source) Address(context.Context, string, netip.Addr) (*view.Address, view.State, error) {
	return nil, s.state, s.err
}

func (s *source) State(_ context.Context, dc string) (view.State, error) {
	if dc == "" {
		return s.state, nil
	}
	return s.state, s.err
}

func TestSourceErrors(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{
		{nil, dns.RcodeNameError},
		{fault.Newf(fault.NotFound, "no such datacenter"), dns.RcodeNameError},
		{fault.Newf(fault.Denied, "no"), dns.RcodeNameError},
		{fault.Newf(fault.Unavailable, "down"), dns.RcodeServerFailure},
		{fault.Newf(fault.NoRoute, "down"), dns.RcodeServerFailure},
		{context.DeadlineExceeded, dns.RcodeServerFailure},
	} {
		z := zone.New(options(), &source{err: tt.err, state: view.State{Index: 42}}, keepOrder)
		for _, q := range []string{"web.service.dc2.consul.", "n.node.dc2.consul.", "1.0.0.10.in-addr.arpa."} {
			r := z.Answer(t.Context(), z.Parse(q), dns.TypeA)
			if r.Rcode != tt.want || (r.Rcode == dns.RcodeServerFailure) != (r.Err != nil) || !r.Authoritative {
				t.Errorf("%s with %v: %s, err %v", q, tt.err, dns.RcodeToString[r.Rcode], r.Err)
			}
			if r.Err != nil && !errors.Is(r.Err, tt.err) {
				t.Errorf("%s: the cause is lost: %v", q, r.Err)
			}
		}
	}
}

func TestStale(t *testing.T) {
	s := &source{state: view.State{Stale: true}, service: &view.Service{Instances: []*catalog.Instance{inst("n", "10.0.0.1", "web", "", 1)}}}
	z := zone.New(options(), s, keepOrder)
	if r := z.Answer(t.Context(), z.Parse("web.service.consul."), dns.TypeA); !r.Stale || r.Rcode != dns.RcodeSuccess {
		t.Errorf("%+v", r)
	}
	if !zone.New(options(), s, keepOrder).Remote(z.Parse("web.service.dc2.consul.")) {
		t.Error("dc2 is not remote")
	}
}

// WAN addresses are for names of other datacenters, if that is wished.
func TestTranslateWAN(t *testing.T) {
	i := inst("n", "10.0.0.1", "web", "", 1)
	i.Node.TaggedAddresses = map[string]string{"lan_ipv4": "10.0.0.9", "wan": "198.51.100.1", "wan_ipv6": "2001:db8::1"}
	i.Node.Datacenter = "dc2"
	s := &source{service: &view.Service{Instances: []*catalog.Instance{i}}}
	for _, tt := range []struct {
		translate bool
		name      string
		qtype     uint16
		want      string
	}{
		{true, "web.service.dc2.consul.", dns.TypeA, "A 198.51.100.1"},
		{true, "web.service.dc2.consul.", dns.TypeANY, "AAAA 2001:db8::1"},
		{true, "web.service.consul.", dns.TypeA, "A 10.0.0.9"},
		{false, "web.service.dc2.consul.", dns.TypeA, "A 10.0.0.9"},
	} {
		opt := options()
		opt.TranslateWANs = tt.translate
		z := zone.New(opt, s, keepOrder)
		if got := lines(z.Answer(t.Context(), z.Parse(tt.name), tt.qtype)); !strings.HasSuffix(got, " "+tt.want) {
			t.Errorf("%s: %s", tt.name, got)
		}
	}
}

// Additional records that a registration blows up stay within bounds.
func TestBounds(t *testing.T) {
	var all []*catalog.Instance
	for n := range 2000 {
		i := inst(fmt.Sprintf("n%04d", n), fmt.Sprintf("10.1.%d.%d", n/250, n%250), "web", "", n+1)
		i.Node.Meta = map[string]string{"a": "1", "b": "2"}
		all = append(all, i)
	}
	z := newZone(options(), all...)
	r := z.Answer(t.Context(), z.Parse("web.service.consul."), dns.TypeSRV)
	if len(r.Answer) > 1100 || len(r.Extra) > 4096 {
		t.Errorf("%d answers, %d additional", len(r.Answer), len(r.Extra))
	}
	m := &dns.Msg{Question: []dns.Question{{Name: "web.service.consul.", Qtype: dns.TypeSRV, Qclass: dns.ClassINET}}, Answer: r.Answer, Extra: r.Extra}
	m.Compress = true
	if cut, empty := zone.Fit(m, zone.RoomTCP(dns.TypeSRV)); !cut || empty || len(m.Answer) < 500 {
		t.Errorf("cut %v, empty %v, %d answers", cut, empty, len(m.Answer))
	}
	if b, err := m.Pack(); err != nil || len(b) > 65535 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if !slices.ContainsFunc(m.Extra, func(rr dns.RR) bool { return rr.Header().Name == m.Answer[len(m.Answer)-1].(*dns.SRV).Target }) {
		t.Error("the last target has no address")
	}
}
