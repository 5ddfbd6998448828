// Package door limits who may stand at a listener: so many connections in all,
// and so many from one address, refused before the first byte is read.
//
// It does not look at what is said on a connection; deadlines belong to the
// protocol behind the door.
package door

import (
	"net"
	"net/netip"
	"sync"
)

// Limits of one listener. Zero means no limit.
type Limits struct {
	Total      int
	PerAddress int
}

// Limit wraps l. A connection above a limit is closed at once and counted, and
// Accept goes on with the next one.
func Limit(l net.Listener, limits Limits, refused func(addr netip.Addr)) net.Listener {
	return &listener{Listener: l, limits: limits, refused: refused, byAddr: map[netip.Addr]int{}}
}

type listener struct {
	net.Listener
	limits  Limits
	refused func(netip.Addr)

	mu     sync.Mutex
	total  int
	byAddr map[netip.Addr]int
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		addr := remote(c)
		if l.enter(addr) {
			return &conn{Conn: c, leave: sync.OnceFunc(func() { l.leave(addr) })}, nil
		}
		_ = c.Close() // refused: there is nobody to tell
		if l.refused != nil {
			l.refused(addr)
		}
	}
}

// remote is the peer's address; peers without one (unix sockets) share the zero address.
func remote(c net.Conn) netip.Addr {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

func (l *listener) enter(addr netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limits.Total > 0 && l.total >= l.limits.Total {
		return false
	}
	if addr.IsValid() && l.limits.PerAddress > 0 && l.byAddr[addr] >= l.limits.PerAddress {
		return false
	}
	l.total++
	l.byAddr[addr]++
	return true
}

func (l *listener) leave(addr netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if l.byAddr[addr]--; l.byAddr[addr] <= 0 {
		delete(l.byAddr, addr)
	}
}

type conn struct {
	net.Conn
	leave func()
}

func (c *conn) Close() error {
	err := c.Conn.Close()
	c.leave()
	return err
}
