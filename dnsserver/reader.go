package dnsserver

import (
	"math/rand/v2"
	"runtime"
	"time"

	"consul.internal/dnsserver/udp"
)

// reader takes datagrams from a socket by the batch, answers what the fast path can
// and has the rest answered.
type reader struct {
	s     *Server
	sock  *udp.Socket
	clerk *clerk
	*udp.Batch
	since time.Time // when it was last the others' turn
}

func newReader(s *Server, sock *udp.Socket) *reader {
	return &reader{s: s, sock: sock, clerk: newClerk(s), Batch: udp.NewBatch(sock)}
}

// read deals with one batch.
func (r *reader) read() error {
	waited, err := r.Read()
	if err != nil {
		return err
	}
	r.s.count.udp.Add(uint64(r.Len()))
	r.answer()
	r.Flush()
	// A loop that always finds something to read would keep others from this CPU
	// for as long as the scheduler's time slice: raft and gossip among them. Who has
	// waited has let them, or there are more processors than who read. Who yields may
	// wait for a time slice, and what arrives meanwhile must find room.
	now := time.Now()
	switch {
	case waited:
		r.since = now
	case now.Sub(r.since) >= readTurn:
		runtime.Gosched()
		r.since = time.Now()
	}
	return nil
}

// answer puts what the fast path can answer among the replies.
func (r *reader) answer() {
	done := 0
	if r.s.fast != nil {
		done = r.quick()
	}
	// What is left of the batch after a bug, or where there is no fast path.
	for i := done; i < r.Len(); i++ {
		r.s.takeUDP(r.sock, r.From(i), r.Asked(i), r.Query(i))
	}
}

// quick answers the batch by the fast path and leaves to the full path what it
// cannot. It returns how many of the queries have been dealt with.
func (r *reader) quick() (done int) {
	defer func() {
		if v := recover(); v != nil {
			r.s.panicked(v)
		}
	}()
	c, n := r.clerk, r.Len()
	var queries [batch][]byte
	for i := range n {
		queries[i] = r.Query(i)
	}
	c.read(queries[:n])
	observer := c.live.observer
	pick := rand.IntN(n) // one stands for the batch: none costs much, and each is as likely
	for i := range n {
		at := r.From(i)
		from := asker{addr: at.Addr().Unmap(), port: at.Port()}
		wish := observer.Wants()
		if wish.Any() {
			c.scratch = append(c.scratch[:0], queries[i]...)
		}
		length := c.answer(i, r.Buffer(i), from)
		done = i + 1
		if length == 0 {
			r.s.takeUDP(r.sock, at, r.Asked(i), queries[i])
			continue
		}
		if wish.Any() {
			show(observer, wish, c.scratch, r.Buffer(i)[:max(length, 0)], from, c.now)
		}
		if length < 0 {
			continue // no reply
		}
		if i == pick {
			c.countName(i, length, r.Buffer(i), n)
		}
		r.Reply(i, length)
	}
	c.tally.flush(r.s, c.now, n)
	return done
}
