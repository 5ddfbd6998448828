package wire

import (
	"context"
	"net"
	"time"

	"go.uber.org/zap"

	"consul.internal/internal/fault"
	"consul.internal/internal/tlsx"
)

// Config of a Mux.
type Config struct {
	// Addr to listen on, as "host:port"; "" = nowhere, for agents that only dial.
	Addr string
	// ConnsPerAddress bounds the connections from one address; 0 = no bound.
	ConnsPerAddress int
	// Conns bounds all connections; 0 = no bound.
	Conns int
	// HandshakeTimeout is how long a connection may take until it is known what it
	// is and who, in both directions.
	HandshakeTimeout time.Duration
}

const (
	// connsPerAddress is the known default: far more than one agent needs, far less
	// than would hinder others.
	connsPerAddress = 100
	// conns bounds all connections, below common limits on open files.
	conns = 8192
	// handshakeTimeout is the known default: many round trips of any network.
	handshakeTimeout = 5 * time.Second
	// tlsSlots is how many TLS handshakes, beyond those that one address may have,
	// run at once; each may hold some 100 KiB of a stranger's bytes. Others wait.
	tlsSlots = 256
	// maxWaiting bounds what is read on all connections that have not shown yet what
	// they are: some thousand TLS handshakes with certificates.
	maxWaiting = 16 << 20
	// acceptPause is waited after the listener failed, as when no file is left.
	acceptPause = 100 * time.Millisecond
	// keepIdle, keepInterval and keepCount find out within half a minute that a peer
	// is gone without a word, so that it holds no place for long.
	keepIdle     = 15 * time.Second
	keepInterval = 5 * time.Second
	keepCount    = 3
)

// DefaultConfig gives the known defaults.
func DefaultConfig() Config {
	return Config{ConnsPerAddress: connsPerAddress, Conns: conns, HandshakeTimeout: handshakeTimeout}
}

// Validate says what is wrong with c.
func (c Config) Validate() error {
	switch {
	case c.ConnsPerAddress < 0 || c.Conns < 0:
		return fault.Newf(fault.Invalid, "limits on connections must not be negative")
	case c.HandshakeTimeout <= 0:
		return fault.Newf(fault.Invalid, "the handshake timeout must be more than 0")
	}
	return nil
}

// Network listens and dials; addresses are "host:port".
type Network interface {
	Listen(ctx context.Context, addr string) (net.Listener, error)
	Dial(ctx context.Context, addr string) (net.Conn, error)
}

// Deps of a Mux.
type Deps struct {
	Network Network // nil = TCP of this machine
	Logger  *zap.Logger
	TLS     *tlsx.Door // nil = no TLS
	// ClusterID of the raft cluster that this server belongs to; "" = not known yet.
	ClusterID func() string
	NodeID    string
}

// tcp is the network of this machine.
type tcp struct{}

func keepAlive() net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: keepIdle, Interval: keepInterval, Count: keepCount}
}

func (tcp) Listen(ctx context.Context, addr string) (net.Listener, error) {
	l := net.ListenConfig{KeepAliveConfig: keepAlive()}
	return l.Listen(ctx, "tcp", addr)
}

func (tcp) Dial(ctx context.Context, addr string) (net.Conn, error) {
	d := net.Dialer{KeepAliveConfig: keepAlive()}
	return d.DialContext(ctx, "tcp", addr)
}
