package recurse

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
)

const anA = "x.example.com. 300 IN A 192.0.2.1"

// Which upstream decides, what the asker is told, and after how long.
func TestSearch(t *testing.T) {
	soa := "example.com. 60 IN SOA ns.example.com. h.example.com. 1 2 3 4 5"
	for _, tt := range []struct {
		name    string
		servers map[string]server
		alias   bool
		rcode   int // -1 is no answer
		asked   string
		info    uint16
		after   time.Duration
	}{
		{"the first one", map[string]server{one: says(0, anA), two: says(0)}, false, 0, "1", 0, 0},
		{"NXDOMAIN is final", map[string]server{one: says(dns.RcodeNameError, soa), two: says(0, anA)}, false, dns.RcodeNameError, "1", 0, 0},
		{"NODATA is final", map[string]server{one: says(0, soa), two: says(0, anA)}, false, 0, "1", 0, 0},
		{"SERVFAIL goes on", map[string]server{one: says(dns.RcodeServerFailure), two: says(0, anA)}, false, 0, "12", 0, 0},
		{"REFUSED goes on", map[string]server{one: says(dns.RcodeRefused), two: says(0, anA)}, false, 0, "12", 0, 0},
		{"nobody there goes on", map[string]server{two: says(0, anA)}, false, 0, "2", 0, 0},
		{"silence goes on, asked twice", map[string]server{one: silent, two: says(0, anA)}, false, 0, "112", 0, 2 * time.Second},
		{"all fail", map[string]server{one: says(dns.RcodeServerFailure), two: says(dns.RcodeRefused)}, false, -1, "12", 0, 0},
		{"nobody at all", nil, false, -1, "", dns.ExtendedErrorCodeNetworkError, 0},
		{"all silent", map[string]server{one: silent, two: silent}, false, -1, "1122", dns.ExtendedErrorCodeNoReachableAuthority, 4 * time.Second},
		{"silent and failing", map[string]server{one: silent, two: says(dns.RcodeServerFailure)}, false, -1, "112", 0, 2 * time.Second},
		{"for an alias the first reply", map[string]server{one: says(dns.RcodeServerFailure), two: says(0, anA)}, true, dns.RcodeServerFailure, "1", 0, 0},
		{"for an alias nobody there", map[string]server{two: says(0, anA)}, true, 0, "2", 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{servers: tt.servers}
				r := newRecursor(t, w, nil, one, two)
				q := query("x.example.com.", dns.TypeA)
				q.Alias = tt.alias
				start := time.Now()
				a := r.Ask(t.Context(), q)
				if got := since(start); got != tt.after {
					t.Errorf("after %v, want %v", got, tt.after)
				}
				rcode := -1
				if a.Msg != nil {
					rcode = a.Msg.Rcode
				}
				if rcode != tt.rcode || (a.Err != nil) != (tt.rcode < 0) || a.Info != tt.info {
					t.Errorf("rcode %d, info %d, error %v", rcode, a.Info, a.Err)
				}
				if a.Err != nil && !errors.Is(a.Err, fault.Unavailable) {
					t.Errorf("kind of %v", a.Err)
				}
				asked := ""
				for _, s := range w.log() {
					asked += s[7:8]
				}
				if asked != tt.asked {
					t.Errorf("asked %q, want %q", asked, tt.asked)
				}
			})
		})
	}
}

