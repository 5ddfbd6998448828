package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"consul.internal/internal/door"
	"consul.internal/internal/fault"
)

// Mux is one port for calls and raft, and the dialer towards other such ports.
type Mux struct {
	cfg   Config
	deps  Deps
	log   *zap.Logger // for what strangers cause: a few lines of a kind and no more
	slots chan struct{}
	door  *door.Door
	raft  *Layer
	calls *inbox
	stats counts

	ctx    context.Context // ends with Close
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup
	once   sync.Once
	err    error // of Close

	mu       sync.Mutex
	listener net.Listener
	pending  map[net.Conn]struct{} // accepted, not yet handed out
	closed   bool
}

// errClosed is why what stands at Close ends.
var errClosed = fmt.Errorf("the port was closed: %w", net.ErrClosed)

// errSilent is a connection that was closed before its first byte.
var errSilent = errors.New("closed before the first byte")

const (
	// loggedPer and loggedOf bound the lines about strangers to loggedOf of each
	// kind within loggedPer: a flood must not fill the log.
	loggedPer = 10 * time.Second
	loggedOf  = 20
)

// New makes a Mux that does nothing yet.
func New(cfg Config, deps Deps) (*Mux, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Network == nil {
		deps.Network = tcp{}
	}
	if deps.Logger == nil {
		deps.Logger = zap.NewNop()
	}
	if deps.ClusterID == nil {
		deps.ClusterID = func() string { return "" }
	}
	m := &Mux{cfg: cfg, deps: deps, pending: map[net.Conn]struct{}{}, slots: make(chan struct{}, tlsSlots+cfg.ConnsPerAddress)}
	m.log = deps.Logger.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(c, loggedPer, loggedOf, 0)
	}))
	m.door = door.New(m.limits(cfg.ConnsPerAddress), func(c net.Conn, a netip.Addr) {
		_ = c.Close() // there is nobody to tell
		m.stats.limited.Add(1)
		m.log.Warn("Connection refused: too many from this address or in all (limits.rpc_max_conns_per_client)", zap.Stringer("from", a))
	})
	m.ctx, m.cancel = context.WithCancelCause(context.Background())
	m.calls = newInbox(m)
	m.raft = &Layer{inbox: newInbox(m)}
	return m, nil
}

// Open listens and returns; without an address it only lets dial.
func (m *Mux) Open(ctx context.Context) error {
	if m.cfg.Addr == "" {
		return nil
	}
	l, err := m.deps.Network.Listen(ctx, m.cfg.Addr)
	if err != nil {
		return fmt.Errorf("server port: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		_ = l.Close()
		return errClosed
	}
	m.listener = m.door.Listen(l)
	m.wg.Go(func() { m.accept(m.listener) })
	return nil
}

// limits are those of the door. Who has not said what it is gives way when there
// are too many; a TLS handshake is all that it may send.
func (m *Mux) limits(perAddress int) door.Limits {
	return door.Limits{Total: m.cfg.Conns, PerAddress: perAddress, Replace: true, WaitingBytes: maxWaiting}
}

// SetLimit changes how many connections one address may have, 0 = any number, for
// those that come from now on.
func (m *Mux) SetLimit(perAddress int) { m.door.SetLimits(m.limits(perAddress)) }

// Close ends the port and what was not yet handed out, and waits. Connections
// that were handed out belong to whoever took them.
func (m *Mux) Close() error {
	m.once.Do(func() {
		m.cancel(errClosed)
		m.mu.Lock()
		m.closed = true
		if m.listener != nil {
			m.err = m.listener.Close()
		}
		for c := range m.pending {
			_ = c.Close() // ends its handshake
		}
		m.mu.Unlock()
		m.wg.Wait()
	})
	return m.err
}

// Addr is where the Mux listens; nil before Open and without an address.
func (m *Mux) Addr() net.Addr {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.listener == nil {
		return nil
	}
	return m.listener.Addr()
}

// Raft is the raft side: streams that come in and a dialer.
func (m *Mux) Raft() *Layer { return m.raft }

// Calls accepts the connections that carry calls. Those with TLS are *tls.Conn
// with the handshake done.
func (m *Mux) Calls() net.Listener { return m.calls }

func (m *Mux) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) || m.ctx.Err() != nil {
			if err == nil {
				_ = c.Close()
			}
			return
		}
		if err != nil { // such as no more files: those open will end some time
			m.log.Error("Cannot accept connections", zap.Error(err))
			select {
			case <-time.After(acceptPause):
			case <-m.ctx.Done():
			}
			continue
		}
		m.stats.accepted.Add(1)
		m.wg.Go(func() { m.serve(c) })
	}
}

// serve judges a connection and hands it out, or closes it.
func (m *Mux) serve(c net.Conn) {
	if !m.enter(c) {
		_ = c.Close()
		return
	}
	ctx, cancel := context.WithTimeout(m.ctx, m.cfg.HandshakeTimeout)
	defer cancel()
	out, to, err := m.judge(ctx, c)
	if err == nil {
		err = out.SetDeadline(time.Time{})
	}
	m.leave(c)
	if err == nil {
		door.Of(out).Busy()
	}
	if err == nil && to.hand(ctx, out) {
		m.stats.handed.Add(1)
		if to == m.raft.inbox {
			m.stats.raft.Add(1)
		}
		return
	}
	if err == nil {
		err = fault.Newf(fault.Unavailable, "nobody took the connection in time")
	}
	m.stats.refused.Add(1)
	_ = c.Close() // what is said at TLS's end matters to nobody
	switch {
	case m.ctx.Err() != nil:
	case errors.Is(err, errSilent): // somebody looks whether the port is open
		m.log.Debug("Connection ended without a word", zap.Stringer("from", c.RemoteAddr()))
	default:
		m.log.Warn("Connection refused", zap.Stringer("from", c.RemoteAddr()), zap.Error(err))
	}
}

