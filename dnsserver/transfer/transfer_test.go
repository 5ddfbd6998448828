package transfer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"consul.internal/catalog"
	"consul.internal/dnsserver/zone"
	"consul.internal/view"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestContent: the zone has every name and record that questions are answered with,
// and what SRV records point to.
func TestContent(t *testing.T) {
	st := newState(t, allowed(), nil)
	web := instance("n1", "10.0.1.1", "web", "Web", catalog.Passing, "v1.2", "Primary", "tcp")
	web.Instance.Service.Meta = map[string]string{"svcb-alpn": "h2"}
	st.apply(
		node("n1", "10.0.1.1", map[string]string{"k": "v"}), node("n2", "2001:db8::2", nil), web,
		at(instance("n2", "2001:db8::2", "web", "Web", catalog.Warning), "10.9.9.9"),
		instance("n2", "2001:db8::2", "sick", "sick", catalog.Critical),
		at(instance("n1", "10.0.1.1", "db", "db", catalog.Passing), "db.example.com"),
	)
	got, serial := st.full(t)
	if serial != 4 {
		t.Errorf("serial %d, want 4", serial)
	}
	want := strings.Split(strings.TrimSpace(`
_primary._tcp.service.consul. never
_web._primary.service.consul. 7 IN SRV 1 1 8080 n1.node.dc1.consul.
_web._primary.service.dc1.consul. 7 IN SRV 1 1 8080 n1.node.dc1.consul.
_web._tcp.service.consul. 7 IN SRV 1 1 8080 0a090909.addr.dc1.consul.
_web._tcp.service.consul. 7 IN SRV 1 1 8080 n1.node.dc1.consul.
_web._tcp.service.dc1.consul. 7 IN SRV 1 1 8080 0a090909.addr.dc1.consul.
_web._tcp.service.dc1.consul. 7 IN SRV 1 1 8080 n1.node.dc1.consul.
0a090909.addr.dc1.consul. 5 IN A 10.9.9.9
consul. 5 IN NS srv1.node.dc1.consul.
db.service.consul. 7 IN CNAME db.example.com.
db.service.dc1.consul. 7 IN CNAME db.example.com.
n1.node.consul. 5 IN A 10.0.1.1
n1.node.consul. 5 IN TXT "k=v"
n2.node.dc1.consul. 5 IN AAAA 2001:db8::2
ns.consul. 5 IN A 10.0.0.1
primary.web.service.dc1.consul. 7 IN A 10.0.1.1
srv1.node.dc1.consul. 5 IN A 10.0.0.1
v1.2.web.service.consul. 7 IN A 10.0.1.1
v1.2.web.service.consul. 7 IN SRV 1 1 8080 n1.node.dc1.consul.
web.service.consul. 7 IN A 10.0.1.1
web.service.consul. 7 IN A 10.9.9.9
web.service.consul. 7 IN TXT "svcb-alpn=h2"
web.service.dc1.consul. 7 IN A 10.9.9.9`), "\n")[1:]
	have := got.sorted()
	for _, w := range want {
		if !slices.Contains(have, w) {
			t.Errorf("lacks %s", w)
		}
	}
	for _, h := range have {
		if strings.Contains(h, "sick") || strings.Contains(h, "db.example.com") && strings.Contains(h, "SRV") {
			t.Errorf("has %s", h)
		}
	}
	if !slices.ContainsFunc(have, func(h string) bool { return strings.HasPrefix(h, "web.service.consul. 7 IN HTTPS") }) {
		t.Error("lacks the HTTPS record")
	}
	if t.Failed() {
		t.Log(strings.Join(have, "\n"))
	}
	// What is there is what a question gets.
	z := zone.New(options(), view.NewLocal("dc1", st.dir), func(int, func(i, j int)) {})
	for _, h := range have {
		rr, err := dns.NewRR(h)
		if err != nil {
			t.Fatal(err)
		}
		r := z.Answer(t.Context(), z.Parse(rr.Header().Name), rr.Header().Rrtype)
		if !slices.ContainsFunc(r.Answer, func(a dns.RR) bool { return a.String() == rr.String() }) {
			t.Errorf("%s is not in the answer %v", h, r.Answer)
		}
	}
}

