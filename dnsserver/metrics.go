package dnsserver

import (
	"sync/atomic"

	"consul.internal/dnsserver/recurse"
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
	Rcodes       [maxRcode]uint64 // replies by response code
	Recursion    recurse.Stats    // names outside the zone
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	c := &s.count
	st := Stats{
		UDP: c.udp.Load(), TCP: c.tcp.Load(), Ignored: c.ignored.Load(), Dropped: c.dropped.Load(),
		RefusedConns: c.refused.Load(), Panics: c.panics.Load(), Stale: c.stale.Load(), Cut: c.truncated.Load(),
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
