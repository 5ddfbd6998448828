package gossip

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"consul.internal/internal/door"
	"consul.internal/internal/fault"
	"github.com/hashicorp/memberlist"
)

const (
	// maxPacket: the library sends at most 1,400 bytes; larger ones would only fill
	// its queues.
	maxPacket = 4096
	// maxStream bounds what one stream of a stranger brings: the state of 10,000
	// members has about 4 MiB.
	maxStream = 8 << 20
	// acceptPause after an error of the listener, so that a lack of files does not
	// spin.
	acceptPause = 50 * time.Millisecond
	// bindTries: a port that is free for streams may be taken for packets.
	bindTries = 10
)

// errEnded is what the library gets when the transport has ended. It must not look
// like a failure of the other side, so that a probe gives up at once.
var errEnded = errors.New("gossip transport has ended")

// transport carries memberlist's messages over a Network. Nothing comes in and no
// stream goes out before start, so that the pool is whole when the first does.
type transport struct {
	network     Network
	listener    net.Listener
	packets     net.PacketConn
	advertise   netip.AddrPort
	dialTimeout time.Duration
	// unanswered is told whom the library tries by a stream since it has not answered
	// a ping. It gives that less time than other streams, which have streamTimeout.
	unanswered    func(name string)
	streamTimeout time.Duration

	packetCh chan *memberlist.Packet
	streamCh chan net.Conn
	started  chan struct{}
	ctx      context.Context
	cancel   context.CancelFunc
	wg       sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

var _ memberlist.NodeAwareTransport = (*transport)(nil)

// newTransport binds the ports.
func newTransport(ctx context.Context, network Network, cfg Config) (*transport, error) {
	t := &transport{
		network: network, dialTimeout: cfg.Timers.DialTimeout,
		packetCh: make(chan *memberlist.Packet), streamCh: make(chan net.Conn),
		started: make(chan struct{}), conns: map[net.Conn]struct{}{},
	}
	if err := t.bind(ctx, cfg.Bind); err != nil {
		return nil, err
	}
	bound, err := netip.ParseAddrPort(t.listener.Addr().String())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the address of the listener: %w", err), t.listener.Close(), t.packets.Close())
	}
	addr, port := cfg.Advertise.Addr(), cfg.Advertise.Port()
	if !addr.IsValid() {
		addr = cfg.Bind.Addr()
	}
	if port == 0 {
		port = bound.Port()
	}
	t.advertise = netip.AddrPortFrom(addr.Unmap(), port)
	t.listener = door.Limit(t.listener, cfg.Streams, nil)
	t.ctx, t.cancel = context.WithCancel(context.WithoutCancel(ctx))
	t.wg.Go(t.accept)
	t.wg.Go(t.receive)
	return t, nil
}

func (t *transport) bind(ctx context.Context, at netip.AddrPort) error {
	var last error
	for range bindTries {
		l, err := t.network.Listen(ctx, at.String())
		if err != nil {
			return fault.With(fault.Unavailable, fmt.Errorf("listen for gossip streams on %s: %w", at, err))
		}
		p, err := t.network.ListenPacket(ctx, l.Addr().String())
		if err == nil {
			t.listener, t.packets = l, p
			return nil
		}
		last = errors.Join(fault.With(fault.Unavailable, fmt.Errorf("listen for gossip packets on %s: %w", l.Addr(), err)), l.Close())
		if at.Port() != 0 {
			break
		}
	}
	return last
}

// start lets messages in and out.
func (t *transport) start() { close(t.started) }

func (t *transport) waitStarted() bool {
	select {
	case <-t.started:
		return true
	case <-t.ctx.Done():
		return false
	}
}

func (t *transport) accept() {
	if !t.waitStarted() {
		return
	}
	for {
		c, err := t.listener.Accept()
		if err != nil {
			if t.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			select {
			case <-t.ctx.Done():
				return
			case <-time.After(acceptPause):
			}
			continue
		}
		c = t.track(&bounded{Conn: c, left: maxStream})
		select {
		case t.streamCh <- c:
		case <-t.ctx.Done():
			_ = c.Close() // shutdown closes it anyhow
			return
		}
	}
}

func (t *transport) receive() {
	if !t.waitStarted() {
		return
	}
	buf := make([]byte, maxPacket+1)
	for {
		n, from, err := t.packets.ReadFrom(buf)
		now := time.Now()
		if err != nil {
			if t.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			continue // such as the refusal of an earlier packet
		}
		if n == 0 || n > maxPacket {
			continue
		}
		p := &memberlist.Packet{Buf: append([]byte(nil), buf[:n]...), From: from, Timestamp: now}
		select {
		case t.packetCh <- p:
		case <-t.ctx.Done():
			return
		}
	}
}

// FinalAdvertiseAddr implements memberlist.Transport.
func (t *transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return t.advertise.Addr().AsSlice(), int(t.advertise.Port()), nil
}

// WriteTo implements memberlist.Transport.
func (t *transport) WriteTo(b []byte, addr string) (time.Time, error) {
	return t.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// WriteToAddress implements memberlist.NodeAwareTransport.
func (t *transport) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	addr, err := netip.ParseAddrPort(to.Addr)
	if err != nil {
		return time.Time{}, err
	}
	if t.ctx.Err() != nil {
		return time.Time{}, errEnded // the library still sends a little while it ends
	}
	_, err = t.packets.WriteTo(b, net.UDPAddrFromAddrPort(addr))
	return time.Now(), err
}

// PacketCh implements memberlist.Transport.
func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packetCh }

// StreamCh implements memberlist.Transport.
func (t *transport) StreamCh() <-chan net.Conn { return t.streamCh }

// DialTimeout implements memberlist.Transport.
func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (t *transport) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	if !t.waitStarted() {
		return nil, errEnded
	}
	if t.unanswered != nil && to.Name != "" && timeout != t.streamTimeout {
		t.unanswered(to.Name)
	}
	ctx, cancel := context.WithTimeout(t.ctx, min(timeout, t.dialTimeout))
	defer cancel()
	c, err := t.network.Dial(ctx, to.Addr)
	if err != nil {
		return nil, err
	}
	return t.track(c), nil
}

// Shutdown implements memberlist.Transport.
func (t *transport) Shutdown() error {
	t.cancel()
	errs := []error{t.listener.Close(), t.packets.Close()}
	t.mu.Lock()
	for c := range t.conns {
		_ = c.Close() // its user learns of it
	}
	t.conns = nil
	t.mu.Unlock()
	t.wg.Wait()
	return errors.Join(errs...)
}

// track remembers a connection so that Shutdown can end it.
func (t *transport) track(c net.Conn) net.Conn {
	tc := &tracked{Conn: c, t: t}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conns == nil {
		_ = c.Close() // whoever uses it sees it closed
		return tc
	}
	t.conns[c] = struct{}{}
	return tc
}

type tracked struct {
	net.Conn
	t *transport
}

func (c *tracked) Close() error {
	c.t.mu.Lock()
	delete(c.t.conns, c.Conn)
	c.t.mu.Unlock()
	return c.Conn.Close()
}

// bounded is a connection from which only so much can be read.
type bounded struct {
	net.Conn
	left int64
}

func (c *bounded) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := c.Conn.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}