// TestIncremental: whoever follows by changes, in steps of any length, holds what a
// whole transfer gives, and never hears of a change that is none to it.
func TestIncremental(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			st := newState(t, allowed(), nil)
			r := rand.New(rand.NewPCG(seed, 7))
			st.apply(churn(r)...)
			held, serial := st.full(t)
			kinds := map[string]int{}
			for range 60 {
				for range r.IntN(4) {
					st.apply(churn(r)...)
				}
				rrs, err := st.fetch(t, ixfr(serial), nil)
				if err != nil {
					t.Fatal(err)
				}
				var kind string
				held, serial, kind = held.update(t, rrs)
				kinds[kind]++
				all, now := st.full(t)
				if now != serial || !slices.Equal(held.sorted(), all.sorted()) {
					t.Fatalf("serial %d and %d; held:\n%s\nall:\n%s", serial, now, strings.Join(held.sorted(), "\n"), strings.Join(all.sorted(), "\n"))
				}
			}
			if kinds["changes"] < 10 || kinds["none"] < 3 {
				t.Errorf("what was given: %v", kinds)
			}
		})
	}
}

// TestIncrementalEnds: a secondary that is ahead gets the SOA record alone; one from
// before the ring, or from before other rules applied, everything.
func TestIncrementalEnds(t *testing.T) {
	st := newState(t, allowed(), func(s *Server) { s.limits.ringBytes = 3000 })
	_, _ = st.full(t) // it follows from here
	filler := make([]catalog.Change, 0, 40)
	for i := range 40 { // so that changes are the smaller part
		filler = append(filler, node(fmt.Sprintf("filler%d", i), "10.3.0.1", nil))
	}
	st.apply(filler...)
	kind := func(serial uint32) string {
		t.Helper()
		rrs, err := st.fetch(t, ixfr(serial), nil)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case len(rrs) == 1:
			return "none"
		case rrs[1].Header().Rrtype == dns.TypeSOA:
			return "changes"
		}
		return "whole"
	}
	_, first := st.full(t)
	st.apply(node("a", "10.3.0.2", nil))
	_, second := st.full(t)
	if a, b, c := kind(first), kind(second), kind(second+10); a != "changes" || b != "none" || c != "none" {
		t.Errorf("from before, now and later: %s %s %s", a, b, c)
	}
	for i := range 60 {
		st.apply(node("a", fmt.Sprintf("10.3.1.%d", i), nil))
	}
	if a := kind(first); a != "whole" {
		t.Errorf("from before the ring: %s", a)
	}
	_, third := st.full(t)
	opt := options()
	opt.NodeTTL = time.Minute
	if err := st.s.Configure(allowed(), opt); err != nil {
		t.Fatal(err)
	}
	st.apply(node("a", "10.3.0.3", nil))
	if a := kind(third); a != "whole" {
		t.Errorf("from before another TTL: %s", a)
	}
	st.s.Apply(catalog.Batch{Index: st.index, Reset: true})
	_, _ = st.full(t)
}

// TestOneSerial: what changes while a transfer is under way is not in it.
func TestOneSerial(t *testing.T) {
	st := newState(t, allowed(), nil)
	var many []catalog.Change
	for i := range 2000 {
		many = append(many, node(fmt.Sprintf("n%d", i), "10.5.0.1", nil))
	}
	st.apply(many...)
	before, serial := st.full(t)
	i := 0
	rrs, err := st.fetch(t, axfr(), func() {
		for range 50 {
			st.apply(node(fmt.Sprintf("n%d", i%2000), "10.6.0.1", nil))
			i += 7
		}
		_ = st.s.current(t.Context(), st.s.limits.fresh)
	})
	if err != nil {
		t.Fatal(err)
	}
	got, at := whole(t, rrs)
	if i < 5*50*7 || at != serial || !slices.Equal(got.sorted(), before.sorted()) {
		t.Errorf("%d changes: serial %d, want %d; %d records, want %d", i/7, at, serial, len(got), len(before))
	}
	if _, now := st.full(t); now <= serial {
		t.Error("the changes did not count")
	}
}

