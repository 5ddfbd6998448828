package dnsserver

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"time"
)

const (
	// udpBuffer holds a query and then its reply. Queries are far smaller; larger
	// replies get a buffer of their own.
	udpBuffer = 4096
	// udpQueue is how much the system is asked to keep while the CPU is elsewhere:
	// about 5,000 small queries.
	udpQueue = 4 << 20
	// readPause follows an unexpected error of a socket, so that one that lasts
	// does not take a CPU.
	readPause = 5 * time.Millisecond
)

// serveUDP reads a socket until the server closes, and then what has reached it
// by then. What the fast path does not answer is answered by a goroutine of its
// own, of which there are so many and no more: a query that finds none free is
// dropped, and its asker tries again.
func (s *Server) serveUDP(c *net.UDPConn) {
	r := newReader(s, c)
	quiet := false // nothing came since the socket's deadline was last moved
	for {
		err := r.read()
		switch {
		case err == nil:
			quiet = false
		case errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrDeadlineExceeded) && (quiet || !s.linger(c)):
			return // only Close sets a deadline
		case errors.Is(err, os.ErrDeadlineExceeded):
			quiet = true
		default:
			s.pause(readPause)
		}
	}
}

// takeUDP has a query answered by the full path, if there is room.
func (s *Server) takeUDP(c *net.UDPConn, from netip.AddrPort, query []byte) {
	select {
	case s.slots <- struct{}{}:
		b := s.bufs.Get().(*[]byte)
		n := copy(*b, query)
		s.queries.Go(func() {
			defer func() { <-s.slots }()
			s.answerUDP(c, from, b, n)
		})
	default:
		s.count.dropped.Add(1)
	}
}

func (s *Server) answerUDP(c *net.UDPConn, from netip.AddrPort, query *[]byte, n int) {
	out := s.bufs.Get().(*[]byte)
	if resp := s.respond((*query)[:n], *out, asker{addr: from.Addr().Unmap()}); resp != nil {
		// Nobody can be told that a reply could not be sent; the asker tries again.
		_, _ = c.WriteToUDPAddrPort(resp, from)
	}
	s.bufs.Put(query)
	s.bufs.Put(out)
}

// pause waits, but not beyond the server's end.
func (s *Server) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.ctx.Done():
	}
}
