package memnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

const (
	// firstEphemeral is where Linux begins to hand out ports.
	firstEphemeral = 32768
	// synTries as Linux sends a SYN: at 0, 1, 3, 7, 15, 31 and 63 s, giving up
	// at 127 s.
	synTries = 7
	// synWait is the pause after the first SYN; each further one doubles.
	synWait = time.Second
	// maxBacklog of connections that nobody has accepted; more are not answered.
	maxBacklog = 128
)

// Host is one machine of the network.
type Host struct {
	net  *Net
	addr netip.Addr

	// guarded by net.mu
	down      bool
	nextPort  uint16
	listeners map[netip.AddrPort]*listener
	packets   map[netip.AddrPort]*packetConn
}

// Addr is the host's address.
func (h *Host) Addr() netip.Addr { return h.addr }

// Down makes the host as one whose process has died: dials are refused, open
// streams reset, packets vanish. Its listeners stay, and work again after Up.
func (h *Host) Down() { h.net.change(func() { h.down = true }) }

// Up ends Down.
func (h *Host) Up() { h.net.change(func() { h.down = false }) }

// Listen takes streams at addr: "10.1.0.1:8300", ":8300" or "0.0.0.0:8300" for
// all of the host's addresses, port 0 for any that is free.
func (h *Host) Listen(ctx context.Context, addr string) (net.Listener, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if h.net.shut {
		return nil, net.ErrClosed
	}
	at, err := h.local(addr, func(ap netip.AddrPort) bool { return h.listeners[ap] != nil })
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Err: fmt.Errorf("%s on host %s: %w", addr, h.addr, err)}
	}
	l := &listener{host: h, at: at}
	h.listeners[at] = l
	return l, nil
}

// ListenPacket exchanges packets at addr, written as for Listen.
func (h *Host) ListenPacket(ctx context.Context, addr string) (net.PacketConn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return h.openPacket(addr)
}

func (h *Host) openPacket(addr string) (*packetConn, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if h.net.shut {
		return nil, net.ErrClosed
	}
	at, err := h.local(addr, func(ap netip.AddrPort) bool { return h.packets[ap] != nil })
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "udp", Err: fmt.Errorf("%s on host %s: %w", addr, h.addr, err)}
	}
	c := &packetConn{host: h, at: at}
	h.packets[at] = c
	return c, nil
}

// local reads an address of this host and finds a free port if it names none.
func (h *Host) local(addr string, taken func(netip.AddrPort) bool) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if host == "" {
		host = "::"
	}
	at, err := netip.ParseAddrPort(net.JoinHostPort(host, port))
	if err != nil {
		return netip.AddrPort{}, err
	}
	ip := at.Addr().Unmap()
	if ip != h.addr && !ip.IsUnspecified() && !ip.IsLoopback() {
		return netip.AddrPort{}, syscall.EADDRNOTAVAIL
	}
	if at.Port() != 0 {
		at = netip.AddrPortFrom(ip, at.Port())
		if taken(at) {
			return netip.AddrPort{}, syscall.EADDRINUSE
		}
		return at, nil
	}
	for range 65536 - firstEphemeral {
		at = netip.AddrPortFrom(ip, h.port())
		if !taken(at) {
			return at, nil
		}
	}
	return netip.AddrPort{}, syscall.EADDRINUSE
}

// port is the next ephemeral one.
func (h *Host) port() uint16 {
	p := h.nextPort
	h.nextPort++
	if h.nextPort < firstEphemeral {
		h.nextPort = firstEphemeral
	}
	return p
}

// find looks for who listens at an address of the host.
func find[T any](doors map[netip.AddrPort]T, at netip.AddrPort) (T, bool) {
	for _, ip := range []netip.Addr{at.Addr(), netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		if d, ok := doors[netip.AddrPortFrom(ip, at.Port())]; ok {
			return d, true
		}
	}
	var none T
	return none, false
}

