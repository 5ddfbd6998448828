package dnsserver

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/zap"

	"consul.internal/dnsserver/observe"
	"consul.internal/internal/metrics"
)

// A network that asks for too many different names that do not exist is refused
// further ones, whatever way it comes, and nothing else.
func TestUnknownNames(t *testing.T) {
	for name, form := range map[string]string{"fast": "nosuch%d.service.consul.", "full": "0a%d.addr.consul.", "tags": "tag%d.web.service.consul."} {
		for _, tcp := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, webSource(3), func(c *Config) { c.Guard.Unknown = 10; c.Guard.Rate = 0 })
				stranger := asker{addr: far, tcp: tcp}
				for range 3 { // the same name again is one name
					for i := range 9 {
						if r := asked(t, s, stranger, fmt.Sprintf(form, i), ""); r.Rcode != dns.RcodeNameError || len(r.Ns) != 1 {
							t.Fatalf("%s, name %d: %v", name, i, r)
						}
					}
				}
				cookie := cookieIn(asked(t, s, stranger, "web.service.consul.", "0102030405060708"))
				refused := uint64(0)
				for i := 9; i < 30; i++ { // some may be taken for one
					r := asked(t, s, stranger, fmt.Sprintf(form, i), []string{"", cookie}[i%2])
					switch {
					case r.Rcode == dns.RcodeNameError && refused == 0:
					case r.Rcode != dns.RcodeRefused || r.Authoritative || len(r.Ns)+len(r.Answer) != 0 || (cookieIn(r) == "") != (i%2 == 0):
						t.Errorf("%s, name %d: %v", name, i, r)
					default:
						refused++
					}
				}
				if n := s.Stats().Guesses; n != refused || n < 10 {
					t.Errorf("%s: %d refused, %d counted", name, refused, n)
				}
				for what, r := range map[string]*dns.Msg{
					"a name that exists": asked(t, s, stranger, "web.service.consul.", ""),
					"another network":    asked(t, s, asker{addr: netip.MustParseAddr("192.0.4.1"), tcp: tcp}, fmt.Sprintf(form, 12), ""),
					"loopback":           asked(t, s, asker{addr: local, tcp: tcp}, fmt.Sprintf(form, 12), ""),
				} {
					if r == nil || r.Rcode == dns.RcodeRefused {
						t.Errorf("%s, %s: %v", name, what, r)
					}
				}
				time.Sleep(time.Second)
				if r := asked(t, s, stranger, fmt.Sprintf(form, 13), ""); r.Rcode != dns.RcodeNameError {
					t.Errorf("%s, a second later: %v", name, r)
				}
			})
		}
	}
}

// Both paths refuse alike, byte by byte, and nothing is allocated for it.
func TestUnknownNamesPathsAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, webSource(3), func(c *Config) { c.Guard.Unknown = 1 })
		asked(t, s, asker{addr: far}, "first.service.consul.", "")
		for _, edns := range []bool{false, true} {
			m := question("noSuch.service.consul.", dns.TypeAAAA)
			if edns {
				m.SetEdns0(1232, false)
				m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0102030405060708"}}
			}
			req, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			if !samePaths(t, s, req, asker{addr: far}) {
				t.Error("the fast path has no reply")
			}
			if resp := s.respond(req, make([]byte, udpBuffer), asker{addr: far}); resp[3]&rcodeMask != dns.RcodeRefused {
				t.Errorf("%v", unpacked(resp))
			}
			if n := fastAllocs(t, s, req, far); n != 0 {
				t.Errorf("%v allocations", n)
			}
		}
	})
}

