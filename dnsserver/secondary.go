package dnsserver

import (
	"errors"
	"net"
	"net/netip"

	"github.com/miekg/dns"

	"consul.internal/dnsserver/transfer"
	"consul.internal/internal/metrics"
)

// tsigRoom is about how much a TSIG record adds to a reply: two names, a MAC of 64
// bytes and what is around them.
const tsigRoom = 256

// configureTransfers hands on whom the zone is given to, and its rules.
func configureTransfers(s *Server, cfg *Config) error {
	if s.deps.Transfer == nil {
		return nil
	}
	t := cfg.Transfer
	t.From = nil
	for _, a := range cfg.Addrs {
		if at, err := netip.ParseAddrPort(a); err == nil {
			t.From = append(t.From, at.Addr())
		}
	}
	return s.deps.Transfer.Configure(t, cfg.options())
}

// transfers gives the zone, or what has changed of it, if the query on a connection
// asks for that and anybody may have it. Otherwise it reports false. After an error
// nothing more can be said on the connection.
func transfers(s *Server, c net.Conn, query []byte, from asker) (done bool, err error) {
	t := s.deps.Transfer
	if t == nil || !transfer.Asks(query) || !t.On() {
		return false, nil
	}
	defer func() { // no other recover is above a connection's queries
		if v := recover(); v != nil {
			s.panicked(v)
			done, err = true, errors.New("a transfer hit a bug")
		}
	}()
	return true, t.Serve(s.ctx, c, query, from.addr)
}

// secondary looks at what only secondaries send: signed queries, and those for
// changes over UDP. Where it gives a reply, that is the one. A signer signs the reply,
// whoever made it.
func secondary(s *Server, m *dns.Msg, req []byte, from asker) (*transfer.Signer, *dns.Msg) {
	t := s.deps.Transfer
	if t == nil || !t.On() {
		return nil, nil
	}
	signer, bad := t.Verify(m, req, from.addr)
	if bad {
		return signer, new(dns.Msg).SetRcode(m, dns.RcodeNotAuth)
	}
	if transfer.Asks(req) && !from.tcp {
		return signer, t.Datagram(s.ctx, m, signer, from.addr)
	}
	return signer, nil
}

// packSigned packs a reply to a signed query; over UDP, one that gets too large loses
// its records and sends the asker to TCP (RFC 8945, section 5.3.1).
func packSigned(r *dns.Msg, signer *transfer.Signer, opt *dns.OPT, from asker) ([]byte, error) {
	size := dns.MinMsgSize
	if opt != nil {
		size = max(size, int(opt.UDPSize()))
	}
	if !from.tcp && r.Len()+tsigRoom > size {
		own := r.IsEdns0()
		r.Truncated = true
		r.Answer, r.Ns, r.Extra = nil, nil, nil
		if own != nil {
			r.Extra = []dns.RR{own}
		}
	}
	return signer.Pack(r)
}

func countTransfers(r *metrics.Registry, c transfer.Counts) {
	for outcome, n := range map[string]uint64{
		"full": c.Full, "incremental": c.Incremental, "refused": c.Refused, "broken": c.Broken, "told": c.Told, "untold": c.Untold,
	} {
		if n > 0 {
			r.Counter(metrics.DNSTransfers, metrics.Label{Name: "outcome", Value: outcome}).Reach(n)
		}
	}
}
