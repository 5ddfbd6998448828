package dnsserver

import (
	"crypto/rand"
	"encoding/hex"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"

	"consul.internal/catalog"
	"consul.internal/dnsserver/limit"
	"consul.internal/dnsserver/zone"
)

// Guard keeps the server from being used against others: over UDP anybody can ask
// in somebody else's name. It does not count for askers that have shown to have
// their address, by a DNS cookie or over TCP.
type Guard struct {
	MaxUDP int // bytes of a reply over UDP; 0 is what the asker takes
	Rate   int // replies a second of one name, or of names that do not exist, to one network; 0 is no limit
	// Unknown is how many different names that do not exist one network may ask for
	// in a second, however it comes; 0 is no limit.
	Unknown int
	Exempt  []netip.Prefix // askers for which none of it counts
}

// DefaultGuard is what applies where the configuration says nothing.
func DefaultGuard() Guard {
	return Guard{
		MaxUDP: 1232,  // what passes every network whole (DNS Flag Day 2020)
		Rate:   10000, // above what the machines of one network need of one name without a cache
		// Search lists of resolvers make such names of everything that is looked up; a
		// resolver of many machines asks for some hundred different ones.
		Unknown: 1000,
		Exempt:  Loopback(),
	}
}

// Loopback are the addresses that nobody outside of the machine can claim.
func Loopback() []netip.Prefix {
	return []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8), netip.PrefixFrom(netip.IPv6Loopback(), 128)}
}

func (g *Guard) validate(bad func(string, ...any)) {
	if g.MaxUDP != 0 && g.MaxUDP < zone.PlainSize {
		bad("dns_config.max_udp_size: %d is less than the %d bytes that every asker takes", g.MaxUDP, zone.PlainSize)
	}
	if g.Rate < 0 {
		bad("dns_config.response_rate_limit: %d is negative", g.Rate)
	}
	if g.Unknown < 0 {
		bad("dns_config.unknown_name_limit: %d is negative", g.Unknown)
	}
}

