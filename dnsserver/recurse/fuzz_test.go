package recurse

import (
	"context"
	"encoding/binary"
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Whatever an upstream sends, nothing panics, what comes out is a message with
// the asker's question that can be sent on, and what is kept is bounded.
func FuzzReply(f *testing.F) {
	q := new(dns.Msg)
	q.SetQuestion("wWw.example.com.", dns.TypeA)
	for _, records := range [][]string{
		nil, {"www.example.com. 60 IN CNAME example.com.", "example.com. 30 IN A 192.0.2.1"},
		{"example.com. 60 IN SOA ns.example.com. h.example.com. 1 2 3 4 50"}, {`www.example.com. 1 IN TXT "a"`, "www.example.com. 5 IN MX 5 mx.www.example.com."},
	} {
		wire, err := replyTo(q, 0, records...).Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire[2:], "wWw.example.com.", uint16(dns.TypeA), false)
		f.Add(wire[2:], "wWw.example.com.", uint16(dns.TypeANY), true)
	}
	f.Fuzz(func(t *testing.T, raw []byte, name string, qtype uint16, tcp bool) {
		if _, ok := dns.IsDomainName(name); !ok || !dns.IsFqdn(name) {
			return
		}
		dial := func(_ context.Context, network, _ string) (net.Conn, error) {
			return &echo{raw: raw, tcp: network == "tcp"}, nil
		}
		w := &world{}
		r := newRecursor(t, w, func(c *Config) { c.Limits.CacheBytes = 4096 }, one)
		r.deps.Dial = dial
		asked := Query{Question: dns.Question{Name: canonical(name), Qtype: qtype, Qclass: 1}, RD: true, TCP: tcp}
		for range 2 {
			a := r.Ask(t.Context(), asked)
			if (a.Msg == nil) == (a.Err == nil) {
				t.Fatalf("neither answer nor error: %+v", a)
			}
			if a.Msg == nil {
				continue
			}
			if len(a.Msg.Question) != 1 || a.Msg.Question[0].Name != asked.Question.Name {
				t.Fatalf("question %v, asked %v", a.Msg.Question, asked.Question)
			}
			if _, err := a.Msg.Pack(); err != nil {
				// Some records can be read and not be written; the door says SERVFAIL then.
				continue
			}
		}
		if s := r.Stats(); s.Panics != 0 || s.Bytes > 4096 || s.InFlight != 0 {
			t.Fatalf("%+v", s)
		}
	})
}

// echo answers what is written to it with the same ID, the question as it was
// spelled if the fuzzed reply has it in its place, and then the fuzzed bytes.
type echo struct {
	raw []byte
	tcp bool
	out []byte
}

func (e *echo) Write(b []byte) (int, error) {
	n := len(b)
	if e.tcp {
		b = b[2:]
	}
	out := append(append([]byte(nil), b[:2]...), e.raw...)
	// The name of the question, which is spelled at random, is given back.
	m := new(dns.Msg)
	if m.Unpack(b) == nil && len(out) > 12 {
		end := 12
		for end < len(b) && b[end] != 0 {
			end += int(b[end]) + 1
		}
		if end < len(out) && end < len(b) {
			copy(out[12:end], b[12:end])
		}
	}
	if e.tcp {
		out = append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...)
	}
	e.out = out
	return n, nil
}

func (e *echo) Read(b []byte) (int, error) {
	if len(e.out) == 0 {
		return 0, net.ErrClosed
	}
	n := copy(b, e.out)
	e.out = e.out[n:]
	if !e.tcp {
		e.out = nil
	}
	return n, nil
}

func (*echo) Close() error                     { return nil }
func (*echo) LocalAddr() net.Addr              { return &net.UDPAddr{} }
func (*echo) RemoteAddr() net.Addr             { return &net.UDPAddr{} }
func (*echo) SetDeadline(time.Time) error      { return nil }
func (*echo) SetReadDeadline(time.Time) error  { return nil }
func (*echo) SetWriteDeadline(time.Time) error { return nil }
