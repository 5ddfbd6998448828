package dnsserver

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"consul.internal/catalog"
	"consul.internal/dnsserver/zone"
	"consul.internal/internal/fault"
	"consul.internal/view"
)

// upstream is a DNS server on loopback with a few names.
type upstream struct {
	addr netip.AddrPort

	mu    sync.Mutex
	ports map[string]bool // that queries came from
	seen  []*dns.Msg
}

func (u *upstream) questions() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.seen)
}

// startUpstream serves records over UDP and TCP. Names that begin with "big" are
// cut over UDP, those that begin with "fail" are SERVFAIL.
func startUpstream(t testing.TB, records ...string) *upstream {
	t.Helper()
	u := &upstream{ports: map[string]bool{}}
	var rrs []dns.RR
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		rrs = append(rrs, rr)
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		u.mu.Lock()
		u.ports[w.RemoteAddr().String()] = true
		u.seen = append(u.seen, q)
		u.mu.Unlock()
		m := new(dns.Msg)
		m.SetReply(q)
		m.RecursionAvailable, m.Compress = true, true
		name := q.Question[0].Name
		_, udp := w.RemoteAddr().(*net.UDPAddr)
		switch folded := catalog.Fold(name); {
		case strings.HasPrefix(folded, "fail"):
			m.Rcode = dns.RcodeServerFailure
		case strings.HasPrefix(folded, "big") && udp:
			m.Truncated = true
		default:
			m.Answer = answersOf(rrs, name, q.Question[0].Qtype)
			if len(m.Answer) == 0 {
				m.Rcode = dns.RcodeNameError
			}
		}
		if o := q.IsEdns0(); o != nil {
			m.SetEdns0(1400, o.Do())
			if e := subnetOf(o); e != nil {
				scoped := *e
				scoped.SourceScope = 20
				m.IsEdns0().Option = append(m.IsEdns0().Option, &scoped)
			}
		}
		_ = w.WriteMsg(m)
	})
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u.addr = l.Addr().(*net.TCPAddr).AddrPort()
	p, err := net.ListenPacket("udp4", u.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	for _, s := range []*dns.Server{{Listener: l, Handler: handler}, {PacketConn: p, Handler: handler}} {
		ready := make(chan struct{})
		s.NotifyStartedFunc = func() { close(ready) }
		done.Go(func() { _ = s.ActivateAndServe() })
		<-ready
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	t.Cleanup(func() { // runs first
		_ = l.Close()
		_ = p.Close()
		done.Wait()
	})
	return u
}

func answersOf(rrs []dns.RR, name string, qtype uint16) (out []dns.RR) {
	target := name
	for range 5 {
		next := ""
		for _, rr := range rrs {
			h := rr.Header()
			if !catalog.EqualFold(h.Name, target) || h.Rrtype != qtype && h.Rrtype != dns.TypeCNAME {
				continue
			}
			if rr = dns.Copy(rr); target == name {
				rr.Header().Name = name
			}
			if c, ok := rr.(*dns.CNAME); ok {
				next = c.Target
			}
			out = append(out, rr)
		}
		if target = next; next == "" {
			break
		}
	}
	return out
}

func recursing(t testing.TB, u *upstream, src *testSource) *Server {
	s := newServer(t, src, func(c *Config) { c.Recursion.Upstreams = []netip.AddrPort{u.addr} })
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func askAs(t testing.TB, s *Server, m *dns.Msg, addr string, tcp bool) (*dns.Msg, []byte) {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	resp := s.respond(b, make([]byte, udpBuffer), asker{addr: netip.MustParseAddr(addr), tcp: tcp})
	r := new(dns.Msg)
	if err := r.Unpack(resp); err != nil {
		t.Fatal(err)
	}
	if r.Id != m.Id || r.Question[0] != m.Question[0] || r.RecursionDesired != m.RecursionDesired {
		t.Errorf("reply %v to %v", r, m)
	}
	return r, resp
}

func withEDNS(m *dns.Msg, size uint16, do bool) *dns.Msg { m.SetEdns0(size, do); return m }

// Who may have names outside the zone forwarded, and how that shows.
func TestStrangers(t *testing.T) {
	u := startUpstream(t, "x.example.com. 60 IN A 192.0.2.1")
	s := recursing(t, u, webSource(1))
	off := newServer(t, webSource(1), nil)
	for _, tt := range []struct {
		s     *Server
		name  string
		addr  string
		rcode int
		ra    bool
	}{
		{s, "x.example.com.", "127.0.0.1", 0, true},
		{s, "x.example.com.", "10.1.1.1", 0, true},
		{s, "x.example.com.", "8.8.8.8", dns.RcodeRefused, false},
		{s, "x.example.com.", "2001:db8::1", dns.RcodeRefused, false},
		{s, "9.9.9.9.in-addr.arpa.", "10.1.1.1", dns.RcodeNameError, true},
		{s, "9.9.9.9.in-addr.arpa.", "8.8.8.8", dns.RcodeNameError, false},
		{s, "web.service.consul.", "10.1.1.1", 0, true},
		{s, "web.service.consul.", "8.8.8.8", 0, false},
		{s, "nosuch.service.consul.", "10.1.1.1", dns.RcodeNameError, true},
		{off, "x.example.com.", "127.0.0.1", dns.RcodeRefused, false},
		{off, "web.service.consul.", "127.0.0.1", 0, false},
	} {
		for _, tcp := range []bool{false, true} {
			r, _ := askAs(t, tt.s, withEDNS(question(tt.name, dns.TypeA), 1232, false), tt.addr, tcp)
			if r.Rcode != tt.rcode || r.RecursionAvailable != tt.ra || r.IsEdns0() == nil {
				t.Errorf("%s for %s, TCP %v: %v", tt.name, tt.addr, tcp, r)
			}
			want := uint16(0)
			if tt.s == s && tt.rcode == dns.RcodeRefused {
				want = dns.ExtendedErrorCodeProhibited
			}
			if got := extended(r); got != want {
				t.Errorf("%s for %s: Extended DNS Error %d", tt.name, tt.addr, got)
			}
		}
	}
	// x.example.com, and twice the reverse name, whose reply may not be remembered.
	if n := u.questions(); n != 3 {
		t.Errorf("%d questions were forwarded", n)
	}
}

// Over sockets: from a port of its own each time, TCP for TCP, and the size and
// EDNS that the asker takes.
func TestForward(t *testing.T) {
	records := []string{"Mixed.example.com. 60 IN CNAME long.example.com.", "long.example.com. 60 IN MX 10 m.example.net.",
		"big1.example.com. 60 IN A 192.0.2.9"}
	for i := range 60 {
		records = append(records, fmt.Sprintf("long.example.com. 60 IN A 192.0.2.%d", i), fmt.Sprintf("big2.example.com. 60 IN A 192.0.2.%d", i))
	}
	u := startUpstream(t, records...)
	s := recursing(t, u, webSource(1))

	r, _ := askAs(t, s, question("mIxEd.eXample.com.", dns.TypeMX), "127.0.0.1", false)
	if len(r.Answer) != 2 || r.Answer[0].Header().Name != "mIxEd.eXample.com." || r.Answer[0].(*dns.CNAME).Target != "long.example.com." ||
		r.Authoritative || r.IsEdns0() != nil {
		t.Errorf("got %v", r)
	}
	// 60 addresses: cut for 512 bytes and said so, whole for more and over TCP.
	r, wire := askAs(t, s, question("long.example.com.", dns.TypeA), "127.0.0.1", false)
	if !r.Truncated || len(wire) > 512 || len(r.Answer) < 20 {
		t.Errorf("%d bytes, %d answers, TC %v", len(wire), len(r.Answer), r.Truncated)
	}
	r, wire = askAs(t, s, withEDNS(question("long.example.com.", dns.TypeA), 1232, true), "127.0.0.1", false)
	if r.Truncated || len(wire) > 1232 || len(r.Answer) != 60 || r.IsEdns0().UDPSize() != 1400 || !r.IsEdns0().Do() {
		t.Errorf("%d bytes, %v", len(wire), r)
	}
	r, _ = askAs(t, s, question("long.example.com.", dns.TypeA), "127.0.0.1", true)
	if r.Truncated || len(r.Answer) != 60 {
		t.Errorf("over TCP: %d answers", len(r.Answer))
	}
	// Cut by the upstream: passed on to who takes 512 bytes, got over TCP for others.
	r, _ = askAs(t, s, question("big1.example.com.", dns.TypeA), "127.0.0.1", false)
	if !r.Truncated || len(r.Answer) != 0 {
		t.Errorf("got %v", r)
	}
	r, _ = askAs(t, s, withEDNS(question("big2.example.com.", dns.TypeA), 1232, false), "127.0.0.1", false)
	if r.Truncated || len(r.Answer) != 60 {
		t.Errorf("got %v", r)
	}
	r, _ = askAs(t, s, withEDNS(question("big2.example.com.", dns.TypeA), 800, false), "127.0.0.1", false)
	if !r.Truncated || len(r.Answer) == 0 {
		t.Errorf("got %v", r)
	}
	m := withEDNS(question("long.example.com.", dns.TypeA), 1232, false)
	m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: net.IP{198, 51, 100, 0}})
	r, _ = askAs(t, s, m, "127.0.0.1", false)
	if e := subnetOf(r.IsEdns0()); e == nil || e.SourceScope != 20 || e.SourceNetmask != 24 {
		t.Errorf("client subnet %v", e)
	}
	for _, q := range []uint16{dns.TypeAXFR, dns.TypeIXFR, dns.TypeTKEY, dns.TypeNone} {
		if r, _ := askAs(t, s, question("long.example.com.", q), "127.0.0.1", true); r.Rcode != dns.RcodeNotImplemented {
			t.Errorf("%s: %v", dns.Type(q), r)
		}
	}
	r, _ = askAs(t, s, withEDNS(question("fail.example.com.", dns.TypeA), 1232, false), "127.0.0.1", false)
	if r.Rcode != dns.RcodeServerFailure || !r.RecursionAvailable || r.IsEdns0() == nil || extended(r) != 0 {
		t.Errorf("got %v", r)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if st := s.Stats().Recursion; len(u.ports) < 5 || uint64(len(u.seen)) != st.Sent && uint64(len(u.seen)) != st.Sent-st.Truncated {
		t.Errorf("from %d ports, %d messages, %+v", len(u.ports), len(u.seen), st)
	}
}

// aliasSource knows services and a node whose addresses are names outside.
func aliasSource() *testSource {
	d := view.NewDirectory()
	b := catalog.Batch{Index: 7, Reset: true}
	add := func(node, nodeAddr, service, addr string) {
		n := &catalog.Node{Name: node, Address: nodeAddr, Meta: map[string]string{"k": "v"}}
		b.Changes = append(b.Changes, catalog.Change{Op: catalog.NodeSet, Node: n})
		if service != "" {
			b.Changes = append(b.Changes, catalog.Change{Op: catalog.InstanceSet, Instance: &catalog.Instance{Node: n,
				Service: &catalog.Service{ID: service, Name: service, Address: addr, Port: 80, Weights: catalog.DefaultWeights}}})
		}
	}
	add("n1", "10.0.0.1", "ext", "www.example.com")
	add("n2", "10.0.0.2", "ext6", "six.example.com")
	add("n3", "host.example.com", "", "")
	add("n4", "10.0.0.4", "via", "ext.service.consul")
	add("n5", "10.0.0.5", "many", "many.example.com")
	add("n6", "10.0.0.6", "gone", "gone.example.com")
	add("n7", "10.0.0.7", "toarpa", "1.0.0.10.in-addr.arpa")
	d.Apply(b)
	d.SetReady()
	return &testSource{Local: view.NewLocal("dc1", d)}
}

// Aliases of the zone that lead out of it are followed.
func TestFollow(t *testing.T) {
	records := []string{"www.example.com. 120 IN CNAME web.example.com.", "web.example.com. 300 IN A 192.0.2.1",
		"six.example.com. 60 IN AAAA 2001:db8::6", "host.example.com. 33 IN A 192.0.2.3", "host.example.com. 33 IN AAAA 2001:db8::3"}
	for i := range 12 {
		records = append(records, fmt.Sprintf("many.example.com. 20 IN A 192.0.2.%d", 100+i))
	}
	u := startUpstream(t, records...)
	s := recursing(t, u, aliasSource())
	if err := s.Reload(func() Config { c := s.live.Load().cfg; c.NodeTTL = 8e9; return c }()); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		qtype  uint16
		tcp    bool
		edns   bool
		answer []string
		extra  int
	}{
		{"ext.service.consul.", dns.TypeA, false, false, []string{"ext.service.consul. 0 CNAME www.example.com.", "www.example.com. 0 CNAME web.example.com.", "web.example.com. 0 A 192.0.2.1"}, 0},
		{"ext.service.consul.", dns.TypeANY, false, false, []string{"ext.service.consul. 0 CNAME www.example.com.", "www.example.com. 0 CNAME web.example.com.", "web.example.com. 0 A 192.0.2.1"}, 0},
		{"ext.service.consul.", dns.TypeMX, false, false, []string{"ext.service.consul. 0 CNAME www.example.com."}, 0},
		{"ext6.service.consul.", dns.TypeAAAA, false, false, []string{"ext6.service.consul. 0 CNAME six.example.com.", "six.example.com. 0 AAAA 2001:db8::6"}, 0},
		{"ext6.service.consul.", dns.TypeA, false, false, []string{"ext6.service.consul. 0 CNAME six.example.com."}, 0},
		{"n3.node.consul.", dns.TypeA, false, true, []string{"n3.node.consul. 8 CNAME host.example.com.", "host.example.com. 33 A 192.0.2.3"}, 1},
		{"n3.node.consul.", dns.TypeANY, true, true, []string{"n3.node.consul. 8 CNAME host.example.com.", "host.example.com. 33 A 192.0.2.3", "n3.node.consul. 8 TXT \"k=v\""}, 0},
		{"via.service.consul.", dns.TypeA, true, false, []string{"via.service.consul. 0 CNAME ext.service.consul.", "ext.service.consul. 0 CNAME www.example.com.", "www.example.com. 0 CNAME web.example.com.", "web.example.com. 0 A 192.0.2.1"}, 0},
		{"gone.service.consul.", dns.TypeA, false, false, []string{"gone.service.consul. 0 CNAME gone.example.com."}, 0},
		{"toarpa.service.consul.", dns.TypeA, false, false, []string{"toarpa.service.consul. 0 CNAME 1.0.0.10.in-addr.arpa."}, 0},
		{"many.service.consul.", dns.TypeSRV, false, false, []string{"many.service.consul. 0 SRV 1 1 80 many.example.com."}, 6},
		{"many.service.consul.", dns.TypeSRV, false, true, []string{"many.service.consul. 0 SRV 1 1 80 many.example.com."}, 13},
		{"ext.service.consul.", dns.TypeSRV, true, true, []string{"ext.service.consul. 0 SRV 1 1 80 www.example.com."}, 3},
	} {
		m := question(tt.name, tt.qtype)
		if tt.edns {
			m = withEDNS(m, 4096, false)
		}
		r, _ := askAs(t, s, m, "127.0.0.1", tt.tcp)
		var got []string
		for _, rr := range r.Answer {
			got = append(got, strings.ReplaceAll(strings.ReplaceAll(rr.String(), "\tIN\t", " "), "\t", " "))
		}
		extra := len(slices.DeleteFunc(r.Extra, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeOPT }))
		if !slices.Equal(got, tt.answer) || extra != tt.extra || !r.RecursionAvailable || !r.Authoritative {
			t.Errorf("%s %s: got %q and %v", tt.name, dns.Type(tt.qtype), got, r.Extra)
		}
	}
	sent := u.questions()
	// A stranger gets the alias alone.
	r, _ := askAs(t, s, question("ext.service.consul.", dns.TypeA), "8.8.8.8", false)
	if len(r.Answer) != 1 || u.questions() != sent {
		t.Errorf("got %v", r)
	}
}