// What goes out has what the asker sent; what comes
// back has its spelling, also in names that point into the question.
func TestMessages(t *testing.T) {
	w := &world{servers: map[string]server{one: func(_ string, q *dns.Msg) []*dns.Msg {
		name := q.Question[0].Name // as servers do whose answers point into the question
		parent := name[len("www."):]
		m := replyTo(q, 0)
		m.AuthenticatedData, m.Authoritative = true, true
		m.Answer = []dns.RR{
			&dns.CNAME{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeCNAME, Class: 1, Ttl: 9}, Target: "cdn." + parent},
			&dns.A{Hdr: dns.RR_Header{Name: "cdn." + parent, Rrtype: dns.TypeA, Class: 1, Ttl: 1 << 31}, A: []byte{192, 0, 2, 1}},
		}
		m.Ns = []dns.RR{&dns.NS{Hdr: dns.RR_Header{Name: parent, Rrtype: dns.TypeNS, Class: 1, Ttl: 9}, Ns: "NS.example.net."}}
		m.Extra = append(m.Extra, &dns.A{Hdr: dns.RR_Header{Name: "NS.example.net.", Rrtype: dns.TypeA, Class: 1, Ttl: 9}, A: []byte{192, 0, 2, 2}})
		return []*dns.Msg{m}
	}}}
	r := newRecursor(t, w, nil, one)
	q := query("wWw.exAmple-domain.com.", dns.TypeA)
	q.DO, q.CD = true, true
	q.Subnet = &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: []byte{198, 51, 100, 0}}
	a := r.Ask(t.Context(), q)
	if a.Msg == nil {
		t.Fatal(a.Err)
	}
	out := w.last()
	opt := out.IsEdns0()
	if !out.RecursionDesired || !out.CheckingDisabled || opt == nil || !opt.Do() || opt.UDPSize() != ednsSize || len(opt.Option) != 1 ||
		!strings.Contains(opt.Option[0].String(), "198.51.100.0/24/0") {
		t.Errorf("sent %v", out)
	}
	if name := out.Question[0].Name; name != q.Question.Name { // spelled at random by the asker already
		t.Errorf("sent the name as %s", name)
	}
	want := []string{"wWw.exAmple-domain.com. 9 IN CNAME cdn.exAmple-domain.com.", "cdn.exAmple-domain.com. 0 IN A 192.0.2.1", "exAmple-domain.com. 9 IN NS NS.example.net."}
	if got := texts(a); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	// In lower case, nothing is seen of how it was spelled on its way.
	q.Question.Name, q.Subnet = catalog.Fold(q.Question.Name), nil
	lower := r.Ask(t.Context(), q)
	for i := range want {
		want[i] = strings.ReplaceAll(strings.ReplaceAll(want[i], "wWw", "www"), "exAmple", "example")
	}
	name := w.last().Question[0].Name
	if got := texts(lower); !slices.Equal(got, want) || name == q.Question.Name || !catalog.EqualFold(name, q.Question.Name) {
		t.Errorf("asked %s, got %q", name, got)
	}
	q.Question.Name = "wWw.exAmple-domain.com."
	if len(a.Msg.Extra) != 1 || a.OPT == nil || a.OPT.UDPSize() != 4096 || !a.OPT.Do() || a.Msg.Question[0].Name != q.Question.Name ||
		!a.Msg.AuthenticatedData || !a.Msg.Authoritative || !a.Msg.RecursionAvailable {
		t.Errorf("got %v, OPT %v", a.Msg, a.OPT)
	}
}

// A reply must be one to the question that was sent.
func TestStrangeReplies(t *testing.T) {
	spoil := map[string]func(*dns.Msg){
		"id":       func(m *dns.Msg) { m.Id++ },
		"name":     func(m *dns.Msg) { m.Question[0].Name = "y.example.com." },
		"type":     func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAAAA },
		"class":    func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS },
		"query":    func(m *dns.Msg) { m.Response = false },
		"opcode":   func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify },
		"nothing":  func(m *dns.Msg) { m.Question = nil },
		"two":      func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) },
		"spelling": func(m *dns.Msg) { m.Question[0].Name = catalog.Fold(m.Question[0].Name) },
	}
	for name, f := range spoil {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{servers: map[string]server{one: func(network string, q *dns.Msg) []*dns.Msg {
					forged := replyTo(q, 0, "x.example.com. 300 IN A 203.0.113.66")
					if network == "tcp" {
						return []*dns.Msg{replyTo(q, 0, anA)}
					}
					f(forged)
					return []*dns.Msg{forged, replyTo(q, 0, anA)}
				}}}
				r := newRecursor(t, w, nil, one)
				a := r.Ask(t.Context(), query("x.example.com.", dns.TypeA))
				if got := texts(a); !slices.Equal(got, []string{anA}) {
					t.Errorf("got %q, %v", got, a.Err)
				}
				tcp := slices.Contains(w.log(), one+" tcp")
				if want := name == "spelling"; tcp != want || (r.Stats().Strange == 1) == want {
					t.Errorf("TCP %v, strange %d", tcp, r.Stats().Strange)
				}
			})
		})
	}
}

