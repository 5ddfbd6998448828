package transfer

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/zap"
)

const (
	headerLen = 12
	// messageSize is about how large a message of a transfer is, before names are
	// compressed: names further back than 16 KiB cannot be pointed to.
	messageSize = 16 << 10
	lengthLen   = 2 // before each message over TCP
)

// Asks reports whether a message asks for a transfer.
func Asks(wire []byte) bool {
	if len(wire) < headerLen || wire[2]&0xF8 != 0 || binary.BigEndian.Uint16(wire[4:]) != 1 {
		return false // no query
	}
	at := headerLen
	for at < len(wire) && wire[at] != 0 {
		if wire[at] > 63 {
			return false
		}
		at += 1 + int(wire[at])
	}
	if at+5 > len(wire) {
		return false
	}
	qtype := binary.BigEndian.Uint16(wire[at+1:])
	return qtype == dns.TypeAXFR || qtype == dns.TypeIXFR
}

// On reports whether the zone is given away to anybody.
func (s *Server) On() bool {
	cfg := s.config()
	return cfg.On()
}

// Serve answers a query for which Asks is true on a connection, whose next query may
// be read if it returns nil.
func (s *Server) Serve(ctx context.Context, c net.Conn, wire []byte, from netip.Addr) error {
	ctx, cancel := context.WithTimeout(ctx, s.limits.whole)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Now()) })
	defer stop()
	var m dns.Msg
	if m.Unpack(wire) != nil || len(m.Question) != 1 {
		return errors.New("no query")
	}
	cfg := s.config()
	signer, err := cfg.verify(&m, wire)
	out := &stream{ctx: ctx, conn: c, query: &m, signer: signer, limit: s.limits.message}
	switch {
	case err != nil:
		s.refuse(from, err)
		return out.fail(dns.RcodeNotAuth)
	case !signer.Good() && !cfg.allows(from):
		s.refuse(from, errors.New("neither its address is in dns_config.transfer.allow nor has it a key"))
		return out.fail(dns.RcodeRefused)
	}
	select {
	case s.turns <- struct{}{}:
		defer func() { <-s.turns }()
	case <-time.After(s.limits.turn):
		return out.fail(dns.RcodeServerFailure)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	v := s.current(ctx, s.limits.fresh)
	switch {
	case v == nil:
		return out.fail(dns.RcodeServerFailure)
	case dns.CanonicalName(m.Question[0].Name) != v.names.domain || m.Question[0].Qclass != dns.ClassINET:
		return out.fail(dns.RcodeNotAuth)
	}
	held, done := v.rights.while(ctx)
	defer done()
	defer context.AfterFunc(held, func() { _ = c.SetDeadline(time.Now()) })()
	out.ctx = held
	incremental, err := v.send(out)
	log := s.deps.Logger.With(zap.Stringer("to", from), zap.Uint32("serial", v.soa.Serial), zap.Int("records", out.records))
	switch {
	case err != nil:
		s.count.broken.Add(1)
		log.Warn("a zone transfer broke off", zap.Error(err))
	case incremental:
		s.count.incremental.Add(1)
		log.Debug("gave the changes of the zone")
	default:
		s.count.full.Add(1)
		log.Info("gave the whole zone")
	}
	return err
}

// Datagram answers a query for which Asks is true over UDP: with the SOA record,
// upon which a secondary that is behind comes by TCP (RFC 1995, section 2). The reply
// has not been packed.
func (s *Server) Datagram(ctx context.Context, m *dns.Msg, signer *Signer, from netip.Addr) *dns.Msg {
	r := new(dns.Msg)
	r.SetReply(m)
	cfg := s.config()
	if (signer == nil || !signer.Good()) && !cfg.allows(from) {
		s.refuse(from, errors.New("neither its address is in dns_config.transfer.allow nor has it a key"))
		r.Rcode = dns.RcodeRefused
		return r
	}
	v := s.current(ctx, s.limits.datagram)
	switch {
	case m.Question[0].Qtype == dns.TypeAXFR: // needs a connection (RFC 5936, section 4.2)
		r.Rcode = dns.RcodeNotImplemented
	case v == nil:
		r.Rcode = dns.RcodeServerFailure
	case dns.CanonicalName(m.Question[0].Name) != v.names.domain:
		r.Rcode = dns.RcodeNotAuth
	default:
		r.Authoritative = true
		r.Answer = []dns.RR{v.soa}
	}
	return r
}

