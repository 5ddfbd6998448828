package dnsserver

import (
	"bytes"
	"encoding/binary"
	"net"
	"testing"
	"time"

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

// spoken is a connection whose other side has said all that it has to say.
type spoken struct {
	net.Conn // nil: nothing else of it is used
	said     *bytes.Reader
	heard    bytes.Buffer
}

func (c *spoken) Read(b []byte) (int, error)       { return c.said.Read(b) }
func (c *spoken) Write(b []byte) (int, error)      { return c.heard.Write(b) }
func (c *spoken) Close() error                     { return nil }
func (c *spoken) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: local.AsSlice(), Port: 5353} }
func (c *spoken) SetReadDeadline(time.Time) error  { return nil }
func (c *spoken) SetWriteDeadline(time.Time) error { return nil }

// framed are messages as they go over TCP.
func framed(msgs ...[]byte) (out []byte) {
	for _, m := range msgs {
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(m))), m...)
	}
	return out
}

// Whatever is said on a connection, each query that was whole is answered in its turn
// by one whole message, and nothing else is said.
func FuzzTCP(f *testing.F) {
	var all [][]byte
	for _, name := range []string{"web.service.consul.", "nosuch.service.consul.", "consul.", "_web._tcp.service.consul."} {
		m := question(name, dns.TypeSRV)
		m.SetEdns0(4096, false)
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, b)
		f.Add(framed(b))
	}
	f.Add(framed(all...))
	f.Add(framed(all[0], all[1][:20], all[2]))
	f.Add(framed(append(all, nil)...))
	f.Add(framed(all...)[:50])
	axfr, err := question("consul.", dns.TypeAXFR).Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(framed(axfr, all[0]))
	s := newServer(f, webSource(40), nil)
	f.Fuzz(func(t *testing.T, said []byte) {
		c := &spoken{said: bytes.NewReader(said)}
		s.serveConn(c)
		if s.Stats().Panics != 0 {
			t.Fatal("a panic")
		}
		heard := c.heard.Bytes()
		for rest := said; len(rest) >= lengthLen; {
			n := int(binary.BigEndian.Uint16(rest))
			if n < headerLen || n > maxTCPQuery || len(rest) < lengthLen+n {
				break
			}
			query := rest[lengthLen : lengthLen+n]
			rest = rest[lengthLen+n:]
			if query[2]&0x80 != 0 {
				continue // a reply is not answered
			}
			if len(heard) < lengthLen || len(heard) < lengthLen+int(binary.BigEndian.Uint16(heard)) {
				t.Fatalf("query %x has no reply", query)
			}
			size := int(binary.BigEndian.Uint16(heard))
			reply := heard[lengthLen : lengthLen+size]
			heard = heard[lengthLen+size:]
			var m dns.Msg
			if err := m.Unpack(reply); err != nil || !m.Response || m.Id != binary.BigEndian.Uint16(query) {
				t.Fatalf("query %x, reply %x: %v", query, reply, err)
			}
		}
		if len(heard) > 0 {
			t.Fatalf("%x is no reply to anything", heard)
		}
	})
}
