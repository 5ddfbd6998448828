//go:build !linux

package dnsserver

import (
	"net"
	"net/netip"
	"time"
)

// reader reads one datagram at a time, as every system can.
type reader struct {
	s   *Server
	c   *net.UDPConn
	buf [udpBuffer]byte
	out [udpBuffer]byte
}

// origin is nothing: replies leave from whatever address the system chooses.
type origin struct{}

// write sends a reply.
func (o *origin) write(c *net.UDPConn, resp []byte, to netip.AddrPort) error {
	_, err := c.WriteToUDPAddrPort(resp, to)
	return err
}

func tellAsked(*net.UDPConn) error { return nil }

func newReader(s *Server, c *net.UDPConn) *reader { return &reader{s: s, c: c} }

// read takes one query and answers it, or has it answered.
func (r *reader) read() error {
	n, from, err := r.c.ReadFromUDPAddrPort(r.buf[:])
	if err != nil {
		return err
	}
	r.s.count.udp.Add(1)
	who, asked := asker{addr: from.Addr().Unmap(), port: from.Port()}, time.Now()
	if resp := r.s.quick(r.buf[:n], r.out[:], who); resp != nil {
		observer := r.s.live.Load().observer
		if wish := observer.Wants(); wish.Any() {
			show(observer, wish, r.buf[:n], resp, who, asked)
		}
		if len(resp) > 0 {
			_, _ = r.c.WriteToUDPAddrPort(resp, from) // the asker tries again
		}
		return nil
	}
	r.s.takeUDP(r.c, from, origin{}, r.buf[:n])
	return nil
}