// judge finds out what a connection is, and whether it may be that.
func (m *Mux) judge(ctx context.Context, c net.Conn) (net.Conn, *inbox, error) {
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		return nil, nil, err
	}
	first, err := readByte(c)
	if errors.Is(err, io.EOF) {
		return nil, nil, errSilent
	}
	if err != nil {
		return nil, nil, fmt.Errorf("no first byte: %w", err)
	}
	var state *tls.ConnectionState
	if first == firstTLS {
		t, err := m.handshake(ctx, c)
		if err != nil {
			return nil, nil, err
		}
		cs := t.ConnectionState()
		c, state = t, &cs
		if first, err = readByte(c); err != nil {
			return nil, nil, fmt.Errorf("no first byte in TLS: %w", err)
		}
	}
	plain := state == nil && m.deps.TLS.VerifyIncoming()
	switch {
	case first == firstRaft:
		return c, m.raft.inbox, m.welcome(c, state, plain)
	case first != firstCalls:
		return nil, nil, fault.Newf(fault.Invalid, "first byte 0x%02x is neither raft nor calls; something that speaks another protocol uses this port", first)
	case plain:
		return nil, nil, fault.Newf(fault.Denied, "it does not speak TLS, which verify_incoming demands")
	}
	return c, m.calls, nil
}

func (m *Mux) handshake(ctx context.Context, c net.Conn) (*tls.Conn, error) {
	if !m.deps.TLS.Incoming() {
		return nil, fault.Newf(fault.Invalid, "it speaks TLS, but this server has no certificate (tls.internal_rpc.cert_file)")
	}
	select {
	case m.slots <- struct{}{}:
		defer func() { <-m.slots }()
	case <-ctx.Done():
		return nil, fault.Newf(fault.Unavailable, "too many TLS handshakes at once")
	}
	t := tls.Server(&replay{Conn: c, first: []byte{firstTLS}}, m.deps.TLS.Server())
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return t, nil
}

// welcome judges a raft stream and tells the dialer. The hello is read first,
// whatever comes of it: bytes left unread would cost the dialer the answer.
func (m *Mux) welcome(c net.Conn, state *tls.ConnectionState, plain bool) error {
	h, reason, err := readHello(c)
	if err != nil {
		return fmt.Errorf("raft hello: %w", err)
	}
	a := answer{reason: reason}
	cluster := m.deps.ClusterID()
	switch {
	case plain:
		a.reason, err = NeedsTLS, fault.Newf(fault.Denied, "it does not speak TLS, which verify_incoming demands")
	case state != nil:
		if err = m.deps.TLS.RequireServer(*state); err != nil {
			a = answer{reason: NotAServer, id: m.deps.TLS.ServerName("")}
			err = fmt.Errorf("raft is for servers only: %w", err)
		}
	}
	switch {
	case err != nil:
	case reason != Accepted:
		err = fault.Newf(fault.Invalid, "the raft hello is not understood")
	case h.Cluster != "" && cluster != "" && h.Cluster != cluster:
		a = answer{reason: OtherCluster, id: cluster}
		err = fault.Newf(fault.Conflict, "raft stream from cluster %q; this is cluster %s", h.Cluster, cluster)
	case h.To != m.deps.NodeID:
		a = answer{reason: OtherNode, id: m.deps.NodeID}
		err = fault.Newf(fault.Unavailable, "raft stream for node %q; this is node %s", h.To, m.deps.NodeID)
	case m.raft.isClosed():
		a.reason, err = Closing, fault.Newf(fault.Unavailable, "raft is closed")
	}
	if _, werr := c.Write(a.append(nil)); err == nil {
		err = werr
	}
	return err
}

func (m *Mux) enter(c net.Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.pending[c] = struct{}{}
	return true
}

func (m *Mux) leave(c net.Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.pending, c)
}

func readByte(c net.Conn) (byte, error) {
	var b [1]byte
	_, err := io.ReadFull(c, b[:])
	return b[0], err
}

// replay gives back the byte that was read to see what a connection is.
type replay struct {
	net.Conn
	first []byte
}

// NetConn lets the connection below be found.
func (r *replay) NetConn() net.Conn { return r.Conn }

func (r *replay) Read(p []byte) (int, error) {
	if len(r.first) > 0 && len(p) > 0 {
		n := copy(p, r.first)
		r.first = r.first[n:]
		return n, nil
	}
	return r.Conn.Read(p)
}

// counts of connections since the start.
type counts struct{ accepted, limited, refused, handed, raft atomic.Uint64 }

// Stats counts incoming connections since the start.
type Stats struct {
	Accepted uint64 // within the limits
	Limited  uint64 // closed for a limit
	Refused  uint64 // accepted, then closed for what they said or did not say
	Handed   uint64 // given to raft or calls
	Raft     uint64 // of those, the ones given to raft
}

// Stats returns the counts.
func (m *Mux) Stats() Stats {
	return Stats{m.stats.accepted.Load(), m.stats.limited.Load(), m.stats.refused.Load(), m.stats.handed.Load(), m.stats.raft.Load()}
}
