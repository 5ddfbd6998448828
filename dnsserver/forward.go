package dnsserver

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"
	"go.uber.org/zap"

	"consul.internal/catalog"
	"consul.internal/dnsserver/observe"
	"consul.internal/dnsserver/recurse"
	"consul.internal/dnsserver/zone"
)

// asker is who sent a query, and how.
type asker struct {
	addr netip.Addr
	port uint16 // 0 is unknown
	door observe.Door
	tcp  bool // the address is certainly its own
	// hidden is that nobody between sees more of a reply than its length.
	hidden bool
	// waits, unless nil, is to be told before somebody else is waited for.
	waits func()
}

const (
	// maxFollowed is how many records of names outside the zone stand in an answer
	// to an asker without EDNS: its message has 512 bytes.
	maxFollowed = 5
	// maxTargets is how many targets of SRV records are looked up for one answer,
	// so that one question does not become any number of them.
	maxTargets = 16
)

// checkRecursors reports recursors that lead back to where the server listens.
func checkRecursors(cfg *Config) error {
	if len(cfg.Recursion.Upstreams) == 0 {
		return nil
	}
	var listening []netip.AddrPort
	for _, a := range cfg.Addrs {
		if ap, err := netip.ParseAddrPort(a); err == nil { // the others have been reported
			listening = append(listening, ap)
		}
	}
	return cfg.Recursion.Apart(listening, localAddr)
}

// localAddr reports whether an interface of this machine has an address.
func localAddr(a netip.Addr) bool {
	addrs, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(addrs, func(n net.Addr) bool {
		p, err := netip.ParsePrefix(n.String())
		return err == nil && p.Addr().Unmap() == a.Unmap().WithZone("")
	})
}

// outside reports a name that is not answered here: none of the zone's, or one
// under arpa that nothing in the catalog has.
func outside(name zone.Name, qname string, rcode int) bool {
	if name.Kind == zone.Outside {
		return true
	}
	return rcode == dns.RcodeNameError && (name.Kind == zone.Reverse || name.Kind == zone.Nothing && foreignArpa(name, qname))
}

// foreignArpa reports a name under arpa, unless that is where the zone is.
func foreignArpa(name zone.Name, qname string) bool {
	folded := catalog.Fold(qname)
	return (folded == "arpa." || strings.HasSuffix(folded, ".arpa.")) && !dns.IsSubDomain(name.Zone, folded)
}

// queryTo makes the question for recursors.
func queryTo(q dns.Question, m *dns.Msg, opt *dns.OPT, from asker) recurse.Query {
	out := recurse.Query{Question: q, RD: m.RecursionDesired, CD: m.CheckingDisabled, TCP: from.tcp, Waits: from.waits}
	if opt != nil {
		out.DO = opt.Do()
		out.Subnet = subnetOf(opt)
	}
	return out
}

func subnetOf(opt *dns.OPT) *dns.EDNS0_SUBNET {
	for _, o := range opt.Option {
		if e, ok := o.(*dns.EDNS0_SUBNET); ok {
			return e
		}
	}
	return nil
}

// unforwardable are types that are about a connection or a whole zone, not about
// a name.
func unforwardable(qtype uint16) bool {
	switch qtype {
	case dns.TypeNone, dns.TypeOPT, dns.TypeTKEY, dns.TypeTSIG, dns.TypeIXFR, dns.TypeAXFR:
		return true
	}
	return false
}

// forward answers r, the reply to m, by the recursors.
func (s *Server) forward(r, m *dns.Msg, opt *dns.OPT, live *live, from asker) {
	if unforwardable(m.Question[0].Qtype) {
		r.Rcode = dns.RcodeNotImplemented
		if opt != nil {
			r.Extra = []dns.RR{replyOPT(opt, 0)}
		}
		return
	}
	a := s.recursor.Ask(s.ctx, queryTo(m.Question[0], m, opt, from))
	if a.Msg == nil {
		r.Rcode = dns.RcodeServerFailure
		if opt != nil {
			own := replyOPT(opt, a.Info)
			own.Option = append(own.Option, a.EDE...)
			r.Extra = []dns.RR{own}
		}
		if ce := s.deps.Logger.Check(zap.DebugLevel, "no answer from outside"); ce != nil {
			ce.Write(zap.String("name", m.Question[0].Name), zap.Error(a.Err))
		}
		return
	}
	if a.Stale {
		s.count.stale.Add(1)
	}
	// What the upstream says of itself and of its answer stays.
	r.Rcode = a.Msg.Rcode
	r.Authoritative, r.RecursionAvailable = a.Msg.Authoritative, a.Msg.RecursionAvailable
	r.AuthenticatedData = a.Msg.AuthenticatedData && (m.AuthenticatedData || opt != nil && opt.Do())
	r.Answer, r.Ns, r.Extra = a.Msg.Answer, a.Msg.Ns, a.Msg.Extra
	if a.Cut && !from.tcp && opt == nil {
		// Who takes 512 bytes asks again over TCP, and finds the answer there.
		r.Answer, r.Ns, r.Extra, r.Truncated = nil, nil, nil, true
		return
	}
	s.fitForwarded(r, &a, opt, from)
}

