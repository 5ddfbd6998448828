package memnet

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"
)

const (
	// maxPacket is the largest datagram that UDP over IPv4 carries.
	maxPacket = 65507
	// maxQueued packets wait at one address; more are dropped, as a kernel's
	// receive buffer drops them.
	maxQueued = 1024
)

type packet struct {
	data  []byte
	from  netip.AddrPort
	at    time.Time
	order uint64 // of those that arrive together
}

// packetConn exchanges packets at one address.
type packetConn struct {
	host *Host
	at   netip.AddrPort

	// guarded by the net's lock
	queue  []packet // by time of arrival
	moved  signal
	closed bool
	readBy time.Time
}

var _ net.PacketConn = (*packetConn)(nil)

func (c *packetConn) fault(op string, err error) error {
	return &net.OpError{Op: op, Net: "udp", Source: c.LocalAddr(), Err: err}
}

// ReadFrom waits for the next packet.
func (c *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	mu := &c.host.net.mu
	mu.Lock()
	defer mu.Unlock()
	for {
		now := time.Now()
		switch {
		case c.closed:
			return 0, nil, c.fault("read", net.ErrClosed)
		case passed(c.readBy, now):
			return 0, nil, c.fault("read", os.ErrDeadlineExceeded)
		}
		var next time.Time
		if len(c.queue) > 0 {
			next = c.queue[0].at
		}
		if arrived(next, now) {
			p := c.queue[0]
			c.queue = slices.Delete(c.queue, 0, 1)
			return copy(b, p.data), net.UDPAddrFromAddrPort(p.from), nil
		}
		await(mu, &c.moved, nil, c.readBy, next)
	}
}

// WriteTo sends a packet, which may or may not arrive.
func (c *packetConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	to, err := target(addr)
	if err != nil {
		return 0, c.fault("write", err)
	}
	if len(b) > maxPacket {
		return 0, c.fault("write", syscall.EMSGSIZE)
	}
	n := c.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.closed {
		return 0, c.fault("write", net.ErrClosed)
	}
	way, ip := c.host.route(to)
	if !c.at.Addr().IsUnspecified() {
		ip = c.at.Addr()
	}
	rule, link := n.rule(way), n.link(way)
	link.count.Packets++
	link.count.PacketBytes += int64(len(b))
	switch {
	case rule.Cut || rule.Refuse:
		link.count.PacketsCut++
		return len(b), nil
	case happens(&link.packets, rule.Loss):
		link.count.PacketsLost++
		return len(b), nil
	}
	peer, ok := find(n.hosts[way.to].packets, to)
	if !ok || len(peer.queue) >= maxQueued {
		link.count.PacketsLeft++
		return len(b), nil
	}
	n.order++
	peer.put(packet{
		data: append([]byte(nil), b...), from: netip.AddrPortFrom(ip, c.at.Port()),
		at: time.Now().Add(rule.latency(&link.packets)), order: n.order,
	})
	return len(b), nil
}

func target(addr net.Addr) (netip.AddrPort, error) {
	var to netip.AddrPort
	if u, ok := addr.(*net.UDPAddr); ok {
		to = u.AddrPort()
	} else {
		var err error
		if to, err = netip.ParseAddrPort(addr.String()); err != nil {
			return to, err
		}
	}
	return netip.AddrPortFrom(to.Addr().Unmap(), to.Port()), nil
}

// put keeps the queue in the order of arrival: with jitter a later packet may
// overtake.
func (c *packetConn) put(p packet) {
	i, _ := slices.BinarySearchFunc(c.queue, p, func(a, b packet) int {
		if d := a.at.Compare(b.at); d != 0 {
			return d
		}
		if a.order < b.order {
			return -1
		}
		return 1
	})
	c.queue = slices.Insert(c.queue, i, p)
	c.moved.wake()
}

func (c *packetConn) Close() error {
	c.host.net.mu.Lock()
	defer c.host.net.mu.Unlock()
	if c.closed {
		return c.fault("close", net.ErrClosed)
	}
	c.closeLocked()
	return nil
}

func (c *packetConn) closeLocked() {
	c.closed = true
	c.queue = nil
	delete(c.host.packets, c.at)
	c.moved.wake()
}

func (c *packetConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.at) }

func (c *packetConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

func (c *packetConn) SetReadDeadline(t time.Time) error {
	c.host.net.mu.Lock()
	defer c.host.net.mu.Unlock()
	if c.closed {
		return c.fault("set", net.ErrClosed)
	}
	c.readBy = t
	c.moved.wake()
	return nil
}

// SetWriteDeadline does nothing: sending never waits.
func (c *packetConn) SetWriteDeadline(time.Time) error { return nil }

// udpConn is a packetConn with one peer.
type udpConn struct {
	*packetConn
	remote *net.UDPAddr
}

func (c *udpConn) Read(b []byte) (int, error) {
	for {
		n, from, err := c.ReadFrom(b)
		if err != nil || from.String() == c.remote.String() {
			return n, err
		}
	}
}

func (c *udpConn) Write(b []byte) (int, error) { return c.WriteTo(b, c.remote) }
func (c *udpConn) RemoteAddr() net.Addr        { return c.remote }
