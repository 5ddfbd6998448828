package httpapi

import (
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"consul.internal/httpapi/guard"
	"consul.internal/internal/door"
	"go.uber.org/zap"
)

const (
	// tooMany is the known text for whoever holds too many connections.
	tooMany = "Your IP is issuing too many concurrent connections, please rate limit your calls\n"
	// lingering bounds how many refused connections are held so that their answer
	// arrives, and linger is how long: some round trips of a near client.
	lingering = 64
	linger    = 200 * time.Millisecond
)

func doorLimits(cfg *Config) door.Limits {
	return door.Limits{Total: door.Share(connParts, maxConns), PerAddress: cfg.MaxConnsPerClient, Replace: true, WaitingBytes: guard.MaxWaiting}
}

const (
	// strangersLines a second, and strangersBurst at once, are written about
	// connections that came to nothing, such as TLS handshakes: enough to see what is
	// wrong with one client, too few to fill a disk.
	strangersLines = 1
	strangersBurst = 20
)

// parting counts refused connections that are not closed yet.
type parting struct{ n atomic.Int64 }

// refuse answers a connection above a limit, as far as that costs nothing, and
// closes it. With TLS the answer would mean nothing to the client.
func (s *Server) refuse(c net.Conn, from netip.Addr) {
	if s.refusals.due(time.Now()) {
		s.log.Warn("refused a connection: too many from this address (limits.http_max_conns_per_client) or in all", zap.Stringer("from", from))
	}
	if s.parting.n.Add(1) > lingering {
		s.parting.n.Add(-1)
		_ = c.Close() // there is nobody to tell
		return
	}
	// It fits the socket's buffer; a client that is gone does not matter.
	_ = c.SetWriteDeadline(time.Now().Add(linger))
	_, _ = c.Write([]byte("HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: " +
		strconv.Itoa(len(tooMany)) + "\r\n\r\n" + tooMany))
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.CloseWrite()
	}
	time.AfterFunc(linger, func() {
		_ = c.Close()
		s.parting.n.Add(-1)
	})
}