// An answer whose name came back in another spelling is given, where no TCP tells
// better, but not remembered.
func TestSpelledOtherwise(t *testing.T) {
	for spelling, times := range map[string]int{"kept": 1, "lost": 2} {
		t.Run(spelling, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{servers: map[string]server{one: func(network string, q *dns.Msg) []*dns.Msg {
					if network == "tcp" {
						return nil
					}
					m := replyTo(q, 0, anA)
					if spelling == "lost" {
						m.Question[0].Name = catalog.Fold(m.Question[0].Name)
					}
					return []*dns.Msg{m}
				}}}
				r := newRecursor(t, w, nil, one)
				for range 2 {
					if a := r.Ask(t.Context(), query("x.example.com.", dns.TypeA)); !slices.Equal(texts(a), []string{anA}) {
						t.Errorf("got %q, %v", texts(a), a.Err)
					}
				}
				udp := 0
				for _, s := range w.log() {
					if s == one+" udp" {
						udp++
					}
				}
				if udp != times {
					t.Errorf("asked %d times, want %d", udp, times)
				}
			})
		})
	}
}

// Somebody who guesses gets so many tries, then TCP decides.
func TestGuessing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{servers: map[string]server{one: func(network string, q *dns.Msg) []*dns.Msg {
			if network == "tcp" {
				return []*dns.Msg{replyTo(q, 0, anA)}
			}
			var out []*dns.Msg
			for i := range uint16(2 * maxStrange) {
				m := replyTo(q, 0, "x.example.com. 300 IN A 203.0.113.66")
				m.Id += i + 1
				out = append(out, m)
			}
			return out
		}}}
		r := newRecursor(t, w, nil, one)
		a := r.Ask(t.Context(), query("x.example.com.", dns.TypeA))
		if got := texts(a); !slices.Equal(got, []string{anA}) || r.Stats().Strange != maxStrange {
			t.Errorf("got %q, strange %d", got, r.Stats().Strange)
		}
	})
}

func TestTruncated(t *testing.T) {
	cut := func(q *dns.Msg) []*dns.Msg {
		m := replyTo(q, 0)
		m.Truncated = true
		return []*dns.Msg{m}
	}
	synctest.Test(t, func(t *testing.T) {
		var tcp atomic.Bool
		tcp.Store(true)
		w := &world{servers: map[string]server{one: func(network string, q *dns.Msg) []*dns.Msg {
			switch {
			case network == "udp":
				return cut(q)
			case tcp.Load():
				return []*dns.Msg{replyTo(q, 0, anA)}
			}
			return nil
		}}}
		r := newRecursor(t, w, nil, one)
		for range 2 { // the second is from memory
			a := r.Ask(t.Context(), query("x.example.com.", dns.TypeA))
			if got := texts(a); !slices.Equal(got, []string{anA}) || !a.Cut || a.Msg.Truncated {
				t.Errorf("got %q, cut %v", got, a.Cut)
			}
		}
		if got := w.log(); !slices.Equal(got, []string{one + " udp", one + " tcp"}) {
			t.Errorf("asked %q", got)
		}
		// Without TCP the reply that was cut is better than nothing, and not kept.
		tcp.Store(false)
		q := query("y.example.com.", dns.TypeA)
		if a := r.Ask(t.Context(), q); a.Msg == nil || !a.Msg.Truncated || !a.Cut {
			t.Errorf("got %+v", a)
		}
		if n := r.Stats().Entries; n != 1 {
			t.Errorf("%d entries", n)
		}
		// Who asks over TCP is answered by TCP alone.
		tcp.Store(true)
		q.TCP = true
		if a := r.Ask(t.Context(), q); a.Msg == nil || a.Cut || w.log()[len(w.log())-1] != one+" tcp" {
			t.Errorf("got %+v", a)
		}
	})
}

// A server that does not know EDNS is asked without it.
func TestNoEDNS(t *testing.T) {
	w := &world{servers: map[string]server{one: func(_ string, q *dns.Msg) []*dns.Msg {
		if q.IsEdns0() != nil {
			m := new(dns.Msg)
			m.Id, m.Response, m.Rcode = q.Id, true, dns.RcodeFormatError
			return []*dns.Msg{m}
		}
		return []*dns.Msg{replyTo(q, 0, anA)}
	}}}
	r := newRecursor(t, w, nil, one)
	a := r.Ask(t.Context(), query("x.example.com.", dns.TypeA))
	if got := texts(a); !slices.Equal(got, []string{anA}) || a.OPT != nil {
		t.Errorf("got %q, %v", got, a.Err)
	}
}

