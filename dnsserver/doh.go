package dnsserver

import (
	"net/netip"

	"github.com/miekg/dns"

	"consul.internal/dnsserver/observe"
)

// Direct answers questions that do not come by a server's own sockets.
type Direct struct{ s *Server }

// NewDirect is the way to a server for who has questions in hand.
func NewDirect(s *Server) Direct { return Direct{s} }

// Message answers a query as one over TCP. A nil reply is none: it is no query, or the server closes.
// TTL is how long the reply may be kept (RFC 8484, section 5.1).
func (d Direct) Message(query []byte, from netip.Addr) (reply []byte, ttl uint32) {
	s := d.s
	if len(query) > maxTCPQuery || !enter(s) {
		return nil, 0
	}
	defer s.queries.Done()
	reply = observed(s, query, make([]byte, maxTCPQuery), asker{addr: from.Unmap(), door: observe.HTTPS, tcp: true, hidden: true})
	var m dns.Msg
	if reply == nil || m.Unpack(reply) != nil {
		return reply, 0
	}
	return reply, leastTTL(&m)
}

// enter counts a query among those that a closing server waits for.
func enter(s *Server) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closing {
		return false
	}
	s.queries.Add(1)
	return true
}

// leastTTL is how long all of a reply holds; of a negative one, what its SOA record
// says (RFC 2308, section 5). Failures and empty replies are not to be kept.
func leastTTL(m *dns.Msg) uint32 {
	rrs := m.Answer
	if len(rrs) == 0 {
		rrs = m.Ns
	}
	if len(rrs) == 0 || m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return 0
	}
	least := uint32(1<<31 - 1)
	for _, rr := range rrs {
		least = min(least, rr.Header().Ttl)
		if soa, is := rr.(*dns.SOA); is && len(m.Answer) == 0 {
			least = min(least, soa.Minttl)
		}
	}
	return least
}
