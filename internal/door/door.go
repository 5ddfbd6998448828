// Package door limits who may stand at a listener: so many connections in all,
// and so many from one address, refused before the first byte is read. Where a
// protocol tells which of its connections are at work, those that only wait can
// give way to newcomers and are bounded in what they make the process remember.
//
// It also has the rates at which something may be asked for, in all and by each
// source. It does not look at what is said on a connection; deadlines belong to
// the protocol behind the door.
package door

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"consul.internal/internal/fault"
)

// Limits of one door. Zero means no limit.
type Limits struct {
	Total      int
	PerAddress int
	// Replace lets a connection that has waited long give way when Total is reached,
	// instead of the newcomer: one from an address of which more wait than of the
	// newcomer's, of which few must wait where none of those is found. The protocol must
	// tell of its work by Busy.
	Replace bool
	// WaitingBytes bounds what has been read on all connections that wait.
	WaitingBytes int64
}

// fairShare is what each waiting connection may send whatever the others do: an
// ordinary request's header, so that a flood ends nobody but who is part of it.
const fairShare = 8 << 10

const (
	// few connections of an address may wait whoever the others are of, as long as some
	// of all only wait.
	few = 8
	// looked at are so many of those who have waited longest, for one to give way.
	looked = 32
)

// Door has one set of limits for one or several listeners.
type Door struct {
	refused func(net.Conn, netip.Addr)
	held    atomic.Int64 // bytes read by connections that wait
	bytes   atomic.Int64 // limits.WaitingBytes

	mu      sync.Mutex
	limits  Limits
	total   int
	byAddr  map[netip.Addr]int
	waits   map[netip.Addr]int // how many of an address wait
	waiting list.List          // of *Conn, the one that has waited longest first
}

// New makes a door. refused is told of a connection above a limit and closes it;
// it must not block. nil = it is closed without a word.
func New(limits Limits, refused func(net.Conn, netip.Addr)) *Door {
	if refused == nil {
		refused = func(c net.Conn, _ netip.Addr) { _ = c.Close() } // there is nobody to tell
	}
	d := &Door{refused: refused, byAddr: map[netip.Addr]int{}, waits: map[netip.Addr]int{}}
	d.SetLimits(limits)
	return d
}

// SetLimits changes the limits for those who come from now on.
func (d *Door) SetLimits(l Limits) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.limits = l
	d.bytes.Store(l.WaitingBytes)
}

// Listen wraps l. Accept goes on with the next connection after one above a limit.
func (d *Door) Listen(l net.Listener) net.Listener { return &listener{Listener: l, door: d} }

// Limit wraps l with limits of its own. A connection above one is closed at once
// and counted.
func Limit(l net.Listener, limits Limits, refused func(addr netip.Addr)) net.Listener {
	return New(limits, func(c net.Conn, a netip.Addr) {
		_ = c.Close() // refused: there is nobody to tell
		if refused != nil {
			refused(a)
		}
	}).Listen(l)
}