// The zone's own names under arpa are no business of recursors.
func TestOutside(t *testing.T) {
	z := zone.New(zone.Options{Domain: "consul.home.arpa.", Datacenter: "dc1"}, webSource(1), nil)
	for name, want := range map[string]bool{
		"x.consul.home.arpa.": false, "X.CONSUL.HOME.ARPA.": false, "home.arpa.": true, "arpa.": true, "1.0.0.10.in-addr.arpa.": true,
		"a.b.c.node.consul.home.arpa.": false, "example.com.": true, "notarpa.": true,
	} {
		if got := outside(z.Parse(name), name, dns.RcodeNameError); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if name := "1.0.0.10.in-addr.arpa."; outside(z.Parse(name), name, dns.RcodeSuccess) || outside(z.Parse(name), name, dns.RcodeServerFailure) {
		t.Error("a reverse name that is known was forwarded")
	}
}

func TestOwnAddress(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Recursion.Upstreams = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:8600")}
	if err := cfg.Validate(); !errors.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "this agent's own DNS address") {
		t.Errorf("got %v", err)
	}
	s := newServer(t, webSource(1), func(c *Config) { c.Addrs = []string{"127.0.0.1:8600"} })
	if err := s.Reload(cfg); err == nil || s.recursor.On() {
		t.Errorf("reloaded: %v", err)
	}
}