// Equal questions at the same time are one.
func TestShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{servers: map[string]server{one: func(_ string, q *dns.Msg) []*dns.Msg {
			time.Sleep(100 * time.Millisecond)
			return []*dns.Msg{replyTo(q, 0, strings.Replace(anA, "300", "0", 1))}
		}}}
		r := newRecursor(t, w, nil, one)
		var wg sync.WaitGroup
		for i := range 100 {
			name := "x.example.com."
			if i%2 == 1 {
				name = "X.EXAMPLE.COM."
			}
			wg.Go(func() {
				if a := r.Ask(t.Context(), query(name, dns.TypeA)); a.Msg == nil || a.Msg.Answer[0].Header().Name != name {
					t.Errorf("%s: %v", name, a)
				}
			})
		}
		wg.Wait()
		if s := r.Stats(); s.Sent != 1 || s.Shared != 99 || s.InFlight != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestLimits(t *testing.T) {
	ask := func(t *testing.T, change func(*Config), name func(int) string) (busy int, r *Recursor) {
		w := &world{servers: map[string]server{one: silent}}
		r = newRecursor(t, w, change, one)
		var wg sync.WaitGroup
		var mu sync.Mutex
		for i := range 10 {
			wg.Go(func() {
				a := r.Ask(t.Context(), query(name(i), dns.TypeA))
				mu.Lock()
				defer mu.Unlock()
				if errors.Is(a.Err, ErrBusy) {
					busy++
				}
			})
		}
		wg.Wait()
		return busy, r
	}
	own := func(i int) string { return string(rune('a'+i)) + ".example.com." }
	same := func(int) string { return "x.example.com." }
	for _, tt := range []struct {
		name   string
		change func(*Config)
		names  func(int) string
		busy   int
	}{
		{"waiting", func(c *Config) { c.Limits.Waiting = 4 }, same, 6},
		{"in flight", func(c *Config) { c.Limits.InFlight = 3 }, own, 7},
		{"at one upstream", func(c *Config) { c.Limits.PerUpstream = 2 }, own, 8},
		{"none reached", func(*Config) {}, own, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				busy, r := ask(t, tt.change, tt.names)
				if s := r.Stats(); busy != tt.busy || s.InFlight != 0 || s.Busy != uint64(tt.busy) {
					t.Errorf("busy %d, %+v", busy, s)
				}
			})
		})
	}
}

// However many upstreams are silent, an asker waits no longer than the limit.
func TestTotal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{servers: map[string]server{}}
		var all []string
		for i := range 20 {
			all = append(all, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 1, byte(i)}), 53).String())
			w.servers[all[i]] = silent
		}
		r := newRecursor(t, w, nil, all...)
		start := time.Now()
		if a := r.Ask(t.Context(), query("x.example.com.", dns.TypeA)); a.Err == nil || since(start) != 10*time.Second {
			t.Errorf("%v after %v", a.Err, since(start))
		}
		// And no longer than it wants to.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		if a := r.Ask(ctx, query("y.example.com.", dns.TypeA)); a.Err == nil || since(start) != time.Second {
			t.Errorf("%v after %v", a.Err, since(start))
		}
	})
}

// A forwarder that sends our questions back to us finds out at once, also when it
// spells them in its own way; both ends are bounded.
func TestLoop(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fold  bool
		loops uint64
		after time.Duration
	}{{"as sent", false, 1, 0}, {"in lower case", true, 0, 2 * time.Second}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var r *Recursor
				w := &world{}
				w.servers = map[string]server{one: func(network string, q *dns.Msg) []*dns.Msg {
					name := q.Question[0].Name
					if tt.fold {
						name = catalog.Fold(name)
					}
					a := r.Ask(context.Background(), query(name, q.Question[0].Qtype))
					if a.Msg == nil {
						return []*dns.Msg{replyTo(q, dns.RcodeServerFailure)}
					}
					return []*dns.Msg{replyTo(q, a.Msg.Rcode)}
				}}
				r = newRecursor(t, w, nil, one)
				start := time.Now()
				a := r.Ask(t.Context(), query("looped.example.com.", dns.TypeA))
				if a.Msg != nil || since(start) != tt.after {
					t.Errorf("%+v after %v", a, since(start))
				}
				if s := r.Stats(); s.Loops != tt.loops || s.Sent > 2 || s.InFlight != 0 {
					t.Errorf("%+v", s)
				}
				if r.mu.Lock(); len(r.abroad) != 0 {
					t.Errorf("still noted: %v", r.abroad)
				}
				r.mu.Unlock()
			})
		})
	}
}