// What is told of the server itself is what the configuration says, and else nothing.
func TestChaos(t *testing.T) {
	s := newServer(t, webSource(3), func(c *Config) { c.Chaos.Version, c.Chaos.Hostname = `1.2 \"x"`, "n1" })
	off := newServer(t, webSource(3), nil)
	for _, c := range []struct {
		name   string
		class  uint16
		qtype  uint16
		rcode  int
		answer string
	}{
		{"version.bind.", dns.ClassCHAOS, dns.TypeTXT, dns.RcodeSuccess, `"1.2 \\\"x\""`},
		{"VERSION.server.", dns.ClassCHAOS, dns.TypeANY, dns.RcodeSuccess, `"1.2 \\\"x\""`},
		{"hostname.bind.", dns.ClassCHAOS, dns.TypeTXT, dns.RcodeSuccess, `"n1"`},
		{"id.server.", dns.ClassCHAOS, dns.TypeTXT, dns.RcodeSuccess, `"n1"`},
		{"id.server.", dns.ClassCHAOS, dns.TypeA, dns.RcodeSuccess, ""},
		{"authors.bind.", dns.ClassCHAOS, dns.TypeTXT, dns.RcodeRefused, ""},
		{"version.bind.", dns.ClassHESIOD, dns.TypeTXT, dns.RcodeRefused, ""},
		{"web.service.consul.", dns.ClassCHAOS, dns.TypeTXT, dns.RcodeRefused, ""},
	} {
		m := question(c.name, c.qtype)
		m.Question[0].Qclass = c.class
		m.SetEdns0(1232, false)
		ask := func(s *Server) *dns.Msg {
			req, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			r := new(dns.Msg)
			if err := r.Unpack(s.respond(req, make([]byte, udpBuffer), asker{addr: local})); err != nil {
				t.Fatal(err)
			}
			return r
		}
		r := ask(s)
		text := ""
		if len(r.Answer) == 1 {
			_, text, _ = strings.Cut(r.Answer[0].String(), "TXT\t")
		}
		if r.Rcode != c.rcode || text != c.answer || r.IsEdns0() == nil {
			t.Errorf("%s: %v", c.name, r)
		}
		if r := ask(off); r.Rcode != dns.RcodeRefused || len(r.Answer) != 0 {
			t.Errorf("off, %s: %v", c.name, r)
		}
	}
}

// Whatever the way of an answer, it stands in the log once, with who asked and how;
// a reload begins and ends the log.
func TestObserved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	reg := metrics.New(metrics.DefaultConfig())
	cfg := DefaultConfig()
	cfg.Addrs = []string{"127.0.0.1:0"}
	s, err := New(cfg, Deps{Source: webSource(3), Logger: zap.NewNop(), Metrics: reg, Datacenters: func() []string { return []string{"dc1"} }})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ask := func(network, name string) {
		t.Helper()
		c := &dns.Client{Net: network, Timeout: 5 * time.Second}
		if _, _, err := c.Exchange(question(name, dns.TypeA), s.Addrs()[0].String()); err != nil {
			t.Fatal(err)
		}
	}
	ask("udp", "before.service.consul.")
	cfg.Observe.Log = observe.DefaultLog(path, 1)
	if err := s.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	for _, network := range []string{"udp", "tcp"} {
		for range 2 { // by the full path, then by the fast one
			ask(network, "web.service.consul.")
		}
		ask(network, "nosuch.service.consul.")
		ask(network, "WEB.service.any.consul.")
	}
	cfg.Observe.Log = observe.Log{}
	if err := s.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	ask("udp", "after.service.consul.")
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var got []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var e struct {
			Client, Door, Name, Status string
			Answers                    int
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		if at, err := netip.ParseAddrPort(e.Client); err != nil || at.Port() == 0 || !at.Addr().IsLoopback() {
			t.Errorf("client %q", e.Client)
		}
		got = append(got, fmt.Sprint(e.Door, " ", e.Name, " ", e.Status, " ", e.Answers))
	}
	var want []string
	for _, door := range []string{"udp", "tcp"} {
		want = append(want, door+" web.service.consul. NOERROR 3", door+" web.service.consul. NOERROR 3", door+" nosuch.service.consul. NXDOMAIN 0", door+" WEB.service.any.consul. NOERROR 3")
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	top := NewDirect(s).Top(1)
	if top.Questions != 10 || len(top.Names) != 1 || top.Names[0].Name != "web.service.consul." || top.Names[0].Questions != 4 || top.Names[0].Status != "NOERROR" {
		t.Errorf("%+v", top)
	}
	text := string(reg.PrometheusText())
	for _, line := range []string{
		"\nconsul_dns_data_age_seconds{datacenter=\"dc1\"} 0\n", "consul_dns_latency_seconds_bucket{path=\"fast\",le=\"+Inf\"}", "consul_dns_latency_seconds_count{path=\"full\"}",
		"consul_dns_responses{rcode=\"NXDOMAIN\"} 4\n",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("no %q in\n%s", line, text)
		}
	}
}

// TestReloadOfALogThatCannotBe: a reload that fails has changed nothing.
func TestReloadOfALogThatCannotBe(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Addrs = []string{"127.0.0.1:0"}
	s, err := New(cfg, Deps{Source: webSource(1), Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	next := s.live.Load().cfg
	next.Recursion.Upstreams = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.53:53")}
	next.Observe.Log = observe.Log{Path: filepath.Join(t.TempDir(), "none", "log"), Sample: 1}
	if err := os.WriteFile(filepath.Dir(next.Observe.Log.Path), nil, 0o600); err != nil { // a file where a directory is needed
		t.Fatal(err)
	}
	if err := s.Reload(next); err == nil || s.recursor.On() || s.live.Load().cfg.Observe.Log.Path != "" {
		t.Errorf("%v; recursors are asked: %v", err, s.recursor.On())
	}
}
