package wire

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"consul.internal/internal/fault"
)

// DialCalls opens a connection for calls to a server of the own datacenter.
func (m *Mux) DialCalls(ctx context.Context, addr string) (net.Conn, error) {
	return m.DialCallsIn(ctx, "", addr)
}

// DialCallsIn opens a connection for calls to a server of a datacenter; "" means
// the own one.
func (m *Mux) DialCallsIn(ctx context.Context, datacenter, addr string) (net.Conn, error) {
	c, err := m.dial(ctx, datacenter, addr, func(c net.Conn) error {
		_, err := c.Write([]byte{firstCalls})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("connection to server %s: %w", addr, err)
	}
	return c, nil
}

// dial connects, agrees on TLS if it is configured, and greets; all of it within
// the handshake timeout and the context.
func (m *Mux) dial(ctx context.Context, datacenter, addr string, greet func(net.Conn) error) (net.Conn, error) {
	if m.ctx.Err() != nil {
		return nil, errClosed
	}
	ctx, cancel := context.WithTimeout(ctx, m.cfg.HandshakeTimeout)
	defer cancel()
	stop := context.AfterFunc(m.ctx, cancel)
	defer stop()
	c, err := m.deps.Network.Dial(ctx, addr)
	if err != nil {
		return nil, fault.With(fault.Unavailable, err)
	}
	out, err := m.greet(ctx, c, datacenter, greet)
	if err != nil {
		_ = c.Close() // the error says why
		return nil, err
	}
	return out, nil
}

func (m *Mux) greet(ctx context.Context, c net.Conn, datacenter string, greet func(net.Conn) error) (net.Conn, error) {
	// A context that ends ends whatever is read or written.
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	out := c
	if d := m.deps.TLS; d.Outgoing() {
		t := tls.Client(c, d.Client(d.ServerName(datacenter)))
		if err := t.HandshakeContext(ctx); err != nil {
			return nil, fault.Newf(fault.Unavailable, "TLS handshake: %w", err)
		}
		out = t
	}
	if err := greet(out); err != nil {
		if cause := ctx.Err(); cause != nil {
			err = fmt.Errorf("%w (%w)", cause, err)
		}
		return nil, fault.With(fault.Unavailable, err)
	}
	if !stop() {
		return nil, fault.With(fault.Unavailable, context.Cause(ctx))
	}
	return out, nil
}