// fitForwarded cuts a forwarded answer to what the asker takes; what was cut off
// is always told, since only the rest makes the answer true.
func (s *Server) fitForwarded(r *dns.Msg, a *recurse.Answer, opt *dns.OPT, from asker) {
	room := zone.RoomTCP(r.Question[0].Qtype)
	if !from.tcp {
		size, _ := s.guards.sizeFor(&s.live.Load().cfg.Guard, opt, from)
		room = zone.RoomUDP(max(size, zone.PlainSize), 0)
	}
	room.Answers, room.Plain = zone.RoomTCP(dns.TypeA).Answers, false // the count is the upstream's business
	var own *dns.OPT
	if opt != nil {
		own = forwardedOPT(opt, a)
		room.Size -= dns.Len(own)
	}
	compress := r.Compress
	r.Compress = true // it came so, and may not fit otherwise
	cut, empty := zone.Fit(r, room)
	r.Compress = compress || cut || r.Len() > room.Size
	if cut {
		s.count.truncated.Add(1)
	}
	r.Truncated = cut || empty || a.Msg.Truncated
	if own != nil {
		r.Extra = append(r.Extra, own)
	}
}

// forwardedOPT answers an OPT record with what of the upstream's is about the
// answer: its size and DO, the subnet that it holds for, and what it explains.
func forwardedOPT(opt *dns.OPT, a *recurse.Answer) *dns.OPT {
	own := replyOPT(opt, a.Info)
	if a.OPT == nil {
		return own
	}
	own.SetUDPSize(max(a.OPT.UDPSize(), zone.PlainSize))
	if a.OPT.Do() {
		own.SetDo()
	}
	if e := subnetOf(a.OPT); e != nil && subnetOf(opt) != nil {
		own.Option = slices.DeleteFunc(own.Option, func(o dns.EDNS0) bool { return o.Option() == dns.EDNS0SUBNET })
		own.Option = append(own.Option, e)
	}
	for _, o := range a.OPT.Option {
		if _, ok := o.(*dns.EDNS0_EDE); ok && !a.Stale {
			own.Option = append(own.Option, o)
		}
	}
	return own
}

// refuse is the reply to a stranger that asks for a name outside the zone.
func refuse(r *dns.Msg, opt *dns.OPT) {
	r.Rcode = dns.RcodeRefused
	if opt != nil {
		r.Extra = []dns.RR{replyOPT(opt, dns.ExtendedErrorCodeProhibited)}
	}
}

