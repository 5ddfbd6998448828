package remote

import (
	"context"
	"net"
	"sync/atomic"
	"time"
)

// line is one connection that remembers whether it has heard anything.
type line struct {
	net.Conn
	heard atomic.Bool
}

func (l *line) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	if n > 0 {
		l.heard.Store(true)
	}
	return n, err
}

// begin and end count the calls under way.
func (c *Conn) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	if c.timer == nil && !c.closed {
		c.missed = 0
		if c.line != nil {
			c.line.heard.Store(false)
		}
		c.lookAfter(pingInterval)
	}
}

func (c *Conn) end() {
	c.mu.Lock()
	c.calls--
	last := c.calls == 0 && c.retired
	c.mu.Unlock()
	if last {
		c.HangUp()
	}
}

// lookAfter arranges the next look at the connection.
func (c *Conn) lookAfter(d time.Duration) {
	c.wg.Add(1)
	c.timer = time.AfterFunc(d, c.look)
}

// look closes a connection that has calls under way and has shown no sign of life
// in pingMisses intervals; its calls fail, and the next ones connect anew. A
// silent one is asked for a sign. Nobody looks while nothing is under way.
func (c *Conn) look() {
	defer c.wg.Done()
	start := time.Now()
	c.mu.Lock()
	if c.calls == 0 || c.closed {
		c.timer = nil
		c.mu.Unlock()
		return
	}
	l, dead := c.line, false
	silent := l != nil && !l.heard.Swap(false)
	if silent {
		c.missed++
		dead = c.missed >= pingMisses
	} else {
		c.missed = 0
	}
	c.mu.Unlock()
	switch {
	case dead:
		_ = l.Close() // it is given up; there is nothing to learn from an error
	case silent:
		ctx, cancel := context.WithTimeout(c.life, pingInterval)
		_ = c.Ping(ctx) // what counts is whether the connection hears anything
		cancel()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		c.timer = nil
		return
	}
	c.lookAfter(max(pingInterval-time.Since(start), 0))
}
