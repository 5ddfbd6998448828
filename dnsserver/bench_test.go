package dnsserver

import (
	"net"
	"testing"

	"github.com/miekg/dns"
	"go.uber.org/zap"
)

var benchQuestions = []struct {
	name, question string
	qtype          uint16
}{
	{"A", "web.service.consul.", dns.TypeA},
	{"SRV", "web.service.consul.", dns.TypeSRV},
	{"NXDOMAIN", "nosuch.service.consul.", dns.TypeA},
}

func benchServer(b *testing.B) *Server {
	cfg := DefaultConfig()
	cfg.Addrs = []string{"127.0.0.1:0"}
	s, err := New(cfg, Deps{Source: webSource(3), Logger: zap.NewNop()})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkRespond is a query without the network: 3 records, 3 and their
// addresses, none.
func BenchmarkRespond(b *testing.B) {
	for _, q := range benchQuestions {
		b.Run(q.name, func(b *testing.B) {
			s := benchServer(b)
			req, err := question(q.question, q.qtype).Pack()
			if err != nil {
				b.Fatal(err)
			}
			out := make([]byte, udpBuffer)
			b.ReportAllocs()
			for b.Loop() {
				if s.respond(req, out, asker{addr: local}) == nil {
					b.Fatal("no reply")
				}
			}
		})
	}
}

// BenchmarkFast is a query out of a batch that the fast path answers, without the network.
func BenchmarkFast(b *testing.B) {
	for _, q := range benchQuestions {
		b.Run(q.name, func(b *testing.B) {
			s := benchServer(b)
			req, err := question(q.question, q.qtype).Pack()
			if err != nil {
				b.Fatal(err)
			}
			for range 2 { // packed after the first answer
				s.respond(req, make([]byte, udpBuffer), asker{addr: local})
			}
			c := newClerk(s)
			msgs, bufs := make([][]byte, batch), make([][]byte, batch)
			for i := range msgs {
				bufs[i] = make([]byte, udpBuffer)
			}
			b.ReportAllocs()
			for n := 0; n < b.N; n += batch {
				for i := range msgs {
					msgs[i] = bufs[i][:copy(bufs[i], req)]
				}
				c.read(msgs)
				for i := range msgs {
					if c.answer(i, bufs[i], asker{addr: local}) == 0 {
						b.Fatal("it took the full path")
					}
				}
				c.tally.flush(s, c.now, len(msgs))
			}
		})
	}
}

// BenchmarkUDP is a query and its reply over loopback, one after the other.
func BenchmarkUDP(b *testing.B) {
	for _, q := range benchQuestions {
		b.Run(q.name, func(b *testing.B) {
			s := benchServer(b)
			if err := s.Open(b.Context()); err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			c, err := net.Dial("udp", s.Addrs()[0].String())
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			req, err := question(q.question, q.qtype).Pack()
			if err != nil {
				b.Fatal(err)
			}
			in := make([]byte, 512)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Write(req); err != nil {
					b.Fatal(err)
				}
				if _, err := c.Read(in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
