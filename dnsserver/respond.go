package dnsserver

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"runtime/debug"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/zap"

	"consul.internal/dnsserver/zone"
	"consul.internal/view"
)

// Offsets and bits of the message header (RFC 1035, section 4.1.1).
const (
	headerLen = 12

	flagQR = 1 << 15
	flagRD = 1 << 8
	flagCD = 1 << 4

	rcodeMask = 0xF // of the second byte of the flags

	opcodeShift = 11
	opcodeMask  = 0xF
)

// respond answers one message, into out if it has the room, and returns nil for
// what gets no reply. It is called by many goroutines.
func (s *Server) respond(req, out []byte, from asker) []byte {
	if resp := s.quick(req, out, from); resp != nil {
		return resp
	}
	resp := s.full(req, out, from)
	if s.fast != nil && len(resp) >= headerLen && resp[3]&rcodeMask != dns.RcodeServerFailure {
		learn(s, req, resp[3]&rcodeMask == dns.RcodeNameError)
	}
	return resp
}

// full is the full path, which answers everything.
func (s *Server) full(req, out []byte, from asker) (resp []byte) {
	if len(req) < headerLen {
		s.count.ignored.Add(1)
		return nil
	}
	flags := binary.BigEndian.Uint16(req[2:])
	if flags&flagQR != 0 { // a reply; answering it could go on for ever
		s.count.ignored.Add(1)
		return nil
	}
	var m dns.Msg
	defer func() {
		if v := recover(); v != nil {
			s.panicked(v)
			resp = s.failure(&m, req, out)
		}
	}()
	if flags>>opcodeShift&opcodeMask != dns.OpcodeQuery {
		return s.bare(req, out, dns.RcodeNotImplemented)
	}
	if !plausible(req) {
		return s.bare(req, out, dns.RcodeFormatError)
	}
	if err := m.Unpack(req); err != nil || len(m.Question) != 1 || m.Question[0].Qclass == 0 {
		return s.bare(req, out, dns.RcodeFormatError)
	}
	opt, ok := optOf(&m)
	if _, whole := cookieOf(opt); !ok || !whole {
		return s.bare(req, out, dns.RcodeFormatError)
	}
	start := s.timers.start()
	signer, r := secondary(s, &m, req, from)
	if r == nil {
		r = s.reply(&m, opt, from)
	}
	if signer == nil || !signer.Good() {
		refuseGuess(s, r, opt, from)
	}
	countName(s, r)
	s.guards.bake(r, opt, from)
	var err error
	if signer != nil {
		resp, err = packSigned(r, signer, opt, from)
	} else {
		resp, err = packPadded(r, out, opt, from)
	}
	if err != nil {
		s.deps.Logger.Warn("a reply cannot be packed", zap.String("name", m.Question[0].Name), zap.Error(err))
		return s.failure(&m, req, out)
	}
	s.count.rcode(r.Rcode)
	s.timers.observe(r, start)
	if signer != nil && signer.Good() {
		return resp // who has the key is no stranger
	}
	return rated(s, r, resp, out, opt, from)
}

// plausible reports whether the counts of a query's sections are ones that a
// query has: one question, at most the SOA of an IXFR, an OPT and a TSIG record.
func plausible(req []byte) bool {
	count := func(at int) uint16 { return binary.BigEndian.Uint16(req[at:]) }
	return count(4) == 1 && count(6) <= 1 && count(8) <= 1 && count(10) <= 2
}

// bare is a reply of a header alone, for what cannot be or was not understood.
func (s *Server) bare(req, out []byte, rcode int) []byte {
	if len(out) < headerLen {
		out = make([]byte, headerLen)
	}
	out = out[:headerLen]
	clear(out)
	flags := binary.BigEndian.Uint16(req[2:])
	copy(out, req[:2])
	flags = flagQR | flags&(opcodeMask<<opcodeShift|flagRD) | uint16(rcode)
	binary.BigEndian.PutUint16(out[2:], flags)
	s.count.rcode(rcode)
	return out
}

// failure is a SERVFAIL reply, with the question if it could be read: resolvers
// ignore replies to questions that they cannot see.
func (s *Server) failure(m *dns.Msg, req, out []byte) []byte {
	if len(m.Question) == 1 {
		r := new(dns.Msg)
		r.SetRcode(m, dns.RcodeServerFailure)
		if resp, err := r.PackBuffer(out); err == nil {
			s.count.rcode(dns.RcodeServerFailure)
			return resp
		}
	}
	return s.bare(req, out, dns.RcodeServerFailure)
}