// trusts reports whether the guard does not count for an address.
func (g *Guard) trusts(a netip.Addr) bool {
	for _, p := range g.Exempt {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// exempts reports whether what is there against forged addresses does not count for
// an asker.
func (g *Guard) exempts(from asker) bool { return from.tcp || g.trusts(from.addr) }

// guards is what a Guard works with.
type guards struct {
	cookies *limit.Cookies
	rates   *limit.Rates
	unknown *limit.Unknown
}

// newGuards makes a new secret: who comes with a cookie of an earlier one gets a new cookie.
func newGuards() guards {
	var secret [16]byte
	_, _ = rand.Read(secret[:]) // never fails
	return guards{limit.NewCookies(secret), limit.NewRates(), limit.NewUnknown()}
}

// verdict counts a reply and says what becomes of it. Name is the question's, in
// lower case and as in a message.
func (g *guards) verdict(cfg *Guard, name []byte, rcode int, from netip.Addr, now time.Time) limit.Verdict {
	if cfg.Rate == 0 {
		return limit.Pass
	}
	if rcode == rcodeNameError || rcode == rcodeRefused {
		name = nil // there could be any number
	}
	return g.rates.Take(g.rates.Key(limit.Network(from), name), cfg.Rate, now)
}

// guesses counts a name that does not exist, and reports whether its asker has asked
// for too many of them. Name is as in verdict.
func (g *guards) guesses(cfg *Guard, name []byte, trusted bool, from netip.Addr, now time.Time) bool {
	return cfg.Unknown > 0 && !trusted && !g.unknown.Take(limit.Network(from), name, cfg.Unknown, now)
}

// refuseGuess makes the full path's reply a refusal where it is one that a name does
// not exist, to an asker who has asked for too many such names.
func refuseGuess(s *Server, r *dns.Msg, opt *dns.OPT, from asker) {
	cfg := &s.live.Load().cfg.Guard
	if r.Rcode != dns.RcodeNameError {
		return
	}
	var name [maxQueryName]byte
	if !s.guards.guesses(cfg, packedName(r, &name), cfg.trusts(from.addr), from.addr, time.Now()) {
		return
	}
	s.count.guesses.Add(1)
	r.Rcode, r.Authoritative, r.Truncated, r.AuthenticatedData = dns.RcodeRefused, false, false, false
	r.Answer, r.Ns, r.Extra = nil, nil, nil
	if opt != nil {
		r.Extra = []dns.RR{replyOPT(opt, 0)}
	}
}

// packedName is the name that a reply is about, in lower case and as in a message.
func packedName(r *dns.Msg, into *[maxQueryName]byte) []byte {
	n, err := dns.PackDomainName(catalog.Fold(r.Question[0].Name), into[:], 0, nil, false)
	if err != nil {
		return nil
	}
	return into[:n]
}

// maxCookie is the longest cookie (RFC 7873, section 4).
const maxCookie = 40

// cookieOf returns the cookie of an OPT record, or nil; ok is false if it has a
// length that none has (RFC 7873, section 5.2.2).
func cookieOf(opt *dns.OPT) (cookie []byte, ok bool) {
	if opt == nil {
		return nil, true
	}
	for _, o := range opt.Option {
		if e, is := o.(*dns.EDNS0_COOKIE); is {
			b, err := hex.DecodeString(e.Cookie)
			n := len(b)
			return b, err == nil && (n == limit.ClientLen || n >= 2*limit.ClientLen && n <= maxCookie)
		}
	}
	return nil, true
}

// apply reports whether the guard counts for an asker.
func (g *guards) apply(cfg *Guard, opt *dns.OPT, from asker) bool {
	if cfg.exempts(from) {
		return false
	}
	cookie, ok := cookieOf(opt)
	return !ok || !g.cookies.Valid(cookie, from.addr, time.Now())
}

// sizeFor is how many bytes a reply over UDP may have, 0 being those of who says
// nothing, and whether that is less than the asker takes.
func (g *guards) sizeFor(cfg *Guard, opt *dns.OPT, from asker) (size int, capped bool) {
	if opt == nil {
		return 0, false
	}
	size = max(int(opt.UDPSize()), zone.PlainSize)
	if most := cfg.MaxUDP; most > 0 && size > most && g.apply(cfg, opt, from) {
		return most, true
	}
	return size, false
}

// bake puts a cookie into the place that replyOPT has left for it.
func (g *guards) bake(r *dns.Msg, opt *dns.OPT, from asker) {
	came, _ := cookieOf(opt)
	own := r.IsEdns0()
	if len(came) == 0 || own == nil {
		return
	}
	i := slices.IndexFunc(own.Option, func(o dns.EDNS0) bool { return o.Option() == dns.EDNS0COOKIE })
	if i < 0 {
		return
	}
	var out [limit.CookieLen]byte
	now := time.Now()
	g.cookies.Answer(&out, came, g.cookies.Valid(came, from.addr, now), from.addr, now)
	own.Option[i] = &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: hex.EncodeToString(out[:])}
}

// blankCookie is as long as the cookie that takes its place.
func blankCookie() *dns.EDNS0_COOKIE {
	return &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: hex.EncodeToString(make([]byte, limit.CookieLen))}
}

// rated is the full path's reply once it has been counted: itself, a truncated one,
// or an empty one where none is to be sent.
func rated(s *Server, r *dns.Msg, resp, out []byte, opt *dns.OPT, from asker) []byte {
	cfg := &s.live.Load().cfg.Guard
	if !s.guards.apply(cfg, opt, from) {
		return resp
	}
	var name [maxQueryName]byte
	switch s.guards.verdict(cfg, packedName(r, &name), r.Rcode, from.addr, time.Now()) {
	case limit.Drop:
		s.count.limited.Add(1)
		return resp[:0]
	case limit.Slip:
		s.count.limited.Add(1)
		own := r.IsEdns0()
		r.Answer, r.Ns, r.Extra, r.Truncated = nil, nil, nil, true
		if own != nil {
			r.Extra = []dns.RR{own}
		}
		if short, err := r.PackBuffer(out); err == nil {
			return short
		}
		return resp[:0]
	}
	return resp
}

// maxQueryName is the longest name in a message, and what escapes may add to it.
const maxQueryName = 1024
