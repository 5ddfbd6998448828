package memnet

import (
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

const (
	// window is how much a stream holds that was written and not read, sender's
	// and receiver's buffers together; small enough for a test to fill.
	window = 256 << 10
	// mss is what one packet of a stream carries on Ethernet: the unit that a
	// lossy link loses.
	mss = 1448
)

// ending is how the writer of a direction has ended it.
type ending uint8

const (
	open  ending = iota
	fin          // writes no more
	gone         // writes no more and reads no more
	reset        // was cut off by force
)

// segment is a piece of a stream under way, or its end.
type segment struct {
	data []byte
	end  ending
	sent time.Time
	at   time.Time // of arrival; zero while it is stalled
}

// pipe is one direction of a stream. Everything in it is guarded by Net.mu.
type pipe struct {
	link  pair
	queue []segment
	size  int       // bytes in queue
	last  time.Time // when the latest segment arrives: order is kept
	deaf  bool      // the reader is gone: what is sent now is lost
	// moved: something in this or the other direction was sent, read or ended.
	// One for both, since a writer waits for room here and for the end there.
	moved *signal
}

// ended: the writer's end of this kind is under way or there.
func (p *pipe) ended(kind ending) bool {
	return len(p.queue) > 0 && p.queue[len(p.queue)-1].end >= kind
}

// send puts a segment under way.
func (n *Net) send(p *pipe, s segment) {
	if p.deaf {
		return
	}
	now := time.Now()
	s.sent = now
	if !n.stalled(p.link) {
		s.at = p.arrival(now.Add(n.lateness(p.link)))
	}
	p.queue = append(p.queue, s)
	p.size += len(s.data)
	count := &n.link(p.link).count
	count.Segments++
	count.StreamBytes += int64(len(s.data))
	p.moved.wake()
}

// arrival keeps segments in order.
func (p *pipe) arrival(at time.Time) time.Time {
	if at.Before(p.last) {
		at = p.last
	}
	p.last = at
	return at
}

// release puts what a cut has stalled under way again: the sender's timer has
// doubled all the while, and sends at its next beat.
func (n *Net) release(p *pipe, now time.Time) {
	var beat time.Time
	for i := range p.queue {
		s := &p.queue[i]
		if !s.at.IsZero() {
			continue
		}
		if beat.IsZero() {
			beat = nextRetry(s.sent, now)
		}
		s.at = p.arrival(beat.Add(n.lateness(p.link)))
	}
	if !beat.IsZero() {
		p.moved.wake()
	}
}

// sever ends a direction by force: what has arrived may still be read.
func (n *Net) sever(p *pipe, now time.Time) {
	kept := 0
	for kept < len(p.queue) && arrived(p.queue[kept].at, now) && p.queue[kept].end == open {
		kept++
	}
	for _, s := range p.queue[kept:] {
		p.size -= len(s.data)
	}
	s := segment{end: reset, sent: now}
	if !n.stalled(p.link) {
		s.at = now
	}
	p.queue, p.last = append(p.queue[:kept], s), now
	p.moved.wake()
}

// conn is one end of a stream.
type conn struct {
	net           *Net
	in, out       *pipe
	local, remote netip.AddrPort

	// guarded by net.mu
	closed            bool
	readDone          bool
	wroteEnd          bool
	readBy, writtenBy time.Time
}

var _ net.Conn = (*conn)(nil)

func (n *Net) connect(way pair, from, to netip.AddrPort) (mine, theirs *conn) {
	moved := &signal{}
	there, back := &pipe{link: way, moved: moved}, &pipe{link: way.back(), moved: moved}
	n.pipes[there], n.pipes[back] = struct{}{}, struct{}{}
	mine = &conn{net: n, in: back, out: there, local: from, remote: to}
	theirs = &conn{net: n, in: there, out: back, local: to, remote: from}
	return mine, theirs
}

func (c *conn) fault(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

// Read waits for what the other end sent.
func (c *conn) Read(b []byte) (int, error) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	for {
		now := time.Now()
		switch {
		case c.closed:
			return 0, c.fault("read", net.ErrClosed)
		case passed(c.readBy, now):
			return 0, c.fault("read", os.ErrDeadlineExceeded)
		case c.readDone:
			return 0, io.EOF
		case len(b) == 0:
			return 0, nil
		}
		var next time.Time
		if len(c.in.queue) > 0 {
			next = c.in.queue[0].at
		}
		if arrived(next, now) {
			if n := c.in.take(b, now); n > 0 {
				return n, nil
			}
			if c.in.queue[0].end == reset {
				return 0, c.fault("read", syscall.ECONNRESET)
			}
			return 0, io.EOF
		}
		await(&c.net.mu, c.in.moved, nil, c.readBy, next)
	}
}

// take copies what has arrived, up to the end of the stream.
func (p *pipe) take(b []byte, now time.Time) int {
	n := 0
	for n < len(b) && len(p.queue) > 0 {
		s := &p.queue[0]
		if s.end != open || !arrived(s.at, now) {
			break
		}
		k := copy(b[n:], s.data)
		n += k
		if s.data = s.data[k:]; len(s.data) == 0 {
			*s = segment{}
			p.queue = p.queue[1:]
		}
	}
	if n > 0 {
		p.size -= n
		p.moved.wake()
	}
	return n
}

// Write waits for room.
func (c *conn) Write(b []byte) (int, error) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	done := 0
	for {
		now := time.Now()
		// The other end's last word, if it reads no more.
		var lastWord segment
		if c.in.ended(gone) {
			lastWord = c.in.queue[len(c.in.queue)-1]
		}
		switch {
		case c.closed:
			return done, c.fault("write", net.ErrClosed)
		case passed(c.writtenBy, now):
			return done, c.fault("write", os.ErrDeadlineExceeded)
		case c.wroteEnd, lastWord.end == gone && arrived(lastWord.at, now):
			return done, c.fault("write", syscall.EPIPE)
		case lastWord.end == reset && arrived(lastWord.at, now):
			return done, c.fault("write", syscall.ECONNRESET)
		case done == len(b):
			return done, nil
		}
		if room := window - c.out.size; room > 0 {
			k := min(room, len(b)-done)
			if c.net.rule(c.out.link).Loss > 0 {
				k = min(k, mss)
			}
			c.net.send(c.out, segment{data: append([]byte(nil), b[done:done+k]...)})
			if done += k; done == len(b) {
				return done, nil
			}
			continue
		}
		await(&c.net.mu, c.out.moved, nil, c.writtenBy, lastWord.at)
	}
}

