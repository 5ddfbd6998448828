package recurse

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// What is remembered, and for how long.
func TestLifetime(t *testing.T) {
	soa := "example.com. 60 IN SOA ns.example.com. h.example.com. 1 2 3 4 50"
	for _, tt := range []struct {
		name    string
		rcode   int
		qtype   uint16
		records []string
		want    time.Duration
	}{
		{"positive", 0, dns.TypeA, []string{anA}, 300 * time.Second},
		{"the least counts", 0, dns.TypeA, []string{"x.example.com. 20 IN CNAME y.example.com.", "y.example.com. 300 IN A 192.0.2.1"}, 20 * time.Second},
		{"at most a day", 0, dns.TypeA, []string{"x.example.com. 2000000 IN A 192.0.2.1"}, 24 * time.Hour},
		{"0", 0, dns.TypeA, []string{"x.example.com. 0 IN A 192.0.2.1"}, 0},
		{"too large is 0", 0, dns.TypeA, []string{"x.example.com. 3000000000 IN A 192.0.2.1"}, 0},
		{"any", 0, dns.TypeANY, []string{anA}, 300 * time.Second},
		{"NXDOMAIN", dns.RcodeNameError, dns.TypeA, []string{soa}, 50 * time.Second},
		{"NODATA", 0, dns.TypeA, []string{soa}, 50 * time.Second},
		{"NODATA behind an alias", 0, dns.TypeA, []string{"x.example.com. 20 IN CNAME y.example.com.", soa}, 20 * time.Second},
		{"negative without SOA", dns.RcodeNameError, dns.TypeA, nil, 0},
		{"an alias alone", 0, dns.TypeA, []string{"x.example.com. 20 IN CNAME y.example.com."}, 0},
		{"failure", dns.RcodeServerFailure, dns.TypeA, []string{soa}, 0},
		{"negative at most 3 hours", dns.RcodeNameError, dns.TypeA, []string{"example.com. 90000 IN SOA ns. h. 1 2 3 4 90000"}, 3 * time.Hour},
	} {
		q := new(dns.Msg)
		q.SetQuestion("x.example.com.", tt.qtype)
		limits := DefaultConfig().Limits
		if got := lifetime(replyTo(q, tt.rcode, tt.records...), &limits); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{servers: map[string]server{one: says(0, anA)}}
		r := newRecursor(t, w, nil, one)
		q := query("x.example.com.", dns.TypeA)
		sent := func(want int, what string) {
			t.Helper()
			if got := len(w.log()); got != want {
				t.Errorf("%s: asked %d times, want %d", what, got, want)
			}
		}
		r.Ask(t.Context(), q)
		time.Sleep(999 * time.Millisecond)
		if got := texts(r.Ask(t.Context(), q)); !slices.Equal(got, []string{anA}) {
			t.Errorf("in the first second: %q", got)
		}
		time.Sleep(100*time.Second + time.Millisecond)
		if got := texts(r.Ask(t.Context(), q)); !slices.Equal(got, []string{"x.example.com. 199 IN A 192.0.2.1"}) {
			t.Errorf("later: %q", got)
		}
		upper := q
		upper.Question.Name, upper.TCP = "X.EXAMPLE.COM.", true
		if got := texts(r.Ask(t.Context(), upper)); !slices.Equal(got, []string{"X.EXAMPLE.COM. 199 IN A 192.0.2.1"}) {
			t.Errorf("spelled otherwise: %q", got)
		}
		sent(1, "all from memory")
		for i, change := range []func(*Query){
			func(q *Query) { q.DO = true }, func(q *Query) { q.CD = true }, func(q *Query) { q.Alias = true },
			func(q *Query) { q.Question.Qtype = dns.TypeAAAA },
			func(q *Query) {
				q.Subnet = &dns.EDNS0_SUBNET{Family: 1, SourceNetmask: 24, Address: netip.MustParseAddr("192.0.2.0").AsSlice()}
			},
			func(q *Query) { q.RD = false },
		} {
			other := q
			change(&other)
			r.Ask(t.Context(), other)
			sent(i+2, fmt.Sprintf("another question, %d", i))
		}
		entries := r.Stats().Entries
		if entries != 6-1+0 { // A, DO, CD, alias, subnet; AAAA has no answer to remember, and RD 0 is not kept
			t.Errorf("%d entries", entries)
		}
		time.Sleep(200 * time.Second)
		if got := texts(r.Ask(t.Context(), q)); !slices.Equal(got, []string{anA}) {
			t.Errorf("after its time: %q", got)
		}
	})
}