// TestUsers: a record that is made of another service changes with it.
func TestUsers(t *testing.T) {
	st := newState(t, allowed(), nil)
	st.apply(instance("n1", "10.0.1.1", "api", "api", catalog.Passing),
		catalog.Change{Op: catalog.ResolverSet, Resolver: &catalog.Resolver{Service: "web", Redirect: &catalog.Target{Service: "api"}}})
	first, serial := st.full(t)
	if !first["web.service.consul.\t7\tIN\tA\t10.0.1.1"] {
		t.Fatalf("the redirect is not followed: %v", first.sorted())
	}
	st.apply(instance("n1", "10.0.1.2", "api", "api", catalog.Passing))
	rrs, err := st.fetch(t, ixfr(serial), nil)
	if err != nil {
		t.Fatal(err)
	}
	next, _, _ := first.update(t, rrs)
	if !next["web.service.consul.\t7\tIN\tA\t10.0.1.2"] {
		t.Error(next.sorted())
	}
}

func TestWhoMay(t *testing.T) {
	key := Key{Name: "second", Algorithm: "hmac-sha256", Secret: secret}
	sign := func(m *dns.Msg, name string, at time.Time) *dns.Msg {
		return m.SetTsig(name, dns.HmacSHA256, 300, at.Unix())
	}
	tests := []struct {
		name string
		cfg  Config
		ask  *dns.Msg
		want string // of the error; "" is that the zone is given
	}{
		{"in the list", allowed(), axfr(), ""},
		{"not in the list", Config{Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, axfr(), "REFUSED"},
		{"with the key", Config{Keys: []Key{key}}, sign(axfr(), "second.", time.Now()), ""},
		{"changes with the key", Config{Keys: []Key{key}}, sign(ixfr(1), "second.", time.Now()), ""},
		{"without the key", Config{Keys: []Key{key}}, axfr(), "REFUSED"},
		{"with another key", Config{Keys: []Key{key}}, sign(axfr(), "third.", time.Now()), "NOTAUTH BADKEY"},
		{"with another key, in the list", allowed(), sign(axfr(), "third.", time.Now()), "NOTAUTH BADKEY"},
		{"with another secret", Config{Keys: []Key{{"second", "hmac-sha256", "b3RoZXIgc2VjcmV0IG9mIDIyIGJ5dGVz"}}}, sign(axfr(), "second.", time.Now()), "NOTAUTH BADSIG"},
		{"with another algorithm", Config{Keys: []Key{{"second", "hmac-sha512", secret}}}, sign(axfr(), "second.", time.Now()), "NOTAUTH BADKEY"},
		{"of another time", Config{Keys: []Key{key}}, sign(axfr(), "second.", time.Now().Add(-time.Hour)), "NOTAUTH BADTIME"},
		{"of another zone", allowed(), new(dns.Msg).SetAxfr("service.consul."), "NOTAUTH"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			st := newState(t, tt.cfg, nil)
			if got := st.outcome(t, tt.ask); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			refused := tt.want != "" && tt.want != "NOTAUTH"
			if n := st.s.Counts().Refused; (n == 1) != refused {
				t.Errorf("%d refused", n)
			}
		})
	}
}

