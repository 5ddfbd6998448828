package dnsserver

import (
	"encoding/binary"
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"consul.internal/dnsserver/udp"
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
	addr := c.LocalAddr().String()
	if err := c.SetReadBuffer(udpQueue); err != nil { // for a whole batch of the longest
		f.Fatal(err)
	}
	sock, err := udp.Take(c, true)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = sock.Close(); s.queue.Close() })
	r := newReader(s, sock)
	asker, err := net.Dial("udp4", addr)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = asker.Close() })
	in := make([]byte, 1<<16)
	f.Fuzz(func(t *testing.T, said []byte) {
		ids := map[uint16]bool{}
		sent := 0
		for rest := said; len(rest) >= lengthLen && sent < batch; sent++ {
			n := min(int(binary.BigEndian.Uint16(rest)), len(rest)-lengthLen, udpBuffer)
			q := rest[lengthLen : lengthLen+n]
			if _, err := asker.Write(q); err != nil {
				t.Fatal(err)
			}
			if len(q) >= 2 {
				ids[binary.BigEndian.Uint16(q)] = true
			}
			rest = rest[lengthLen+n:]
		}
		if err := sock.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		for read := 0; read < sent; read += r.Len() {
			if err := r.read(); err != nil {
				t.Fatal(err)
			}
		}
		for s.queue.Working() > 0 {
			runtime.Gosched()
		}
		if s.Stats().Panics != 0 {
			t.Fatal("a panic")
		}
		for {
			n := there(t, asker.(*net.UDPConn), in)
			if n == 0 {
				return
			}
			reply := in[:n]
			if n == headerLen { // of what could not be understood, or is none of ours
				if id := binary.BigEndian.Uint16(reply); !ids[id] {
					t.Fatalf("reply %x to nobody", reply)
				}
				continue
			}
			var m dns.Msg
			if err := m.Unpack(reply); err != nil || !m.Response || !ids[m.Id] {
				t.Fatalf("reply %x: %v", reply, err)
			}
			limit := 512
			if o := m.IsEdns0(); o != nil {
				limit = max(limit, int(o.UDPSize()))
			}
			if n > limit {
				t.Fatalf("%d bytes, the asker takes %d", n, limit)
			}
		}
	})
}

// there reads a datagram that has arrived; it is none where 0 is returned.
func there(t *testing.T, c *net.UDPConn, in []byte) (n int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) { n, _, _ = syscall.Recvfrom(int(fd), in, syscall.MSG_DONTWAIT) })
	if err != nil {
		t.Fatal(err)
	}
	return max(n, 0)
}