// While no upstream answers, old answers do, marked and with a TTL of their own.
func TestStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const soa = "example.com. 60 IN SOA ns. h. 1 2 3 4 60"
		var behaves atomic.Pointer[server]
		is := func(s server) { behaves.Store(&s) }
		w := &world{servers: map[string]server{one: func(network string, q *dns.Msg) []*dns.Msg { return (*behaves.Load())(network, q) }}}
		is(says(0, anA))
		r := newRecursor(t, w, nil, one)
		q := query("x.example.com.", dns.TypeA)
		ask := func() (Answer, time.Duration) {
			start := time.Now()
			a := r.Ask(t.Context(), q)
			return a, since(start)
		}
		ask()
		is(silent)
		time.Sleep(301 * time.Second)
		a, d := ask()
		if got := texts(a); !a.Stale || a.Info != dns.ExtendedErrorCodeStaleAnswer || d != 500*time.Millisecond ||
			!slices.Equal(got, []string{"x.example.com. 30 IN A 192.0.2.1"}) {
			t.Errorf("got %q, %+v after %v", got, a, d)
		}
		n := len(w.log())
		if a, d := ask(); !a.Stale || d != 0 {
			t.Errorf("known to fail: %+v after %v", a, d)
		}
		time.Sleep(5 * time.Second) // the question that was under way ends
		if len(w.log()) > n+1 {     // it is sent twice
			t.Errorf("asked %q", w.log())
		}
		// A failing reply is as good as none; then all is well again.
		is(says(dns.RcodeServerFailure))
		time.Sleep(30 * time.Second)
		if a, d := ask(); !a.Stale || d != 0 {
			t.Errorf("after a failure: %+v after %v", a, d)
		}
		is(says(dns.RcodeNameError, soa))
		time.Sleep(30 * time.Second)
		if a, _ := ask(); a.Stale || a.Msg.Rcode != dns.RcodeNameError {
			t.Errorf("got %+v", a)
		}
		// One that is slow renews the answer for who asks next.
		time.Sleep(61 * time.Second)
		is(func(network string, q *dns.Msg) []*dns.Msg {
			time.Sleep(800 * time.Millisecond)
			return says(dns.RcodeNameError, soa)(network, q)
		})
		if a, d := ask(); !a.Stale || a.Info != dns.ExtendedErrorCodeStaleNXDOMAINAnswer || d != 500*time.Millisecond {
			t.Errorf("got %+v after %v", a, d)
		}
		time.Sleep(time.Second)
		if a, d := ask(); a.Stale || d != 0 {
			t.Errorf("got %+v after %v", a, d)
		}
		// Nothing is kept for ever.
		is(silent)
		time.Sleep(25 * time.Hour)
		if a, _ := ask(); a.Err == nil {
			t.Errorf("got %+v", a)
		}
	})
}

// That an asker had no time, or that there was no place to wait, is no failure of upstreams.
func TestStaleOnce(t *testing.T) {
	for _, busy := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := &world{servers: map[string]server{one: func(network string, q *dns.Msg) []*dns.Msg {
				time.Sleep(200 * time.Millisecond)
				return []*dns.Msg{replyTo(q, 0, anA)}
			}}}
			r := newRecursor(t, w, func(c *Config) { c.Limits.Waiting = 1 }, one)
			q := query("x.example.com.", dns.TypeA)
			r.Ask(t.Context(), q)
			time.Sleep(301 * time.Second)
			ctx, cancel := t.Context(), context.CancelFunc(func() {})
			if !busy {
				ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
			}
			defer cancel()
			var wg sync.WaitGroup
			if busy {
				wg.Go(func() { r.Ask(t.Context(), query("y.example.com.", dns.TypeA)) })
				synctest.Wait()
			}
			if a := r.Ask(ctx, q); !a.Stale {
				t.Errorf("busy %v: %+v", busy, a)
			}
			wg.Wait()
			if a := r.Ask(t.Context(), q); a.Err != nil || a.Stale {
				t.Errorf("busy %v: a healthy upstream is not asked: %+v", busy, a)
			}
		})
	}
}

func TestCacheBounds(t *testing.T) {
	l := DefaultConfig().Limits
	l.CacheEntries, l.CacheBytes = 100, 50_000
	c := newCache(&l)
	now := time.Now()
	put := func(i, size int) {
		c.put(0, &held{key: fmt.Sprint(i), answer: reply{wire: make([]byte, size)}, at: now, expires: now.Add(time.Minute)})
	}
	for i := range 1000 {
		put(i, 10)
		c.get("0", now) // used, so kept
		put(i, 20)      // replaced, not added
	}
	if n, bytes := c.size(); n != 100 || bytes > 50_000 || bytes < 100*heldOverhead {
		t.Errorf("%d entries, %d bytes", n, bytes)
	}
	if h, fresh, _ := c.get("0", now); h == nil || !fresh {
		t.Error("one in use was dropped")
	}
	for i := range 1000 {
		put(i, 1000)
	}
	if n, bytes := c.size(); bytes > 50_000 || n > 50 || n < 30 {
		t.Errorf("%d entries, %d bytes", n, bytes)
	}
	put(5000, 60_000)
	if h, _, _ := c.get("5000", now); h != nil {
		t.Error("one larger than all was kept")
	}
	c.clear()
	put(1, 10) // of the epoch before
	if n, bytes := c.size(); n != 0 || bytes != 0 {
		t.Errorf("%d entries, %d bytes after clear", n, bytes)
	}
}

// Who asks is told before an upstream is waited for, and not of what is remembered.
func TestWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told atomic.Int32
		before := int32(0) // how often the asker had been told when the upstream answered
		answer := says(0, anA)
		w := &world{servers: map[string]server{one: func(network string, q *dns.Msg) []*dns.Msg {
			time.Sleep(time.Millisecond)
			before = told.Load()
			return answer(network, q)
		}}}
		r := newRecursor(t, w, nil, one)
		q := query("x.example.com.", dns.TypeA)
		q.Waits = func() { told.Add(1) }
		for range 2 {
			if a := r.Ask(t.Context(), q); a.Msg == nil {
				t.Fatal(a.Err)
			}
		}
		if before != 1 || told.Load() != 1 {
			t.Errorf("told %d times before the answer, %d in all", before, told.Load())
		}
	})
}
