package dnsserver

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"time"

	"consul.internal/dnsserver/udp"
)

const (
	// udpBuffer holds a query and then its reply. Larger replies get a buffer of their
	// own.
	udpBuffer = udp.Buffer
	// udpQueue is how much the system is asked to keep while the CPU is elsewhere:
	// about 5,000 small queries.
	udpQueue = 4 << 20
	// readPause follows an unexpected error of a socket, so that one that lasts
	// does not take a CPU.
	readPause = 5 * time.Millisecond
	// readTurn is how long a socket that always has something to read is read before
	// others get the processor.
	readTurn = 5 * time.Millisecond
)

// serveUDP reads a socket until the server closes, and then what has reached it
// by then. What the fast path does not answer goes to the queue.
func (s *Server) serveUDP(c *udp.Socket) {
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

// waiting is a query for the full path.
type waiting struct {
	c     *udp.Socket
	from  netip.AddrPort
	asked udp.Origin
	query *[]byte
	n     int // bytes of the query
}

// takeUDP has a query answered by the full path.
func (s *Server) takeUDP(c *udp.Socket, from netip.AddrPort, asked udp.Origin, query []byte) {
	b := s.bufs.Get().(*[]byte)
	w := waiting{c, from, asked, b, copy(*b, query)}
	run, dropped, full := s.queue.Add(w)
	if full {
		s.count.dropped.Add(1)
		s.bufs.Put(dropped.query)
	}
	if !run {
		return
	}
	s.queries.Go(func() {
		for ok := true; ok; w, ok = s.queue.Next() {
			s.answerUDP(&w)
		}
	})
}

func (s *Server) answerUDP(w *waiting) {
	leave := s.queue.Seat()
	defer leave()
	out := s.bufs.Get().(*[]byte)
	if resp := observed(s, (*w.query)[:w.n], *out, asker{addr: w.from.Addr().Unmap(), port: w.from.Port(), waits: leave}); len(resp) > 0 {
		// Nobody can be told that a reply could not be sent; the asker tries again.
		_ = w.c.Write(resp, &w.asked, w.from)
	}
	s.bufs.Put(w.query)
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