// Recursors come and go without a restart.
func TestReloadRecursors(t *testing.T) {
	u := startUpstream(t, "x.example.com. 60 IN A 192.0.2.1")
	s, _ := opened(t, webSource(1), nil)
	rcode := func() int {
		r, _ := askAs(t, s, question("x.example.com.", dns.TypeA), "127.0.0.1", false)
		return r.Rcode
	}
	cfg := s.live.Load().cfg
	off := rcode()
	cfg.Recursion.Upstreams = []netip.AddrPort{u.addr}
	if err := s.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	on := rcode()
	cfg.Recursion.Allow = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	if err := s.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	stranger := rcode()
	cfg.Recursion.Upstreams = nil
	if err := s.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	if off != dns.RcodeRefused || on != 0 || stranger != dns.RcodeRefused || rcode() != dns.RcodeRefused {
		t.Errorf("off %d, on %d, stranger %d", off, on, stranger)
	}
}

// Two servers that forward to each other answer at once and do not keep at it.
func TestMutualForwarders(t *testing.T) {
	a, _ := opened(t, webSource(1), nil)
	b, _ := opened(t, webSource(1), func(c *Config) { c.Recursion.Upstreams = []netip.AddrPort{a.Addrs()[0]} })
	cfg := a.live.Load().cfg
	cfg.Recursion.Upstreams = []netip.AddrPort{b.Addrs()[0]}
	if err := a.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	for _, network := range []string{"udp", "tcp"} {
		c := &dns.Client{Net: network}
		r, _, err := c.Exchange(question("looped.example.com.", dns.TypeA), a.Addrs()[0].String())
		if err != nil || r.Rcode != dns.RcodeServerFailure {
			t.Errorf("%s: %v, %v", network, r, err)
		}
	}
	for _, s := range []*Server{a, b} {
		if st := s.Stats().Recursion; st.Sent > 20 || st.InFlight != 0 {
			t.Errorf("%+v", st)
		}
	}
}

