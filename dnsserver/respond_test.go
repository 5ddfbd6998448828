package dnsserver

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
	"go.uber.org/zap/zaptest/observer"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/view"
)

// testSource answers for one service, or as fails says.
type testSource struct {
	*view.Local
	fails func(ctx context.Context) (view.State, error)
}

func (s *testSource) Service(ctx context.Context, dc, name string) (*view.Service, view.State, error) {
	if s.fails != nil {
		st, err := s.fails(ctx)
		if err != nil {
			return nil, st, err
		}
		svc, _, err := s.Local.Service(ctx, dc, name)
		return svc, st, err
	}
	return s.Local.Service(ctx, dc, name)
}

// webSource knows web with n instances, of node and address each.
func webSource(n int) *testSource {
	d := view.NewDirectory()
	b := catalog.Batch{Index: 7, Reset: true}
	for i := range n {
		node := &catalog.Node{Name: "node-" + string(rune('a'+i%26)) + string(rune('a'+i/26)), Address: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String()}
		b.Changes = append(b.Changes, catalog.Change{Op: catalog.NodeSet, Node: node},
			catalog.Change{Op: catalog.InstanceSet, Instance: &catalog.Instance{Node: node,
				Service: &catalog.Service{ID: "web", Name: "web", Port: 8000 + i, Weights: catalog.DefaultWeights}}})
	}
	d.Apply(b)
	d.SetReady()
	return &testSource{Local: view.NewLocal("dc1", d)}
}

func newServer(t testing.TB, src *testSource, change func(*Config)) *Server {
	cfg := DefaultConfig()
	cfg.Addrs = []string{"127.0.0.1:0"}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg, Deps{Source: src, Logger: zaptest.NewLogger(t)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var local = netip.MustParseAddr("127.0.0.1")

func question(name string, qtype uint16) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	return m
}

// ask packs a question, has it answered and unpacks the reply.
func ask(t testing.TB, s *Server, m *dns.Msg, tcp bool) *dns.Msg {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	resp := s.respond(b, make([]byte, udpBuffer), asker{addr: local, tcp: tcp})
	if resp == nil {
		t.Fatal("no reply")
	}
	r := new(dns.Msg)
	if err := r.Unpack(resp); err != nil {
		t.Fatal(err)
	}
	if r.Id != m.Id || !r.Response {
		t.Errorf("reply header %+v", r.MsgHdr)
	}
	return r
}

// extended returns the reply's Extended DNS Error, or 0.
func extended(m *dns.Msg) uint16 {
	if o := m.IsEdns0(); o != nil {
		for _, e := range o.Option {
			if e, ok := e.(*dns.EDNS0_EDE); ok {
				return e.InfoCode
			}
		}
	}
	return 0
}

func TestNotReady(t *testing.T) {
	src := &testSource{Local: view.NewLocal("dc1", view.NewDirectory())}
	s := newServer(t, src, nil)
	for _, name := range []string{"web.service.consul.", "n.node.consul.", "consul.", "nosuch.consul.", "1.0.0.10.in-addr.arpa."} {
		m := question(name, dns.TypeA)
		m.SetEdns0(1232, false)
		r := ask(t, s, m, false)
		if r.Rcode != dns.RcodeServerFailure || !r.Authoritative || extended(r) != dns.ExtendedErrorCodeNotReady {
			t.Errorf("%s: %s, extended error %d", name, dns.RcodeToString[r.Rcode], extended(r))
		}
	}
	if r := ask(t, s, question("web.service.consul.", dns.TypeA), false); r.Rcode != dns.RcodeServerFailure || len(r.Extra) != 0 {
		t.Errorf("without EDNS: %v", r)
	}
	if r := ask(t, s, question("example.com.", dns.TypeA), false); r.Rcode != dns.RcodeRefused {
		t.Errorf("outside: %v", r)
	}
}

func TestStaleAnswer(t *testing.T) {
	src := webSource(1)
	src.fails = func(context.Context) (view.State, error) { return view.State{Stale: true}, nil }
	s := newServer(t, src, nil)
	m := question("web.service.consul.", dns.TypeA)
	m.SetEdns0(1232, false)
	if r := ask(t, s, m, false); len(r.Answer) != 1 || extended(r) != dns.ExtendedErrorCodeStaleAnswer {
		t.Errorf("%v", r)
	}
	if got := s.Stats().Stale; got != 1 {
		t.Errorf("%d counted", got)
	}
}

func TestUnavailable(t *testing.T) {
	src := webSource(1)
	src.fails = func(ctx context.Context) (view.State, error) {
		if _, ok := ctx.Deadline(); !ok {
			t.Error("the source has no deadline")
		}
		return view.State{}, fault.Newf(fault.Unavailable, "gone")
	}
	r := ask(t, newServer(t, src, nil), question("web.service.consul.", dns.TypeA), false)
	if r.Rcode != dns.RcodeServerFailure {
		t.Errorf("%v", r)
	}
}

// A bug that one query hits is that query's SERVFAIL, counted, and in the log
// once for many.
func TestPanic(t *testing.T) {
	core, logs := observer.New(zap.ErrorLevel)
	src := webSource(1)
	src.fails = func(context.Context) (view.State, error) { panic("bug") }
	cfg := DefaultConfig()
	s, err := New(cfg, Deps{Source: src, Logger: zap.New(core)})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if r := ask(t, s, question("web.service.consul.", dns.TypeA), false); r.Rcode != dns.RcodeServerFailure || len(r.Question) != 1 {
			t.Errorf("%v", r)
		}
	}
	if got := s.Stats().Panics; got != 3 {
		t.Errorf("%d panics counted", got)
	}
	if logs.Len() != 1 {
		t.Errorf("%d lines in the log", logs.Len())
	}
}