// reply makes the reply to a well-formed query.
func (s *Server) reply(m *dns.Msg, opt *dns.OPT, from asker) *dns.Msg {
	live := s.live.Load()
	question := m.Question[0]
	r := &dns.Msg{}
	r.SetReply(m) // id, question, RD and CD
	r.Compress = !live.cfg.DisableCompression
	recursion := s.recursor.Serves(from.addr)
	r.RecursionAvailable = recursion
	if opt != nil && opt.Version() != 0 {
		r.Rcode = dns.RcodeBadVers
		r.Extra = []dns.RR{replyOPT(opt, 0)}
		return r
	}
	if question.Qclass != dns.ClassINET && question.Qclass != dns.ClassANY {
		a := live.cfg.Chaos.Answer(question)
		r.Rcode, r.Authoritative, r.Answer = a.Rcode, a.Authoritative, a.Answer
		if opt != nil {
			r.Extra = []dns.RR{replyOPT(opt, 0)}
		}
		return r
	}
	name := live.zone.Parse(question.Name)
	if name.Kind == zone.Outside && recursion {
		s.forward(r, m, opt, live, from)
		return r
	}
	if name.Kind == zone.Outside && s.recursor.On() {
		refuse(r, opt)
		return r
	}
	// The zone itself sees to it that names of the own datacenter take less.
	ctx, cancel := context.WithTimeout(s.ctx, live.cfg.Limits.RemoteTimeout)
	a := live.zone.AnswerTo(ctx, name, question.Qtype, clientOf(opt, from))
	cancel()
	if recursion && outside(name, question.Name, a.Rcode) {
		s.forward(r, m, opt, live, from)
		return r
	}
	r.Rcode, r.Authoritative = a.Rcode, a.Authoritative
	r.Answer, r.Ns, r.Extra = a.Answer, a.Ns, a.Extra
	if recursion {
		s.follow(r, m, name, opt, live, from)
	}
	s.finish(r, &a, live, opt, from)
	return r
}

// finish cuts a reply to size and gives it its OPT record.
func (s *Server) finish(r *dns.Msg, a *zone.Reply, live *live, opt *dns.OPT, from asker) {
	var info uint16
	switch {
	case errors.Is(a.Err, view.ErrNotReady):
		info = dns.ExtendedErrorCodeNotReady
	case a.Stale:
		s.count.stale.Add(1)
		info = dns.ExtendedErrorCodeStaleAnswer
	}
	if a.Err != nil {
		if ce := s.deps.Logger.Check(zap.DebugLevel, "no answer"); ce != nil {
			ce.Write(zap.String("name", r.Question[0].Name), zap.Error(a.Err))
		}
	}
	room := zone.RoomTCP(r.Question[0].Qtype)
	capped := false
	if !from.tcp {
		var size int
		size, capped = s.guards.sizeFor(&live.cfg.Guard, opt, from)
		room = zone.RoomUDP(size, live.cfg.UDPAnswerLimit)
	}
	var own *dns.OPT
	if opt != nil {
		own = replyOPT(opt, info)
		if e := subnetOf(own); e != nil && a.Scoped {
			e.SourceScope = e.SourceNetmask // RFC 7871, section 7.2.1
		}
		room.Size -= dns.Len(own)
	}
	cut, empty := zone.Fit(r, room)
	if cut {
		s.count.truncated.Add(1)
	}
	// A reply that had to lose every record would read as "there are none".
	r.Truncated = cut && (live.cfg.EnableTruncate || capped) || empty
	if own != nil {
		r.Extra = append(r.Extra, own)
	}
}

// clientOf is whom a question comes from: the client that a resolver asks for, as
// far as it says (RFC 7871), else the asker.
func clientOf(opt *dns.OPT, from asker) netip.Addr {
	if opt != nil {
		if e := subnetOf(opt); e != nil {
			if a, ok := netip.AddrFromSlice(e.Address); ok {
				return a.Unmap()
			}
		}
	}
	return from.addr.Unmap()
}

// optOf returns the query's OPT record, or nil; ok is false if there are several
// or it is not at the root (RFC 6891, section 6.1.1).
func optOf(m *dns.Msg) (opt *dns.OPT, ok bool) {
	for _, rr := range m.Extra {
		o, is := rr.(*dns.OPT)
		if !is {
			continue
		}
		if opt != nil || o.Hdr.Name != "." {
			return nil, false
		}
		opt = o
	}
	return opt, true
}

// replyOPT answers an OPT record: the asker's size comes back, and its client
// subnet with scope 0, since answers are the same for everybody (RFC 7871,
// section 7.2.1). Info is an Extended DNS Error (RFC 8914), or 0.
func replyOPT(opt *dns.OPT, info uint16) *dns.OPT {
	own := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
	own.SetUDPSize(max(opt.UDPSize(), zone.PlainSize))
	for _, o := range opt.Option {
		if e, ok := o.(*dns.EDNS0_SUBNET); ok {
			own.Option = append(own.Option, &dns.EDNS0_SUBNET{
				Code: e.Code, Family: e.Family, SourceNetmask: e.SourceNetmask, Address: e.Address,
			})
			break
		}
	}
	if cookie, _ := cookieOf(opt); len(cookie) > 0 {
		own.Option = append(own.Option, blankCookie())
	}
	if info != 0 {
		own.Option = append(own.Option, &dns.EDNS0_EDE{InfoCode: info})
	}
	return own
}

// panicked counts a bug that a query hit, and logs it, but not for each query of
// a flood.
func (s *Server) panicked(v any) {
	s.count.panics.Add(1)
	now := time.Now().UnixNano()
	last := s.logged.Load()
	if now-last < int64(s.live.Load().cfg.Limits.LogPanicInterval) || !s.logged.CompareAndSwap(last, now) {
		return
	}
	s.deps.Logger.Error("a query hit a bug and was answered SERVFAIL; please report it",
		zap.Any("panic", v), zap.ByteString("stack", debug.Stack()))
}