// What upstreams say cannot break a reply.
func FuzzForward(f *testing.F) {
	for _, name := range []string{"x.example.com.", "big.example.com.", "1.0.0.9.in-addr.arpa.", "."} {
		m := question(name, dns.TypeA)
		b, _ := m.Pack()
		f.Add(b, false)
		m.SetEdns0(700, true)
		b, _ = m.Pack()
		f.Add(b, true)
	}
	u := startUpstream(f, "x.example.com. 60 IN A 192.0.2.1", "big.example.com. 60 IN A 192.0.2.2")
	s := recursing(f, u, webSource(3))
	f.Fuzz(func(t *testing.T, req []byte, tcp bool) {
		before := s.Stats().Panics
		resp := s.respond(req, make([]byte, udpBuffer), asker{addr: local, tcp: tcp})
		if s.Stats().Panics != before || s.Stats().Recursion.Panics != 0 {
			t.Fatal("a panic")
		}
		if resp == nil {
			return
		}
		var m dns.Msg
		if err := m.Unpack(resp); err != nil {
			t.Fatalf("the reply is broken: %v", err)
		}
		limit := 512
		var q dns.Msg
		if q.Unpack(req) == nil && q.IsEdns0() != nil {
			limit = max(limit, int(q.IsEdns0().UDPSize()))
		}
		if !tcp && len(resp) > limit {
			t.Fatalf("%d bytes, the asker takes %d", len(resp), limit)
		}
	})
}