type listener struct {
	net.Listener
	door *Door
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if in := l.door.enter(c); in != nil {
			return in, nil
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

// enter lets a connection in, or gives it to refused and returns nil.
func (d *Door) enter(raw net.Conn) *Conn {
	c := &Conn{Conn: raw, door: d, addr: remote(raw)}
	d.mu.Lock()
	l := d.limits
	ok := !c.addr.IsValid() || l.PerAddress <= 0 || d.byAddr[c.addr] < l.PerAddress
	var gone *Conn
	if ok && l.Total > 0 && d.total >= l.Total {
		if gone = d.yielding(c.addr); gone != nil {
			d.leave(gone)
		} else {
			ok = false
		}
	}
	if ok {
		d.total++
		d.byAddr[c.addr]++
		d.wait(c)
	}
	d.mu.Unlock()
	if gone != nil {
		_ = gone.Conn.Close() // whoever serves it sees that
	}
	if !ok {
		d.refused(raw, c.addr)
		return nil
	}
	c.reads.Store(true)
	return c
}

// yielding is who gives way to a newcomer from an address, or nil. Places go from who
// has many that wait to who has fewer: a crowd that comes again and again, each time in another's
// place, would keep the process at work with its coming and going. d.mu is held.
func (d *Door) yielding(newcomer netip.Addr) *Conn {
	if !d.limits.Replace {
		return nil
	}
	has := d.waits[newcomer]
	for e, n := d.waiting.Front(), 0; e != nil && n < looked; e, n = e.Next(), n+1 {
		if c := e.Value.(*Conn); d.waits[c.addr] >= has+2 {
			return c
		}
	}
	if first := d.waiting.Front(); first != nil && (has < few || !newcomer.IsValid()) {
		return first.Value.(*Conn)
	}
	return nil
}

// leave gives a connection's place back. d.mu is held.
func (d *Door) leave(c *Conn) {
	if c.left {
		return
	}
	c.left = true
	d.work(c)
	d.total--
	if d.byAddr[c.addr]--; d.byAddr[c.addr] <= 0 {
		delete(d.byAddr, c.addr)
	}
}

// wait puts a connection among those that wait. d.mu is held.
func (d *Door) wait(c *Conn) {
	if d.limits.Replace && !c.left && c.place == nil {
		c.place = d.waiting.PushBack(c)
		d.waits[c.addr]++
	}
}

// work takes a connection from those that wait. d.mu is held.
func (d *Door) work(c *Conn) {
	if c.place == nil {
		return
	}
	d.waiting.Remove(c.place)
	c.place = nil
	if d.waits[c.addr]--; d.waits[c.addr] <= 0 {
		delete(d.waits, c.addr)
	}
}

// Conn is a connection that has been let in. It waits until Busy.
type Conn struct {
	net.Conn
	door  *Door
	addr  netip.Addr
	reads atomic.Bool  // what is read counts as of one that waits
	held  atomic.Int64 // so read

	place *list.Element // guarded by door.mu, as left
	left  bool
}

// Of finds the Conn below c, which may have layers such as TLS over it; nil if
// there is none.
func Of(c net.Conn) *Conn {
	for c != nil {
		switch t := c.(type) {
		case *Conn:
			return t
		case interface{ NetConn() net.Conn }:
			c = t.NetConn()
		default:
			return nil
		}
	}
	return nil
}

// Known says that a connection's request is known by its header: what is read from
// here on is not counted as of one that waits. A nil Conn does nothing.
func (c *Conn) Known() {
	if c == nil {
		return
	}
	c.reads.Store(false)
	c.door.held.Add(-c.held.Swap(0))
}

// Busy says that a connection's request is there and worked on: it does not give
// way to others now. A nil Conn does nothing.
func (c *Conn) Busy() {
	if c == nil {
		return
	}
	c.Known()
	c.door.mu.Lock()
	defer c.door.mu.Unlock()
	c.door.work(c)
}

// Idle says that a connection waits again.
func (c *Conn) Idle() {
	if c == nil {
		return
	}
	c.reads.Store(true)
	c.door.mu.Lock()
	defer c.door.mu.Unlock()
	c.door.wait(c)
}

// Read counts what connections that wait make the process remember.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n <= 0 || !c.reads.Load() {
		return n, err
	}
	mine := c.held.Add(int64(n))
	all := c.door.held.Add(int64(n))
	if limit := c.door.bytes.Load(); limit > 0 && all > limit && mine > fairShare {
		return n, fault.Newf(fault.RateLimited, "too much is read from connections that have not finished a request")
	}
	return n, err
}

// Close gives the place back.
func (c *Conn) Close() error {
	err := c.Conn.Close()
	c.Known()
	c.door.mu.Lock()
	defer c.door.mu.Unlock()
	c.door.leave(c)
	return err
}
