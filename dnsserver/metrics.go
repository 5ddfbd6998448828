package dnsserver

import (
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"consul.internal/dnsserver/observe"
	"consul.internal/dnsserver/recurse"
	"consul.internal/internal/metrics"
)

// maxRcode is how many response codes are counted apart; BADVERS (16) is the
// last that is sent.
const maxRcode = 17

// counters count what the server did. They only grow.
type counters struct {
	udp, tcp  atomic.Uint64
	ignored   atomic.Uint64
	dropped   atomic.Uint64
	refused   atomic.Uint64
	panics    atomic.Uint64
	stale     atomic.Uint64
	truncated atomic.Uint64
	limited   atomic.Uint64
	guesses   atomic.Uint64
	top       *observe.Top
	rcodes    [maxRcode]atomic.Uint64
}

// Stats is what the server has done since it was made.
type Stats struct {
	UDP          uint64           // messages read
	TCP          uint64           // messages read
	Ignored      uint64           // no query at all, so never answered
	Dropped      uint64           // not answered because too many were being answered
	RefusedConns uint64           // connections above a limit
	Panics       uint64           // queries that failed by a bug, answered SERVFAIL
	Stale        uint64           // answers from data that may be behind
	Cut          uint64           // answers with records left out for size
	Limited      uint64           // replies truncated or not sent because of their rate
	Guesses      uint64           // questions refused since their asker asked for too many names that do not exist
	Rcodes       [maxRcode]uint64 // replies by response code
	Recursion    recurse.Stats    // names outside the zone
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	c := &s.count
	st := Stats{
		UDP: c.udp.Load(), TCP: c.tcp.Load(), Ignored: c.ignored.Load(), Dropped: c.dropped.Load(),
		RefusedConns: c.refused.Load(), Panics: c.panics.Load(), Stale: c.stale.Load(), Cut: c.truncated.Load(), Limited: c.limited.Load(), Guesses: c.guesses.Load(),
		Recursion: s.recursor.Stats(),
	}
	for i := range st.Rcodes {
		st.Rcodes[i] = c.rcodes[i].Load()
	}
	return st
}

func (c *counters) rcode(code int) {
	if code >= 0 && code < maxRcode {
		c.rcodes[code].Add(1)
	}
}

// timed are the query types that are timed apart; what else is asked, whatever
// its number, counts as "other".
var timed = [...]uint16{
	dns.TypeA, dns.TypeAAAA, dns.TypeSRV, dns.TypeANY, dns.TypePTR, dns.TypeTXT, dns.TypeCNAME, dns.TypeNS, dns.TypeSOA, dns.TypeMX, dns.TypeHTTPS,
}

// timers take how long questions took. The zero value takes nothing.
type timers struct {
	on        bool
	byType    map[uint16]*metrics.Timer  // not changed once made
	byIndex   [len(timed)]*metrics.Timer // the same, in the order of timed
	other     *metrics.Timer
	reverse   *metrics.Timer
	recursion *metrics.Timer
	// How long who asked waited, by the path that answered.
	fast, full *metrics.Histogram
}

func newTimers(r *metrics.Registry) timers {
	t := timers{on: r != nil, byType: map[uint16]*metrics.Timer{}}
	domain := func(name string) *metrics.Timer {
		return r.Timer(metrics.DNSDomainQuery, metrics.Label{Name: "type", Value: name})
	}
	for i, qtype := range timed {
		t.byIndex[i] = domain(dns.TypeToString[qtype])
		t.byType[qtype] = t.byIndex[i]
	}
	t.other = domain("other")
	t.reverse = r.Timer(metrics.DNSPTRQuery)
	t.recursion = r.Timer(metrics.DNSRecursorQuery)
	t.fast = r.Histogram(metrics.DNSLatency, metrics.Label{Name: "path", Value: "fast"})
	t.full = r.Histogram(metrics.DNSLatency, metrics.Label{Name: "path", Value: "full"})
	return t
}

// start is the time now, if somebody wants to know.
func (t *timers) start() time.Time {
	if !t.on {
		return time.Time{}
	}
	return time.Now()
}

// observe takes a reply that was begun at start.
func (t *timers) observe(r *dns.Msg, start time.Time) {
	if !t.on || len(r.Question) == 0 {
		return
	}
	q := &r.Question[0]
	timer := t.byType[q.Qtype]
	switch {
	case len(q.Name) > len(reverseZone) && strings.EqualFold(q.Name[len(q.Name)-len(reverseZone):], reverseZone):
		timer = t.reverse
	case r.RecursionAvailable && !r.Authoritative:
		timer = t.recursion
	case timer == nil:
		timer = t.other
	}
	timer.Since(start)
	t.full.ObserveN(time.Since(start), 1)
}

// reverseZone ends the names that ask who has an address.
const reverseZone = ".arpa."

// publish lets a registry follow the counters.
func (s *Server) publish(r *metrics.Registry) {
	r.OnCollect(func() {
		st := s.Stats()
		r.Counter(metrics.DNSStale).Reach(st.Stale)
		r.Counter(metrics.DNSDropped).Reach(st.Dropped)
		r.Counter(metrics.DNSTruncated).Reach(st.Cut)
		r.Counter(metrics.DNSLimited).Reach(st.Limited)
		r.Counter(metrics.DNSUnknownRefused).Reach(st.Guesses)
		r.Counter(metrics.DNSRecursorHits).Reach(st.Recursion.Hits)
		r.Counter(metrics.DNSRecursorFailed).Reach(st.Recursion.Failed)
		if s.deps.Transfer != nil {
			countTransfers(r, s.deps.Transfer.Counts())
		}
		s.count.top.Publish(r)
		s.live.Load().observer.Publish(r)
		publishAges(s, r)
		for code, n := range st.Rcodes {
			if n > 0 {
				r.Counter(metrics.DNSResponses, metrics.Label{Name: "rcode", Value: rcodeName(code)}).Reach(n)
			}
		}
	})
}

// rcodeName is a response code's usual name.
func rcodeName(code int) string {
	if code == dns.RcodeBadVers { // the library knows the number as that of TSIG
		return "BADVERS"
	}
	return dns.RcodeToString[code]
}
