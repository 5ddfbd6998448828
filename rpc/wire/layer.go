package wire

import (
	"context"
	"fmt"
	"net"
	"sync"
)

// inbox is a listener whose connections a Mux has judged.
type inbox struct {
	mux    *Mux
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newInbox(m *Mux) *inbox {
	// Without a buffer nothing can be left lying when the taker has gone.
	return &inbox{mux: m, conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept waits for a connection.
func (b *inbox) Accept() (net.Conn, error) {
	if b.isClosed() {
		return nil, net.ErrClosed
	}
	select {
	case c := <-b.conns:
		return c, nil
	case <-b.closed:
	case <-b.mux.ctx.Done():
	}
	return nil, net.ErrClosed
}

// Close ends Accept; the port stays open for the other side.
func (b *inbox) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}

// Addr is that of the port; an address that says nothing before Open.
func (b *inbox) Addr() net.Addr {
	if a := b.mux.Addr(); a != nil {
		return a
	}
	return new(net.TCPAddr)
}

func (b *inbox) isClosed() bool {
	select {
	case <-b.closed:
		return true
	case <-b.mux.ctx.Done():
		return true
	default:
		return false
	}
}

// hand gives a connection to Accept; false if nobody took it in time.
func (b *inbox) hand(ctx context.Context, c net.Conn) bool {
	select {
	case b.conns <- c:
		return true
	case <-b.closed:
	case <-ctx.Done():
	}
	return false
}

// Layer is the raft side of a Mux: a listener, and Dial.
type Layer struct{ *inbox }

// Dial opens a raft stream to the server with node ID target at addr. A server
// that refuses gives a *RefusedError.
func (l *Layer) Dial(ctx context.Context, addr, target string) (net.Conn, error) {
	m := l.mux
	h := hello{Cluster: m.deps.ClusterID(), From: m.deps.NodeID, To: target}
	first, err := h.append([]byte{firstRaft})
	if err != nil {
		return nil, err
	}
	var a answer
	c, err := m.dial(ctx, "", addr, func(c net.Conn) error {
		if _, err := c.Write(first); err != nil {
			return err
		}
		a, err = readAnswer(c)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("raft stream to %s: %w", addr, err)
	}
	if a.reason == Accepted {
		return c, nil
	}
	_ = c.Close() // the server has closed it too
	e := &RefusedError{Reason: a.reason, Addr: addr, Ours: h.Cluster, Theirs: a.id}
	if a.reason == OtherNode {
		e.Ours = target
	}
	return nil, e
}
