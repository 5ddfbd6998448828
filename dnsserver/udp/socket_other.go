//go:build !linux

package udp

import (
	"net"
	"net/netip"
)

// Socket is a UDP socket.
type Socket struct{ *net.UDPConn }

// Origin is nothing: replies leave from whatever address the system chooses.
type Origin struct{}

// Take makes a Socket of a bound connection.
func Take(c *net.UDPConn, _ bool) (*Socket, error) { return &Socket{c}, nil }

// Write sends one reply.
func (s *Socket) Write(reply []byte, _ *Origin, to netip.AddrPort) error {
	_, err := s.WriteToUDPAddrPort(reply, to)
	return err
}

// Batch reads one datagram at a time, as every system can.
type Batch struct {
	s    *Socket
	buf  [Buffer]byte
	n    int // bytes of the datagram
	some int // datagrams in it
	from netip.AddrPort
	out  int // bytes of the reply; 0 is none
}

// NewBatch makes a Batch for what arrives at a socket.
func NewBatch(s *Socket) *Batch { return &Batch{s: s} }

// Read waits for a datagram.
func (b *Batch) Read() (waited bool, err error) {
	b.some, b.out = 0, 0
	if b.n, b.from, err = b.s.ReadFromUDPAddrPort(b.buf[:]); err != nil {
		return true, err
	}
	b.some = 1
	return true, nil
}

// Len is how many datagrams the batch has.
func (b *Batch) Len() int { return b.some }

// Query is a datagram.
func (b *Batch) Query(int) []byte { return b.buf[:b.n] }

// Buffer is where a datagram is, and its reply will be.
func (b *Batch) Buffer(int) []byte { return b.buf[:] }

// From is who sent a datagram.
func (b *Batch) From(int) netip.AddrPort { return b.from }

// Asked is nothing here.
func (b *Batch) Asked(int) Origin { return Origin{} }

// Reply says that the first n bytes of a datagram's buffer are its reply.
func (b *Batch) Reply(_, n int) { b.out = n }

// Flush sends the reply.
func (b *Batch) Flush() {
	if b.out > 0 {
		_, _ = b.s.WriteToUDPAddrPort(b.buf[:b.out], b.from) // the asker tries again
	}
	b.out = 0
}
