package dnsserver

import (
	"bytes"
	"net/netip"
	"testing"
	"testing/synctest"

	"github.com/miekg/dns"

	"consul.internal/dnsserver/limit"
)

// asked is the reply that a server gives an asker, or nil where it gives none.
func asked(t *testing.T, s *Server, from asker, name string, cookie string) *dns.Msg {
	t.Helper()
	m := question(name, dns.TypeA)
	m.SetEdns0(4096, false)
	if cookie != "" {
		m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: cookie}}
	}
	req, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	resp := s.respond(req, make([]byte, udpBuffer), from)
	if len(resp) == 0 {
		return nil
	}
	r := new(dns.Msg)
	if err := r.Unpack(bytes.Clone(resp)); err != nil {
		t.Fatal(err)
	}
	r.Compress = true
	return r
}

// cookieIn is the cookie that a reply has.
func cookieIn(r *dns.Msg) string {
	for _, o := range r.IsEdns0().Option {
		if c, is := o.(*dns.EDNS0_COOKIE); is {
			return c.Cookie
		}
	}
	return ""
}

// A large answer goes whole to who has shown to have its address, and to others no
// larger than any network passes.
func TestAmplification(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, webSource(100), nil)
		const client = "0102030405060708"
		for _, name := range []string{"web.service.consul.", "web.service.consul.", "wEb.service.any.consul."} {
			if name == "wEb.service.any.consul." {
				s.deps.Datacenters = func() []string { return []string{"dc1"} }
				s.live.Store(s.compile(s.live.Load().cfg))
			}
			first := asked(t, s, asker{addr: far}, name, client)
			cookie := cookieIn(first)
			if !first.Truncated || len(first.Answer) == 0 || len(first.Answer) >= 100 || first.Len() > 1232 || len(cookie) != 2*limit.CookieLen || cookie[:16] != client {
				t.Fatalf("%s, a stranger: %d records, TC %v, cookie %q", name, len(first.Answer), first.Truncated, cookie)
			}
			for what, c := range map[string]struct {
				from   asker
				cookie string
				whole  bool
			}{
				"no cookie":                      {asker{addr: far}, "", false},
				"a cookie":                       {asker{addr: far}, cookie, true},
				"the cookie of another":          {asker{addr: far.Next()}, cookie, false},
				"a cookie of another server":     {asker{addr: far}, client + "0100000000000000aabbccddeeff0011", false},
				"one of a form that is not ours": {asker{addr: far}, client + "aabbccddeeff0011aabb", false},
				"TCP":                            {asker{addr: far, tcp: true}, "", true},
				"loopback":                       {asker{addr: local}, "", true},
			} {
				r := asked(t, s, c.from, name, c.cookie)
				if whole := len(r.Answer) == 100 && !r.Truncated; whole != c.whole || !whole && r.Len() > 1232 {
					t.Errorf("%s, %s: %d records, TC %v", name, what, len(r.Answer), r.Truncated)
				}
				if (cookieIn(r) == "") != (c.cookie == "") {
					t.Errorf("%s, %s: cookie %q", name, what, cookieIn(r))
				}
			}
		}
		if r := asked(t, s, asker{addr: far}, "web.service.consul.", "010203"); r.Rcode != dns.RcodeFormatError {
			t.Errorf("a cookie of no length: %v", r)
		}
		s.live.Load().cfg.Guard.MaxUDP = 0
		if r := asked(t, s, asker{addr: far}, "web.service.consul.", ""); len(r.Answer) != 100 {
			t.Errorf("off: %d records", len(r.Answer))
		}
	})
}

// Above its rate, a network gets truncated replies and none by turns; others, other
// names, and who has shown to have its address are not touched.
func TestResponseRate(t *testing.T) {
	for _, name := range []string{"web.service.consul.", "0a000001.addr.consul.", "none.service.consul."} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t, webSource(3), func(c *Config) { c.Guard.Rate = 10 })
			whole, short, none := 0, 0, 0
			for i := range 30 {
				from := asker{addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})}
				switch r := asked(t, s, from, name, ""); {
				case r == nil:
					none++
				case r.Truncated && len(r.Answer)+len(r.Ns) == 0:
					short++
				default:
					whole++
				}
			}
			if whole != 10 || short != 10 || none != 10 || s.Stats().Limited != 20 {
				t.Errorf("%s: %d whole, %d truncated, %d not answered, %d counted", name, whole, short, none, s.Stats().Limited)
			}
			own := cookieIn(asked(t, s, asker{addr: far, tcp: true}, name, "0102030405060708"))
			for what, r := range map[string]*dns.Msg{
				"another network":   asked(t, s, asker{addr: netip.MustParseAddr("192.0.4.1")}, name, ""),
				"TCP":               asked(t, s, asker{addr: far, tcp: true}, name, ""),
				"a cookie":          asked(t, s, asker{addr: far}, name, own),
				"loopback":          asked(t, s, asker{addr: local}, name, ""),
				"another name":      asked(t, s, asker{addr: far}, "service.consul.", ""),
				"another name, too": asked(t, s, asker{addr: far}, "foo.node.consul.", ""),
			} {
				if (r == nil || r.Truncated) && !(name == "none.service.consul." && what == "another name, too") {
					t.Errorf("%s, %s: %v", name, what, r)
				}
			}
		})
	}
}
