package zone_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"consul.internal/dnsserver/zone"
)

func rr(t *testing.T, format string, args ...any) dns.RR {
	t.Helper()
	r, err := dns.NewRR(fmt.Sprintf(format, args...))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// message has n SRV records with their addresses and text of so many bytes.
func message(t *testing.T, n, text int) *dns.Msg {
	m := &dns.Msg{Question: []dns.Question{{Name: "big.service.consul.", Qtype: dns.TypeSRV, Qclass: dns.ClassINET}}}
	m.Compress = true
	for i := range n {
		target := fmt.Sprintf("n%03d.node.dc1.consul.", i)
		m.Answer = append(m.Answer, rr(t, "big.service.consul. 0 IN SRV 1 1 %d %s", 8000+i, target))
		m.Extra = append(m.Extra, rr(t, "%s 0 IN A 10.0.0.%d", target, i))
		if text > 0 {
			m.Extra = append(m.Extra, rr(t, "%s 0 IN TXT %s", target, strings.Repeat("x", text)))
		}
	}
	return m
}

func count(m *dns.Msg) (answers, addrs, texts int) {
	for _, r := range m.Extra {
		if r.Header().Rrtype == dns.TypeTXT {
			texts++
		} else {
			addrs++
		}
	}
	return len(m.Answer), addrs, texts
}

func TestFit(t *testing.T) {
	for _, tt := range []struct {
		name                  string
		n, text               int
		room                  zone.Room
		answers, addrs, texts int
		cut                   bool
	}{
		{"everything fits", 3, 10, zone.RoomUDP(0, 3), 3, 3, 3, false},
		{"too many for plain UDP", 4, 10, zone.RoomUDP(0, 3), 3, 3, 0, true},
		{"the limit has a limit", 20, 0, zone.Room{Size: 4096, Answers: zone.RoomUDP(0, 100).Answers}, 8, 8, 0, true},
		{"plain UDP counts names in full", 8, 0, zone.RoomUDP(0, 8), 5, 5, 0, true},
		{"EDNS does not", 40, 0, zone.RoomUDP(1232, 3), 21, 21, 0, true},
		{"all of 40 fit", 40, 0, zone.RoomUDP(4096, 3), 40, 40, 0, false},
		{"a small size counts as 512", 40, 0, zone.RoomUDP(100, 3), 3, 3, 0, true},
		{"text goes before answers", 12, 100, zone.RoomUDP(1232, 3), 12, 12, 4, false},
		{"no room for any text", 20, 100, zone.RoomUDP(1232, 3), 20, 20, 0, false},
		{"TCP", 40, 100, zone.RoomTCP(dns.TypeSRV), 40, 40, 40, false},
	} {
		m := message(t, tt.n, tt.text)
		cut, empty := zone.Fit(m, tt.room)
		a, d, x := count(m)
		if a != tt.answers || d != tt.addrs || x != tt.texts || cut != tt.cut || empty {
			t.Errorf("%s: %d answers, %d addresses, %d texts, cut %v, empty %v; want %d, %d, %d, %v", tt.name, a, d, x, cut, empty, tt.answers, tt.addrs, tt.texts, tt.cut)
		}
		b, err := m.Pack()
		if err != nil || len(b) > tt.room.Size {
			t.Errorf("%s: %d bytes of %d, %v", tt.name, len(b), tt.room.Size, err)
		}
		if !m.Compress {
			t.Errorf("%s: compression is off afterwards", tt.name)
		}
	}
}

// One record that is larger than the message leaves nothing, and says so.
func TestFitNothing(t *testing.T) {
	m := &dns.Msg{Question: []dns.Question{{Name: "n.node.consul.", Qtype: dns.TypeTXT, Qclass: dns.ClassINET}}}
	long := strings.Repeat("x", 250)
	m.Answer = []dns.RR{rr(t, `n.node.consul. 0 IN TXT "%s" "%s" "%s"`, long, long, long)}
	if cut, empty := zone.Fit(m, zone.RoomUDP(0, 3)); !cut || !empty || len(m.Answer) != 0 {
		t.Errorf("cut %v, empty %v, %d answers", cut, empty, len(m.Answer))
	}
}

// One answer whose addresses do not all fit keeps those that do.
func TestFitOneAnswer(t *testing.T) {
	m := &dns.Msg{Question: []dns.Question{{Name: "s.service.consul.", Qtype: dns.TypeSRV, Qclass: dns.ClassINET}}}
	m.Answer = []dns.RR{rr(t, "s.service.consul. 0 IN SRV 1 1 1 web.service.consul.")}
	for i := range 100 {
		m.Extra = append(m.Extra, rr(t, "web.service.consul. 0 IN A 10.0.0.%d", i))
	}
	cut, empty := zone.Fit(m, zone.RoomUDP(0, 3))
	if cut || empty || len(m.Answer) != 1 || len(m.Extra) == 0 || m.Len() > 512 {
		t.Errorf("cut %v, empty %v, %d answers, %d additional, %d bytes", cut, empty, len(m.Answer), len(m.Extra), m.Len())
	}
}

// A reply without answers keeps its SOA record.
func TestFitNegative(t *testing.T) {
	m := &dns.Msg{Question: []dns.Question{{Name: "x.consul.", Qtype: dns.TypeA, Qclass: dns.ClassINET}}}
	m.Ns = []dns.RR{rr(t, "consul. 0 IN SOA ns.consul. hostmaster.consul. 1 2 3 4 5")}
	if cut, empty := zone.Fit(m, zone.RoomUDP(0, 3)); cut || empty || len(m.Ns) != 1 {
		t.Errorf("cut %v, empty %v, %d in authority", cut, empty, len(m.Ns))
	}
}
