package dnsserver

import (
	"encoding/binary"
	"net"
	"runtime"
	"testing"

	"github.com/miekg/dns"
)

// Whatever a batch of datagrams holds, each reply of the fast path stands in the place
// of its query, has its ID and fits, and what is left to the full path ends.
func FuzzBatch(f *testing.F) {
	var all [][]byte
	for _, name := range []string{"web.service.consul.", "NOSUCH.service.consul.", "consul.", "web.service.consul.", "node-aa.node.consul."} {
		m := question(name, dns.TypeSRV)
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, b)
		f.Add(framed(b))
	}
	f.Add(framed(all...))
	f.Add(framed(append(all, nil, []byte{1, 2, 3})...))
	s := newServer(f, webSource(40), nil)
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = c.Close(); s.queue.Close() })
	r := newReader(s, c)
	f.Fuzz(func(t *testing.T, said []byte) {
		r.got.n = 0
		for rest := said; len(rest) >= lengthLen && r.got.n < batch; r.got.n++ {
			n := min(int(binary.BigEndian.Uint16(rest)), len(rest)-lengthLen, udpBuffer)
			copy(r.bufs[r.got.n], rest[lengthLen:lengthLen+n])
			r.in[r.got.n].n = uint32(n)
			rest = rest[lengthLen+n:]
		}
		if r.got.n == 0 {
			return
		}
		var ids []uint16
		for i := range r.got.n {
			id := uint16(0)
			if r.in[i].n >= 2 {
				id = binary.BigEndian.Uint16(r.bufs[i])
			}
			ids = append(ids, id)
		}
		r.answer()
		for s.queue.Working() > 0 {
			runtime.Gosched()
		}
		if s.Stats().Panics != 0 {
			t.Fatal("a panic")
		}
		for i := range r.ready {
			iov := r.out[i].hdr.Iov
			at := -1
			for k := range r.got.n {
				if iov == &r.iovs[k] {
					at = k
				}
			}
			if at < 0 {
				t.Fatalf("reply %d is nobody's", i)
			}
			reply := r.bufs[at][:iov.Len]
			var m dns.Msg
			if err := m.Unpack(reply); err != nil || !m.Response || m.Id != ids[at] {
				t.Fatalf("reply %x: %v", reply, err)
			}
			limit := 512
			if o := m.IsEdns0(); o != nil {
				limit = int(o.UDPSize())
			}
			if len(reply) > limit {
				t.Fatalf("%d bytes, the asker takes %d", len(reply), limit)
			}
		}
	})
}