// An upstream that has been silent for long is asked last for a while.
func TestSilentLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var back atomic.Bool
		w := &world{}
		w.servers = map[string]server{two: says(0, "x.example.com. 0 IN A 192.0.2.2"), one: func(_ string, q *dns.Msg) []*dns.Msg {
			if !back.Load() {
				return nil
			}
			return []*dns.Msg{replyTo(q, 0, "x.example.com. 0 IN A 192.0.2.1")}
		}}
		r := newRecursor(t, w, nil, one, two)
		ask := func() time.Duration {
			start := time.Now()
			if a := r.Ask(t.Context(), query("x.example.com.", dns.TypeA)); a.Err != nil {
				t.Error(a.Err)
			}
			return since(start)
		}
		for range maxSilent {
			if d := ask(); d != DefaultTimeout {
				t.Errorf("took %v", d)
			}
		}
		if d := ask(); d != 0 {
			t.Errorf("took %v though it is known to be silent", d)
		}
		back.Store(true)
		time.Sleep(silentFor)
		if ask(); !strings.HasPrefix(w.log()[len(w.log())-1], one) {
			t.Errorf("not asked again: %q", w.log())
		}
	})
}

func TestRandom(t *testing.T) {
	w := &world{servers: map[string]server{one: says(0), two: says(0), three: says(0)}}
	r := newRecursor(t, w, func(c *Config) { c.Random = true }, one, two, three)
	seen := map[string]bool{}
	for range 200 { // that one of three is never first: 1 in 10^35
		if a := r.Ask(t.Context(), query("x.example.com.", dns.TypeA)); a.Err != nil {
			t.Fatal(a.Err)
		}
	}
	for _, s := range w.log() {
		seen[s] = true
	}
	if len(seen) != 3 {
		t.Errorf("asked %v", seen)
	}
}

func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{servers: map[string]server{one: says(0, anA), two: func(_ string, q *dns.Msg) []*dns.Msg {
			time.Sleep(time.Second)
			return []*dns.Msg{replyTo(q, dns.RcodeNameError, "example.com. 60 IN SOA ns. h. 1 2 3 4 60")}
		}}}
		r := newRecursor(t, w, nil, one)
		q := query("x.example.com.", dns.TypeA)
		r.Ask(t.Context(), q)
		cfg := r.set.Load().cfg
		cfg.Timeout = time.Minute
		if err := r.Reload(cfg); err != nil || r.Stats().Entries != 1 {
			t.Errorf("%v; the same upstreams, %d entries", err, r.Stats().Entries)
		}
		cfg.Upstreams = []netip.AddrPort{netip.MustParseAddrPort(two)}
		if err := r.Reload(cfg); err != nil || r.Stats().Entries != 0 {
			t.Errorf("%v; other upstreams, %d entries", err, r.Stats().Entries)
		}
		// What is under way when the upstreams change is not kept.
		var wg sync.WaitGroup
		wg.Go(func() {
			if a := r.Ask(t.Context(), q); a.Msg == nil || a.Msg.Rcode != dns.RcodeNameError {
				t.Errorf("got %+v", a)
			}
		})
		synctest.Wait()
		cfg.Upstreams = []netip.AddrPort{netip.MustParseAddrPort(one)}
		if err := r.Reload(cfg); err != nil {
			t.Error(err)
		}
		if a := r.Ask(t.Context(), q); a.Msg == nil || a.Msg.Rcode != 0 {
			t.Errorf("the new upstream is not asked: %+v", a)
		}
		wg.Wait()
		if a := r.Ask(t.Context(), q); a.Msg == nil || a.Msg.Rcode != 0 || r.Stats().Entries != 1 {
			t.Errorf("the old upstream's answer was kept: %+v", a)
		}
		// Off, and a mistake changes nothing.
		cfg.Upstreams = nil
		if err := r.Reload(cfg); err != nil || r.On() || !errors.Is(r.Ask(t.Context(), q).Err, ErrOff) {
			t.Error("not off", err)
		}
		cfg.Timeout = 0
		if err := r.Reload(cfg); !errors.Is(err, fault.Invalid) {
			t.Errorf("got %v", err)
		}
	})
}

// Close ends what is under way at once.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{servers: map[string]server{one: silent}}
		r := newRecursor(t, w, nil, one)
		var wg sync.WaitGroup
		start := time.Now()
		wg.Go(func() {
			if a := r.Ask(t.Context(), query("x.example.com.", dns.TypeA)); a.Err == nil || since(start) != 0 {
				t.Errorf("%v after %v", a.Err, since(start))
			}
		})
		synctest.Wait()
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
		if a := r.Ask(t.Context(), query("x.example.com.", dns.TypeA)); !errors.Is(a.Err, errClosed) {
			t.Errorf("got %v", a.Err)
		}
	})
}
