package dnsserver

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
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
// by then. What the fast path does not answer goes to the queue.
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

// waiting is a query for the full path.
type waiting struct {
	c     *net.UDPConn
	from  netip.AddrPort
	asked origin
	query *[]byte
	n     int // bytes of the query
}

// queue are the queries for the full path: so many are answered at once, as many
// more wait. When there is room for no more, the one that has waited longest goes:
// its asker is the first to have given up.
type queue struct {
	most int

	mu      sync.Mutex
	running int
	ring    []waiting // of most places, made when first needed
	first   int
	n       int // that wait
}

// add takes a query. It reports whether the caller must answer it, and returns
// one that was dropped for it, or nil.
func (q *queue) add(w waiting) (run bool, dropped *[]byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.running < q.most {
		q.running++
		return true, nil
	}
	if q.ring == nil {
		q.ring = make([]waiting, q.most)
	}
	if q.n == q.most {
		dropped = q.ring[q.first].query
		q.first = (q.first + 1) % q.most
		q.n--
	}
	q.ring[(q.first+q.n)%q.most] = w
	q.n++
	return false, dropped
}

// next is what who has answered a query answers next; false ends it.
func (q *queue) next() (waiting, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.n == 0 {
		q.running--
		return waiting{}, false
	}
	w := q.ring[q.first]
	q.ring[q.first] = waiting{}
	q.first = (q.first + 1) % q.most
	q.n--
	return w, true
}

// takeUDP has a query answered by the full path.
func (s *Server) takeUDP(c *net.UDPConn, from netip.AddrPort, asked origin, query []byte) {
	b := s.bufs.Get().(*[]byte)
	w := waiting{c, from, asked, b, copy(*b, query)}
	run, dropped := s.queue.add(w)
	if dropped != nil {
		s.count.dropped.Add(1)
		s.bufs.Put(dropped)
	}
	if !run {
		return
	}
	s.queries.Go(func() {
		for ok := true; ok; w, ok = s.queue.next() {
			s.answerUDP(&w)
		}
	})
}

func (s *Server) answerUDP(w *waiting) {
	out := s.bufs.Get().(*[]byte)
	if resp := s.respond((*w.query)[:w.n], *out, asker{addr: w.from.Addr().Unmap()}); len(resp) > 0 {
		// Nobody can be told that a reply could not be sent; the asker tries again.
		_ = w.asked.write(w.c, resp, w.from)
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
