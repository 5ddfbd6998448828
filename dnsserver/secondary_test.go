package dnsserver

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/zap"

	"consul.internal/catalog"
	"consul.internal/dnsserver/transfer"
	"consul.internal/view"
)

const transferSecret = "c2VjcmV0IG9mIHNpeHRlZW4gYnl0ZXM="

// giving is a server over a small catalog that gives its zone to who has a key.
func giving(t *testing.T, keys ...transfer.Key) *Server {
	t.Helper()
	d := view.NewDirectory()
	n := &catalog.Node{Name: "n1", Address: "10.0.0.1"}
	whole := []catalog.Change{{Op: catalog.NodeSet, Node: n}, {Op: catalog.InstanceSet, Instance: &catalog.Instance{Node: n, Service: &catalog.Service{ID: "web", Name: "web", Port: 80}}}}
	d.Apply(catalog.Batch{Index: 7, Reset: true, Changes: whole})
	d.SetReady()
	tr, err := transfer.New(transfer.Deps{
		Logger: zap.NewNop(), Index: d.Index, Ready: func(context.Context) error { return nil },
		Whole: func() []catalog.Change { return whole },
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.Addrs, cfg.TLSAddrs = []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}
	cfg.Transfer.Keys = keys
	s, err := New(cfg, Deps{Source: view.NewLocal("dc1", d), Logger: zap.NewNop(), TLS: certificate(t), Transfer: tr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func signed(m *dns.Msg, name string) *dns.Msg {
	return m.SetTsig(name, dns.HmacSHA256, 300, time.Now().Unix())
}

// TestTransfer: the zone is given over TCP and TLS, between other questions of the
// same connection.
func TestTransfer(t *testing.T) {
	s := giving(t, transfer.Key{Name: "second", Algorithm: "hmac-sha256", Secret: transferSecret})
	secrets := map[string]string{"second.": transferSecret}
	for network, addr := range map[string]string{"tcp": s.Addrs()[0].String(), "tcp-tls": TLSAddrs(s)[0].String()} {
		client := dns.Client{Net: network, TsigSecret: secrets, TLSConfig: &tls.Config{InsecureSkipVerify: true}}
		c, err := client.Dial(addr)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			r, _, err := client.ExchangeWithConn(new(dns.Msg).SetQuestion("web.service.consul.", dns.TypeA), c)
			if err != nil || len(r.Answer) != 1 {
				t.Fatalf("%s: %v %v", network, r, err)
			}
			in, err := (&dns.Transfer{Conn: c, TsigSecret: secrets}).In(signed(new(dns.Msg).SetAxfr("consul."), "second."), "")
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for e := range in {
				if e.Error != nil {
					t.Fatalf("%s: %v", network, e.Error)
				}
				for _, rr := range e.RR {
					names = append(names, rr.Header().Name)
				}
			}
			if len(names) < 8 || names[0] != "consul." {
				t.Errorf("%s: %v", network, names)
			}
			if c, err = client.Dial(addr); err != nil { // the library closes one after a transfer
				t.Fatal(err)
			}
		}
		_ = c.Close()
	}
}

// TestSigned: any question may be signed, and its reply is; wrong ones are NOTAUTH.
func TestSigned(t *testing.T) {
	s := giving(t, transfer.Key{Name: "second", Algorithm: "hmac-sha256", Secret: transferSecret})
	addr := s.Addrs()[0].String()
	for _, network := range []string{"udp", "tcp"} {
		client := dns.Client{Net: network, TsigSecret: map[string]string{"second.": transferSecret, "third.": transferSecret}}
		r, _, err := client.Exchange(signed(new(dns.Msg).SetQuestion("consul.", dns.TypeSOA), "second."), addr)
		if err != nil || len(r.Answer) != 1 || r.IsTsig() == nil {
			t.Errorf("%s: %v %v", network, r, err)
		}
		r, _, err = client.Exchange(signed(new(dns.Msg).SetQuestion("consul.", dns.TypeSOA), "third."), addr)
		if r == nil || r.Rcode != dns.RcodeNotAuth || len(r.Answer) != 0 {
			t.Errorf("%s, unknown key: %v %v", network, r, err)
		}
	}
	client := dns.Client{TsigSecret: map[string]string{"second.": transferSecret}}
	r, _, err := client.Exchange(signed(new(dns.Msg).SetIxfr("consul.", 1, "ns.", "x."), "second."), addr)
	if err != nil || len(r.Answer) != 1 || r.Answer[0].(*dns.SOA).Serial != 7 {
		t.Errorf("IXFR over UDP: %v %v", r, err)
	}
	if r, _, err = client.Exchange(new(dns.Msg).SetIxfr("consul.", 1, "ns.", "x."), addr); err != nil || r.Rcode != dns.RcodeRefused {
		t.Errorf("IXFR of a stranger over UDP: %v %v", r, err)
	}
}

// faulty is a connection that hits a bug.
type faulty struct{ net.Conn }

func (faulty) SetDeadline(time.Time) error      { panic("bug") }
func (faulty) SetReadDeadline(time.Time) error  { panic("bug") }
func (faulty) SetWriteDeadline(time.Time) error { panic("bug") }
func (faulty) Write([]byte) (int, error)        { panic("bug") }

// TestTransferPanics: a bug costs the transfer its connection, and nothing else.
func TestTransferPanics(t *testing.T) {
	s := giving(t, transfer.Key{Name: "second", Algorithm: "hmac-sha256", Secret: transferSecret})
	query, err := new(dns.Msg).SetAxfr("consul.").Pack()
	if err != nil {
		t.Fatal(err)
	}
	if done, err := transfers(s, faulty{}, query, asker{addr: netip.MustParseAddr("127.0.0.1"), tcp: true}); !done || err == nil || s.Stats().Panics != 1 {
		t.Errorf("%v, %v, %d panics", done, err, s.Stats().Panics)
	}
}

// TestNoTransfer: without a configuration nothing is different.
func TestNoTransfer(t *testing.T) {
	s := giving(t)
	for _, network := range []string{"udp", "tcp"} {
		client := dns.Client{Net: network}
		r, _, err := client.Exchange(new(dns.Msg).SetAxfr("consul."), s.Addrs()[0].String())
		if err != nil || r.Rcode != dns.RcodeNotImplemented {
			t.Errorf("%s: %v %v", network, r, err)
		}
	}
}

// TestPadding: replies over an encrypted way are filled up for who asks so.
func TestPadding(t *testing.T) {
	s := giving(t)
	ask := func(size int, padded bool, from asker) []byte {
		t.Helper()
		m := new(dns.Msg).SetQuestion("web.service.consul.", dns.TypeSRV)
		m.SetEdns0(uint16(size), false)
		if padded {
			m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_PADDING{Padding: make([]byte, 9)})
		}
		wire, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		resp := s.respond(wire, make([]byte, maxTCPQuery), from)
		if err := new(dns.Msg).Unpack(resp); err != nil {
			t.Fatal(err)
		}
		return resp
	}
	lo := netip.MustParseAddr("127.0.0.1")
	hidden, open := asker{addr: lo, tcp: true, hidden: true}, asker{addr: lo, tcp: true}
	if n := len(ask(1232, true, hidden)); n != padBlock {
		t.Errorf("a padded query gets %d bytes", n)
	}
	plain := len(ask(1232, false, hidden))
	if plain >= padBlock || len(ask(1232, true, open)) != plain {
		t.Errorf("%d bytes without padding", plain)
	}
}
