package remote

import (
	"context"
	"net"
	"time"

	"consul.internal/rpc"
	"go.uber.org/zap"
)

const (
	// maxMessage bounds one message either way: more than the replies of large
	// catalogs, little enough to hold some at once.
	maxMessage = 8 << 20
	// maxText bounds an error's text on the wire; longer than any that a person reads.
	maxText = 16 << 10
	// maxHeader bounds a request's headers, which we fill with some 200 bytes.
	maxHeader = 16 << 10
	// maxTrailer bounds a reply's headers: an error's text, each byte of it escaped.
	maxTrailer = 3*maxText + maxHeader
	// maxStreams bounds the calls under way on one connection: an agent holds one
	// for each blocking query that its users hold.
	maxStreams = 4096
	// connectTimeout bounds one attempt to connect, and backoffMax the pause
	// between attempts: a server that came back should be found within a second.
	connectTimeout = time.Second
	backoffMax     = time.Second
	backoffBase    = 100 * time.Millisecond
	// To a far server it is knocked again in the middle of an attempt, and the pauses
	// are shorter: a line that was cut is to be used soon after it is back, while the
	// kernel sends the first packet of a connection once a second at most. There are
	// few who connect that far.
	knockEvery = 300 * time.Millisecond
	backoffFar = 300 * time.Millisecond
	// handshakeTimeout bounds the beginning of a connection at the server.
	handshakeTimeout = 5 * time.Second
	// idleTimeout closes a connection that nobody uses; the next call opens it again.
	idleTimeout = 5 * time.Minute
	// keepaliveTime is how often a server looks whether an idle client still
	// lives, and keepaliveTimeout how long that may take: only to free what it holds.
	keepaliveTime    = time.Minute
	keepaliveTimeout = 20 * time.Second
	// keepaliveMin is how often a client may send HTTP/2 pings. Ours send none.
	keepaliveMin = 10 * time.Second
	// pingInterval is how often a connection with calls under way must show life,
	// and pingMisses how many times in a row it may fail to.
	pingInterval = 500 * time.Millisecond
	pingMisses   = 3
)

// Handler performs what comes over the wire. The context tells how many servers
// the call has been through (Hop).
type Handler interface {
	rpc.Caller
	// Converse holds a conversation; it has ended when Converse returns.
	Converse(ctx context.Context, name string, c rpc.Conversation) error
}

// ServerDeps are what a Server is given.
type ServerDeps struct {
	Handler Handler
	// Contract is what may be called; nil = rpc.All().
	Contract rpc.Contract
	Logger   *zap.Logger
}

// ConnConfig says where a Conn leads.
type ConnConfig struct {
	Addr string // host:port
	// Dial connects, within ctx; it brings TLS where that is wanted.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// Far tells that the server stands behind a line that may break and heal.
	Far bool
}