// follow adds what recursors know of the names outside the zone that an answer
// of the zone leads to. A client that gets the alias alone asks for its target
// itself, so what takes longer than an answer may take is left out.
func (s *Server) follow(r, m *dns.Msg, name zone.Name, opt *dns.OPT, live *live, from asker) {
	if r.Rcode != dns.RcodeSuccess || len(r.Answer) == 0 {
		return
	}
	limit := maxFollowed
	if opt != nil {
		limit = zone.RoomTCP(dns.TypeA).Answers
	}
	ctx, cancel := context.WithTimeout(s.ctx, live.cfg.Limits.RemoteTimeout)
	defer cancel()
	lookup := func(target string, qtype uint16) []dns.RR {
		q := queryTo(dns.Question{Name: target, Qtype: qtype, Qclass: dns.ClassINET}, m, nil, from)
		q.RD, q.Alias = true, true // it is we who want to know
		a := s.recursor.Ask(ctx, q)
		if a.Msg == nil || a.Msg.Rcode != dns.RcodeSuccess {
			return nil
		}
		rrs := chainOf(a.Msg.Answer, target, qtype)
		return rrs[:min(len(rrs), limit)]
	}
	qtype := r.Question[0].Qtype
	switch qtype {
	case dns.TypeA, dns.TypeAAAA, dns.TypeANY:
		if qtype == dns.TypeANY {
			qtype = dns.TypeA // as recorded: an IPv4 address is what ANY is asked for
		}
		at, target := endOf(r.Answer, r.Question[0].Name)
		if target == "" || live.zone.Parse(target).Kind != zone.Outside {
			return
		}
		found := lookup(target, qtype)
		if name.Kind != zone.Node { // all of a service's answer has the service's TTL
			setTTL(found, r.Answer[at].Header().Ttl)
		}
		r.Answer = slices.Insert(r.Answer, at+1, found...)
	case dns.TypeSRV:
		r.Extra = append(r.Extra, s.followTargets(r, live, lookup)...)
	}
}

// followTargets looks up the targets of SRV records that have no address yet.
func (s *Server) followTargets(r *dns.Msg, live *live, lookup func(string, uint16) []dns.RR) []dns.RR {
	var targets []string
	seen := map[string]bool{}
	for _, rr := range r.Answer {
		srv, ok := rr.(*dns.SRV)
		if !ok || len(targets) == maxTargets {
			continue
		}
		_, end := endOf(r.Extra, srv.Target)
		if end == "" && !owns(r.Extra, srv.Target) {
			end = srv.Target
		}
		if end == "" || seen[catalog.Fold(end)] || live.zone.Parse(end).Kind != zone.Outside {
			continue
		}
		seen[catalog.Fold(end)] = true
		targets = append(targets, end)
	}
	found := make([][]dns.RR, len(targets))
	var wg sync.WaitGroup
	for i, target := range targets {
		wg.Go(func() {
			defer func() { // the question's own recover does not reach here
				if v := recover(); v != nil {
					s.panicked(v)
				}
			}()
			found[i] = lookup(target, dns.TypeA)
		})
	}
	wg.Wait()
	var out []dns.RR
	for _, rrs := range found {
		setTTL(rrs, r.Answer[0].Header().Ttl)
		for _, rr := range rrs {
			if !slices.ContainsFunc(out, func(o dns.RR) bool { return dns.IsDuplicate(o, rr) }) {
				out = append(out, rr)
			}
		}
	}
	return out
}

func owns(rrs []dns.RR, name string) bool {
	return slices.ContainsFunc(rrs, func(rr dns.RR) bool {
		t := rr.Header().Rrtype
		return t != dns.TypeTXT && catalog.EqualFold(rr.Header().Name, name)
	})
}

// endOf follows the aliases of records from a name. It returns the last of them
// and its target, or "" if there is no alias or the target has records there.
func endOf(rrs []dns.RR, name string) (at int, target string) {
	for range rrs { // no chain is longer, so that a loop ends
		i := slices.IndexFunc(rrs, func(rr dns.RR) bool {
			return rr.Header().Rrtype == dns.TypeCNAME && catalog.EqualFold(rr.Header().Name, name)
		})
		if i < 0 {
			break
		}
		at, target = i, rrs[i].(*dns.CNAME).Target
		name = target
	}
	if target == "" || owns(rrs, target) {
		return at, ""
	}
	return at, target
}

// chainOf returns the records of a type that a name has, and the aliases that
// lead to them, each once.
func chainOf(rrs []dns.RR, name string, qtype uint16) []dns.RR {
	wanted := map[string]bool{catalog.Fold(name): true}
	var out []dns.RR
	for _, rr := range rrs {
		h := rr.Header()
		if !wanted[catalog.Fold(h.Name)] || h.Rrtype != qtype && h.Rrtype != dns.TypeCNAME ||
			slices.ContainsFunc(out, func(o dns.RR) bool { return dns.IsDuplicate(o, rr) }) {
			continue
		}
		if c, ok := rr.(*dns.CNAME); ok {
			wanted[catalog.Fold(c.Target)] = true
		}
		out = append(out, rr)
	}
	return out
}

func setTTL(rrs []dns.RR, ttl uint32) {
	for _, rr := range rrs {
		rr.Header().Ttl = ttl
	}
}