// CloseWrite ends this direction; the other goes on.
func (c *conn) CloseWrite() error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.closed {
		return c.fault("close", net.ErrClosed)
	}
	if !c.wroteEnd {
		c.wroteEnd = true
		c.net.send(c.out, segment{end: fin})
		c.out.moved.wake() // also if nobody is there to read it
	}
	return nil
}

// CloseRead reads no more; the other direction goes on.
func (c *conn) CloseRead() error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.closed {
		return c.fault("close", net.ErrClosed)
	}
	c.readDone = true
	c.in.moved.wake()
	return nil
}

// Close ends both directions. What was written before still arrives.
func (c *conn) Close() error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.closed {
		return c.fault("close", net.ErrClosed)
	}
	c.closeLocked()
	return nil
}

func (c *conn) closeLocked() {
	if c.closed {
		return
	}
	c.closed = true
	c.net.send(c.out, segment{end: gone})
	c.in.deaf = true
	c.in.queue, c.in.size = nil, 0
	delete(c.net.pipes, c.in)
	c.in.moved.wake()
}

func (c *conn) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(c.local) }
func (c *conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

func (c *conn) SetDeadline(t time.Time) error     { return c.setDeadline(&c.readBy, &c.writtenBy, t) }
func (c *conn) SetReadDeadline(t time.Time) error { return c.setDeadline(&c.readBy, &c.readBy, t) }
func (c *conn) SetWriteDeadline(t time.Time) error {
	return c.setDeadline(&c.writtenBy, &c.writtenBy, t)
}

func (c *conn) setDeadline(one, other *time.Time, t time.Time) error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.closed {
		return c.fault("set", net.ErrClosed)
	}
	*one, *other = t, t
	c.in.moved.wake()
	return nil
}

// listener takes streams at one address.
type listener struct {
	host *Host
	at   netip.AddrPort

	// guarded by the net's lock
	backlog []*conn
	ready   signal
	closed  bool
}

// Accept waits for the next stream.
func (l *listener) Accept() (net.Conn, error) {
	mu := &l.host.net.mu
	mu.Lock()
	defer mu.Unlock()
	for {
		if l.closed {
			return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
		}
		if len(l.backlog) > 0 {
			c := l.backlog[0]
			l.backlog = l.backlog[1:]
			return c, nil
		}
		await(mu, &l.ready, nil)
	}
}

// Close takes no more; streams that nobody accepted are closed.
func (l *listener) Close() error {
	l.host.net.mu.Lock()
	defer l.host.net.mu.Unlock()
	if l.closed {
		return &net.OpError{Op: "close", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
	}
	l.closeLocked()
	return nil
}

func (l *listener) closeLocked() {
	l.closed = true
	delete(l.host.listeners, l.at)
	for _, c := range l.backlog {
		c.closeLocked()
	}
	l.backlog = nil
	l.ready.wake()
}

func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.at) }