func TestEDNS(t *testing.T) {
	s := newServer(t, webSource(40), nil)
	m := question("web.service.consul.", dns.TypeSRV)
	m.SetEdns0(1232, true)
	m.IsEdns0().Option = []dns.EDNS0{
		&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: []byte{198, 51, 100, 0}},
		&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0011223344556677"},
	}
	r := ask(t, s, m, false)
	o := r.IsEdns0()
	if o == nil || o.UDPSize() != 1232 || o.Do() || len(o.Option) != 2 || r.Truncated {
		t.Fatalf("%v", r)
	}
	if e, ok := o.Option[0].(*dns.EDNS0_SUBNET); !ok || e.SourceScope != 0 || e.SourceNetmask != 24 {
		t.Errorf("%v", o)
	}
	r.Compress = true
	if b, _ := r.Pack(); len(b) > 1232 {
		t.Errorf("%d bytes", len(b))
	}

	m = question("web.service.consul.", dns.TypeA)
	m.SetEdns0(1232, false)
	m.IsEdns0().SetVersion(1)
	if r := ask(t, s, m, false); r.Rcode != dns.RcodeBadVers || len(r.Answer) != 0 || r.IsEdns0().Version() != 0 {
		t.Errorf("version 1: %v", r)
	}
	m.Extra = append(m.Extra, m.Extra[0])
	if r := ask(t, s, m, false); r.Rcode != dns.RcodeFormatError {
		t.Errorf("two OPT records: %v", r)
	}
}

func TestTruncation(t *testing.T) {
	for _, on := range []bool{false, true} {
		s := newServer(t, webSource(4), func(c *Config) { c.EnableTruncate = on })
		if r := ask(t, s, question("web.service.consul.", dns.TypeA), false); r.Truncated != on || len(r.Answer) != 3 {
			t.Errorf("enable_truncate %v: TC %v, %d answers", on, r.Truncated, len(r.Answer))
		}
		if r := ask(t, s, question("web.service.consul.", dns.TypeA), true); r.Truncated || len(r.Answer) != 4 {
			t.Errorf("over TCP: TC %v, %d answers", r.Truncated, len(r.Answer))
		}
	}
}

func TestReload(t *testing.T) {
	s := newServer(t, webSource(1), nil)
	cfg := s.live.Load().cfg
	cfg.NodeTTL = -1
	if err := s.Reload(cfg); !errors.Is(err, fault.Invalid) {
		t.Error("a negative TTL was taken")
	}
	cfg.NodeTTL, cfg.Domain = 5e9, "other."
	cfg.SOA.MinTTL = 77
	if err := s.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	if r := ask(t, s, question("nosuch.service.consul.", dns.TypeA), false); r.Rcode != dns.RcodeNameError || r.Ns[0].Header().Ttl != 77 {
		t.Errorf("%v", r)
	}
	if r := ask(t, s, question("web.service.other.", dns.TypeA), false); r.Rcode != dns.RcodeRefused {
		t.Errorf("the domain changed while running: %v", r)
	}
}

func TestValidate(t *testing.T) {
	good := DefaultConfig()
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"no address":         func(c *Config) { c.Addrs = nil },
		"a host name":        func(c *Config) { c.Addrs = []string{"localhost:8600"} },
		"a port too high":    func(c *Config) { c.Addrs = []string{"127.0.0.1:70000"} },
		"twice":              func(c *Config) { c.Addrs = []string{"127.0.0.1:8600", "127.0.0.1:8600"} },
		"no domain":          func(c *Config) { c.Domain = "." },
		"a bad domain":       func(c *Config) { c.Domain = "a..b" },
		"a bad datacenter":   func(c *Config) { c.Datacenter = "dc.1" },
		"alt is the domain":  func(c *Config) { c.AltDomain = "CONSUL" },
		"alt is a keyword":   func(c *Config) { c.AltDomain = "service.example" },
		"alt is the dc":      func(c *Config) { c.AltDomain = "dc1.example" },
		"a negative TTL":     func(c *Config) { c.NodeTTL = -1 },
		"a star amid a name": func(c *Config) { c.ServiceTTL = map[string]time.Duration{"a*b": 1} },
		"a negative limit":   func(c *Config) { c.ARecordLimit = -1 },
		"no limit":           func(c *Config) { c.Limits.TCPConns = 0 },
	} {
		c := DefaultConfig()
		change(&c)
		if err := c.Validate(); !errors.Is(err, fault.Invalid) {
			t.Errorf("%s: taken", name)
		}
	}
	c := DefaultConfig()
	c.AltDomain, c.Datacenter, c.Addrs = "dc1-alt", "dc1", []string{"[::1]:0", "127.0.0.1:0", "127.0.0.1:0"}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}
