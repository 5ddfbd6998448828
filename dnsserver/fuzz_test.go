package dnsserver

import (
	"encoding/binary"
	"testing"

	"github.com/miekg/dns"
)

// Whatever arrives, the server survives it; what it says is a message with the
// asker's ID that fits, and never the reply to a reply.
func FuzzRespond(f *testing.F) {
	for _, q := range []struct {
		name  string
		qtype uint16
	}{{"web.service.consul.", dns.TypeSRV}, {"consul.", dns.TypeSOA}, {"0a000001.addr.consul.", dns.TypeA},
		{"1.0.0.10.in-addr.arpa.", dns.TypePTR}, {"_web._tcp.dc1.consul.", dns.TypeSRV}, {"node-aa.node.consul.", dns.TypeANY}} {
		m := question(q.name, q.qtype)
		b, _ := m.Pack()
		f.Add(b, false)
		m.SetEdns0(1232, true)
		b, _ = m.Pack()
		f.Add(b, true)
	}
	s := newServer(f, webSource(40), nil)
	f.Fuzz(func(t *testing.T, req []byte, tcp bool) {
		before := s.Stats().Panics
		resp := s.respond(req, make([]byte, udpBuffer), asker{addr: local, tcp: tcp})
		if s.Stats().Panics != before {
			t.Fatal("a panic")
		}
		if len(req) < headerLen || req[2]&0x80 != 0 {
			if resp != nil {
				t.Fatal("answered what is no query")
			}
			return
		}
		var m dns.Msg
		if err := m.Unpack(resp); err != nil {
			t.Fatalf("the reply is broken: %v", err)
		}
		if m.Id != binary.BigEndian.Uint16(req) || !m.Response {
			t.Fatalf("reply header %+v", m.MsgHdr)
		}
		limit := 512
		if o := m.IsEdns0(); o != nil {
			limit = int(o.UDPSize())
		}
		if !tcp && len(resp) > limit {
			t.Fatalf("%d bytes, the asker takes %d", len(resp), limit)
		}
	})
}
