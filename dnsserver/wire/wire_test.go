package wire_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/miekg/dns"

	"consul.internal/dnsserver/wire"
)

func packed(t testing.TB, name string, change func(*dns.Msg)) []byte {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, dns.TypeA)
	if change != nil {
		change(m)
	}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParse(t *testing.T) {
	tests := []struct {
		what   string
		name   string
		change func(*dns.Msg)
		ok     bool
	}{
		{"plain", "web.service.consul.", nil, true},
		{"upper case", "Web.service.CONSUL.", nil, true},
		{"EDNS", "web.service.consul.", func(m *dns.Msg) { m.SetEdns0(1232, true) }, true},
		{"the root", ".", nil, false},
		{"another byte", "w\\@b.service.consul.", nil, false},
		{"class CH", "web.consul.", func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }, false},
		{"two questions", "web.consul.", func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }, false},
		{"a reply", "web.consul.", func(m *dns.Msg) { m.Response = true }, false},
		{"another opcode", "web.consul.", func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }, false},
		{"an EDNS version", "web.consul.", func(m *dns.Msg) { m.SetEdns0(1232, false); m.IsEdns0().SetVersion(1) }, false},
		{"an option", "web.consul.", func(m *dns.Msg) {
			m.SetEdns0(1232, false)
			m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_NSID{Code: dns.EDNS0NSID}}
		}, false},
	}
	for _, tt := range tests {
		var q wire.Query
		b := packed(t, tt.name, tt.change)
		if got := wire.Parse(b, &q); got != tt.ok {
			t.Errorf("%s: %v", tt.what, got)
			continue
		}
		if tt.ok && q.End > len(b) {
			t.Errorf("%s: the question ends at %d of %d", tt.what, q.End, len(b))
		}
		for n := range b {
			if wire.Parse(b[:n], &q) {
				t.Errorf("%s: read %d of %d bytes", tt.what, n, len(b))
			}
		}
		if wire.Parse(append(b, 0), &q) {
			t.Errorf("%s: something follows, and was taken", tt.what)
		}
	}
}

// What Parse takes, the library takes too, and reads the same.
func FuzzParse(f *testing.F) {
	f.Add(packed(f, "web.service.consul.", nil))
	f.Add(packed(f, "Web.service.consul.", func(m *dns.Msg) { m.SetEdns0(1232, true) }))
	negative, err := wire.NewNegative(wire.Zone{Domains: []string{"consul."}, Services: []string{"service", "service.dc1"}, Nodes: []string{"node"}, Words: []string{"service"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		var q wire.Query
		if !wire.Parse(msg, &q) {
			return
		}
		var m dns.Msg
		if err := m.Unpack(msg); err != nil || len(m.Question) != 1 || m.Question[0].Qtype != q.Type || m.Question[0].Qclass != dns.ClassINET {
			t.Fatalf("%v: %v", err, &m)
		}
		if o := m.IsEdns0(); (o != nil) != q.EDNS || o != nil && max(int(o.UDPSize()), 512) != q.Size {
			t.Fatalf("%+v: %v", q, &m)
		}
		if got := binary.BigEndian.Uint16(q.Key[q.KeyLen-2:]); got != q.Type {
			t.Fatalf("the key says type %d", got)
		}
		if _, _, ok := negative.Split(&q); !ok {
			return
		}
		r := &wire.Reply{Serial: 7, Room: wire.Room{Size: 512, Answers: 8}}
		out := make([]byte, 600)
		copy(out, msg)
		if n, ok := negative.Write(out, &q, r); ok {
			if err := m.Unpack(out[:n]); err != nil || m.Rcode != dns.RcodeNameError || len(m.Ns) != 1 {
				t.Fatalf("%v: %v", err, &m)
			}
		}
	})
}

// Every instance is in the first place about as often as every other.
func TestOrderIsFair(t *testing.T) {
	const n, rounds = 5, 20000
	a := wire.Addresses{Flags: wire.FlagAA}
	for i := range n {
		a.Records = append(a.Records, []byte{0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 10, 0, 0, byte(i)})
	}
	answer, err := a.Pack()
	if err != nil {
		t.Fatal(err)
	}
	msg := packed(t, "web.service.consul.", nil)
	var q wire.Query
	if !wire.Parse(msg, &q) {
		t.Fatal("not read")
	}
	var first [n]int
	out := make([]byte, 512)
	r := &wire.Reply{Room: wire.Room{Size: 512, Answers: 3, Plain: true}, TC: true}
	for range rounds {
		copy(out, msg)
		length, cut, ok := answer.Write(out, &q, r)
		if !ok || !cut || out[2]&2 == 0 || out[7] != 3 {
			t.Fatalf("ok %v, cut %v: %x", ok, cut, out[:length])
		}
		seen := map[byte]bool{}
		for rr := out[q.End:length]; len(rr) > 0; rr = rr[16:] {
			seen[rr[15]] = true
		}
		if len(seen) != 3 {
			t.Fatalf("%d addresses", len(seen))
		}
		first[out[q.End+15]]++
	}
	for i, k := range first {
		if k < rounds/n*9/10 || k > rounds/n*11/10 { // seven standard deviations
			t.Errorf("address %d came first %d times of %d", i, k, rounds)
		}
	}
}

// What does not fit is left to others, with the question as it was.
func TestNoRoom(t *testing.T) {
	s := wire.Static{Flags: wire.FlagAA, Answers: 1, Body: make([]byte, 100), Plain: 700, Size: 140, Serial: -1, Lower: true}
	answer, err := s.Pack()
	if err != nil {
		t.Fatal(err)
	}
	var q wire.Query
	msg := packed(t, "web.consul.", nil)
	wire.Parse(msg, &q)
	out := append(bytes.Clone(msg), make([]byte, 200)...)
	for _, room := range []wire.Room{{Size: 512, Answers: 1, Plain: true}, {Size: 139, Answers: 1}, {Size: 512}} {
		if _, _, ok := answer.Write(out, &q, &wire.Reply{Room: room}); ok || !bytes.Equal(out[:len(msg)], msg) {
			t.Errorf("%+v: written", room)
		}
	}
	if _, _, ok := answer.Write(out, &q, &wire.Reply{Room: wire.Room{Size: 140, Answers: 1}}); !ok {
		t.Error("not written where there is room")
	}
	wire.Parse(packed(t, "Web.consul.", nil), &q)
	if _, _, ok := answer.Write(out, &q, &wire.Reply{Room: wire.Room{Size: 512, Answers: 1}}); ok {
		t.Error("written for a name in upper case")
	}
}
