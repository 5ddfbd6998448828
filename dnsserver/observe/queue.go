package observe

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Door is the way that a question came, by its number in dnstap.
type Door uint8

// The doors of a DNS server.
const (
	UDP   Door = 1
	TCP   Door = 2
	TLS   Door = 3
	HTTPS Door = 4
)

// Exchange is a question and its answer. The bytes are copied by who keeps them.
type Exchange struct {
	From     netip.AddrPort // port 0 is unknown
	Door     Door
	Asked    time.Time
	Answered time.Time
	Query    []byte
	Reply    []byte // empty: none was sent
}

const (
	// queueLen and queueBytes are what waits at most: some tens of milliseconds of a
	// flood, and a few seconds of any usual load.
	queueLen   = 4096
	queueBytes = 8 << 20
)

// queue holds exchanges until somebody has written them.
type queue struct {
	ch      chan *Exchange
	spare   sync.Pool // *Exchange
	bytes   atomic.Int64
	dropped atomic.Uint64
	written atomic.Uint64
}

func newQueue() *queue { return &queue{ch: make(chan *Exchange, queueLen)} }

// put takes a copy of an exchange, or counts it as dropped. It never waits.
func (q *queue) put(e *Exchange) {
	n := int64(len(e.Query) + len(e.Reply))
	if q.bytes.Add(n) > queueBytes {
		q.bytes.Add(-n)
		q.dropped.Add(1)
		return
	}
	c, ok := q.spare.Get().(*Exchange)
	if !ok {
		c = new(Exchange)
	}
	query, reply := append(c.Query[:0], e.Query...), append(c.Reply[:0], e.Reply...)
	*c = *e
	c.Query, c.Reply = query, reply
	select {
	case q.ch <- c:
	default:
		q.done(c, false)
	}
}

// done gives an exchange back that has been taken from the queue.
func (q *queue) done(e *Exchange, written bool) {
	q.bytes.Add(-int64(len(e.Query) + len(e.Reply)))
	if written {
		q.written.Add(1)
	} else {
		q.dropped.Add(1)
	}
	q.spare.Put(e)
}