// send gives what is asked for, and reports whether that were changes alone.
func (v *version) send(out *stream) (incremental bool, err error) {
	old, asked := serialOf(out.query)
	if asked && int32(v.soa.Serial-old) <= 0 { // RFC 1982: it has this one, or a later one of another server
		return true, errors.Join(out.add(v.soa), out.flush())
	}
	if asked {
		// The upper half of an index is not in a serial; the zone does not live so long.
		gone, come, ok := v.journal.since(v.serial - uint64(v.soa.Serial-old))
		if ok && len(gone)+len(come) < v.records {
			return true, v.sendChanges(out, old, gone, come)
		}
	}
	return false, v.sendAll(out)
}

// serialOf is what the asker of an IXFR has.
func serialOf(m *dns.Msg) (uint32, bool) {
	if m.Question[0].Qtype != dns.TypeIXFR {
		return 0, false
	}
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return soa.Serial, true
		}
	}
	return 0, false
}

func (v *version) sendAll(out *stream) error {
	if err := out.add(v.soa); err != nil {
		return err
	}
	for k, r := range v.blocks.all() {
		if err := v.put(out, k, r); err != nil {
			return err
		}
	}
	if err := out.add(v.soa); err != nil {
		return err
	}
	return out.flush()
}

// sendChanges gives the sum of all changes as one step (RFC 1995, section 5).
func (v *version) sendChanges(out *stream, old uint32, gone, come []change) error {
	before := *v.soa
	before.Serial = old
	steps := []struct {
		soa     *dns.SOA
		changes []change
	}{{v.soa, nil}, {&before, gone}, {v.soa, come}, {v.soa, nil}}
	for _, step := range steps {
		if err := out.add(step.soa); err != nil {
			return err
		}
		for _, c := range step.changes {
			if err := v.put(out, c.kind, c.rec); err != nil {
				return err
			}
		}
	}
	return out.flush()
}

// put sends a record under all its names.
func (v *version) put(out *stream, k kind, r record) (err error) {
	v.names.each(k, r, func(rr dns.RR) bool {
		err = out.add(rr)
		return err == nil
	})
	return err
}

// stream writes the messages of a transfer.
type stream struct {
	ctx     context.Context
	conn    net.Conn
	query   *dns.Msg
	signer  *Signer
	limit   time.Duration
	batch   []dns.RR
	size    int
	sent    bool // the first message has been
	records int
}

func (s *stream) add(rr dns.RR) error {
	s.batch = append(s.batch, rr)
	s.size += dns.Len(rr)
	s.records++
	if s.size < messageSize {
		return nil
	}
	return s.flush()
}

func (s *stream) flush() error {
	m := new(dns.Msg)
	m.SetReply(s.query)
	m.RecursionDesired, m.CheckingDisabled = false, false
	m.Authoritative, m.Compress = true, true
	m.Answer = s.batch
	if s.sent {
		m.Question = nil // RFC 5936, section 2.2.2
	}
	s.batch, s.size = nil, 0
	return s.write(m)
}

func (s *stream) fail(rcode int) error {
	m := new(dns.Msg)
	m.SetRcode(s.query, rcode)
	return s.write(m)
}

func (s *stream) write(m *dns.Msg) error {
	if opt := s.query.IsEdns0(); opt != nil && !s.sent {
		m.SetEdns0(max(opt.UDPSize(), dns.MinMsgSize), false)
	}
	s.sent = true
	body, err := s.signer.Pack(m)
	if err != nil {
		return err
	}
	if len(body) > dns.MaxMsgSize {
		return errors.New("a record does not fit a message")
	}
	out := make([]byte, lengthLen, lengthLen+len(body))
	binary.BigEndian.PutUint16(out, uint16(len(body)))
	if err := s.conn.SetWriteDeadline(time.Now().Add(s.limit)); err != nil {
		return err
	}
	if s.ctx.Err() != nil { // the deadline that its end has set must stand
		return context.Cause(s.ctx)
	}
	_, err = s.conn.Write(append(out, body...))
	return err
}