// route tells the two hosts of a way from h to an address, and the address h
// has on it.
func (h *Host) route(to netip.AddrPort) (pair, netip.Addr) {
	if to.Addr().IsLoopback() {
		return pair{h.addr, h.addr}, to.Addr()
	}
	return pair{h.addr, to.Addr()}, h.addr
}

// Dial opens a stream to addr, an IP address and a port.
func (h *Host) Dial(ctx context.Context, addr string) (net.Conn, error) {
	return h.DialContext(ctx, "tcp", addr)
}

// DialContext is Dial in the form of a net.Dialer, for "udp" too.
func (h *Host) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: fmt.Errorf("memnet knows no names: %w", err)}
	}
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	if to.Addr().IsUnspecified() {
		to = netip.AddrPortFrom(h.addr, to.Port())
	}
	switch network {
	case "tcp", "tcp4", "tcp6":
		c, err := h.dial(ctx, to)
		if err != nil {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: err}
		}
		return c, nil
	case "udp", "udp4", "udp6":
		_, ip := h.route(to)
		pc, err := h.openPacket(netip.AddrPortFrom(ip, 0).String())
		if err != nil {
			return nil, err
		}
		return &udpConn{packetConn: pc, remote: net.UDPAddrFromAddrPort(to)}, nil
	}
	return nil, &net.OpError{Op: "dial", Net: network, Err: net.UnknownNetworkError(network)}
}

// dial does the handshake: a SYN and its answer, each tried again when lost.
func (h *Host) dial(ctx context.Context, to netip.AddrPort) (*conn, error) {
	way, ip := h.route(to)
	n := h.net
	n.mu.Lock()
	defer n.mu.Unlock()
	n.link(way).count.Dials++
	for try := range synTries {
		there, back, passes := n.handshake(way)
		if !passes {
			if err := n.sleep(ctx, synWait<<try); err != nil {
				return nil, err
			}
			continue
		}
		if err := n.sleep(ctx, there); err != nil {
			return nil, err
		}
		c, err := h.knock(way, netip.AddrPortFrom(ip, h.port()), to)
		if errors.Is(err, errBacklog) {
			if err := n.sleep(ctx, synWait<<try); err != nil {
				return nil, err
			}
			continue
		}
		if sleepErr := n.sleep(ctx, back); sleepErr != nil {
			if c != nil {
				c.closeLocked()
			}
			return nil, sleepErr
		}
		if err != nil {
			n.link(way).count.Refused++
			return nil, err
		}
		return c, nil
	}
	return nil, syscall.ETIMEDOUT
}

// handshake draws whether a SYN and its answer pass, and how long they take.
func (n *Net) handshake(way pair) (there, back time.Duration, passes bool) {
	if n.stalled(way) {
		return 0, 0, false
	}
	for _, w := range []pair{way, way.back()} {
		if happens(&n.link(w).streams, n.rule(w).Loss) {
			return 0, 0, false
		}
	}
	return n.rule(way).latency(&n.link(way).streams), n.rule(way.back()).latency(&n.link(way.back()).streams), true
}

var errBacklog = errors.New("backlog full")

// knock is the SYN's arrival.
func (h *Host) knock(way pair, from, to netip.AddrPort) (*conn, error) {
	n := h.net
	if n.refused(way) {
		return nil, syscall.ECONNREFUSED
	}
	l, ok := find(n.hosts[way.to].listeners, to)
	if !ok {
		return nil, syscall.ECONNREFUSED
	}
	if len(l.backlog) >= maxBacklog {
		return nil, errBacklog
	}
	mine, theirs := n.connect(way, from, to)
	l.backlog = append(l.backlog, theirs)
	l.ready.wake()
	return mine, nil
}

// sleep gives the lock up for d.
func (n *Net) sleep(ctx context.Context, d time.Duration) error {
	for until := time.Now().Add(d); !n.shut && ctx.Err() == nil && until.After(time.Now()); {
		await(&n.mu, &n.ended, ctx.Done(), until)
	}
	if n.shut {
		return net.ErrClosed
	}
	return ctx.Err()
}