// outcome is "" for a transfer, else what the one reply says.
func (st *state) outcome(t *testing.T, m *dns.Msg) string {
	t.Helper()
	if m.IsTsig() == nil || strings.HasSuffix(m.IsTsig().Hdr.Name, "second.") {
		rrs, err := st.fetch(t, m.Copy(), nil)
		if err == nil && len(rrs) > 3 {
			return ""
		}
	}
	here, there := net.Pipe()
	defer func() { _ = here.Close() }()
	done := make(chan struct{})
	before := st.s.count.refused.Load()
	go func() {
		defer close(done)
		c := &dns.Conn{Conn: there}
		if wire, err := c.ReadMsgHeader(nil); err == nil {
			_ = st.s.Serve(t.Context(), there, wire, netip.MustParseAddr("192.0.2.7"))
		}
	}()
	c := &dns.Conn{Conn: here}
	wire, err := m.Pack()
	if sig := m.IsTsig(); sig != nil {
		wire, _, err = dns.TsigGenerate(m.Copy(), secret, "", false)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(wire); err != nil {
		t.Fatal(err)
	}
	raw, err := c.ReadMsgHeader(nil)
	if err != nil {
		t.Fatal(err)
	}
	<-done
	if before > 0 { // fetch has asked before
		st.s.count.refused.Store(before)
	}
	var r dns.Msg
	if err := r.Unpack(raw); err != nil {
		t.Fatal(err)
	}
	out := dns.RcodeToString[r.Rcode]
	if sig := r.IsTsig(); sig != nil {
		out += " " + dns.RcodeToString[int(sig.Error)]
		if signed := sig.MAC != ""; signed != (sig.Error == dns.RcodeBadTime) {
			t.Errorf("signed: %v with %s", signed, out)
		}
	}
	return out
}

// TestDatagram: over UDP, a secondary learns whether it is behind.
func TestDatagram(t *testing.T) {
	st := newState(t, allowed(), nil)
	inside, outside := netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("198.51.100.1")
	r := st.s.Datagram(t.Context(), ixfr(1), nil, inside)
	if len(r.Answer) != 1 || r.Answer[0].(*dns.SOA).Serial != 2 || r.Rcode != 0 {
		t.Error(r)
	}
	if r := st.s.Datagram(t.Context(), axfr(), nil, inside); r.Rcode != dns.RcodeNotImplemented {
		t.Error(r)
	}
	if r := st.s.Datagram(t.Context(), ixfr(1), nil, outside); r.Rcode != dns.RcodeRefused || len(r.Answer) != 0 {
		t.Error(r)
	}
}

// TestBounds: one that takes nothing is left alone after a while, and until then
// others wait their turn, but not for ever.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newState(t, allowed(), func(s *Server) { s.limits.transfers = 1 })
		here, there := net.Pipe()
		ended := make(chan time.Duration)
		began := time.Now()
		go func() {
			err := st.s.Serve(context.Background(), there, packed(t, axfr()), netip.MustParseAddr("192.0.2.7"))
			if err == nil {
				t.Error("a transfer that nobody took went well")
			}
			ended <- time.Since(began)
		}()
		synctest.Wait()
		if got := st.outcome(t, axfr()); got != "SERVFAIL" {
			t.Errorf("the second: %q", got)
		}
		if took := <-ended; took != st.s.limits.message {
			t.Errorf("left alone after %v", took)
		}
		_ = here.Close()
		if c := st.s.Counts(); c.Broken != 1 || c.Full != 0 {
			t.Errorf("%+v", c)
		}
		if _, err := st.fetch(t, axfr(), nil); err != nil {
			t.Error(err)
		}
	})
}

func packed(t *testing.T, m *dns.Msg) []byte {
	t.Helper()
	wire, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return wire
}

// TestOverflow: changes that come faster than they are followed end in a new start,
// not in memory.
func TestOverflow(t *testing.T) {
	st := newState(t, allowed(), func(s *Server) { s.limits.pending = 10 })
	for i := range 500 {
		st.apply(node(fmt.Sprintf("n%d", i%50), fmt.Sprintf("10.7.%d.1", i%200), nil))
	}
	got, serial := st.full(t)
	fresh := newState(t, allowed(), nil)
	fresh.apply(st.whole()...)
	want, _ := fresh.full(t)
	if serial != uint32(st.index) || !slices.Equal(got.sorted(), want.sorted()) {
		t.Errorf("serial %d of %d; %d records, want %d", serial, st.index, len(got), len(want))
	}
}

func TestConfig(t *testing.T) {
	good := Key{"a", "hmac-sha256", secret}
	to := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:53")}
	tests := []struct {
		cfg  Config
		want string
	}{
		{Config{}, ""},
		{Config{Keys: []Key{good}, Notify: to}, ""},
		{Config{Notify: to}, "nobody may have the zone"},
		{Config{Keys: []Key{good, good}}, "twice"},
		{Config{Keys: []Key{{"a", "hmac-md5", secret}}}, "use hmac-sha256"},
		{Config{Keys: []Key{{"a", "hmac-sha256", "c2hvcnQ="}}}, "at least 16 bytes"},
		{Config{Keys: []Key{{"", "hmac-sha256", secret}}}, "not a name"},
		{Config{Keys: []Key{good}, NotifyKey: "b"}, `no key "b"`},
		{Config{Keys: []Key{good, {"b", "hmac-sha512", secret}}, Notify: to}, "which of the keys"},
	}
	for _, tt := range tests {
		err := tt.cfg.Validate()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.cfg, err, tt.want)
		}
	}
}
