package dnsserver

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"time"

	"consul.internal/dnsserver/observe"
	"consul.internal/dnsserver/transfer"
)

const (
	// maxTCPQuery is the longest query read over TCP: a name of 255 bytes and all
	// options that exist are far shorter.
	maxTCPQuery = 4096
	// lengthLen is the length field before each message (RFC 1035, section 4.2.2).
	lengthLen = 2
	// maxAcceptPause is how long a listener waits at most between failed accepts,
	// as when the process has no file descriptor left.
	maxAcceptPause = time.Second
)

// serveTCP accepts connections until the server closes.
func (s *Server) serveTCP(l net.Listener) {
	pause := readPause
	for {
		c, err := l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			s.pause(pause)
			pause = min(2*pause, maxAcceptPause)
			continue
		}
		pause = readPause
		s.mu.Lock()
		if s.closing {
			s.mu.Unlock()
			_ = c.Close() // it came too late
			continue
		}
		s.conns[c] = struct{}{}
		s.mu.Unlock()
		s.queries.Go(func() { s.serveConn(c) })
	}
}

// serveConn answers the queries of one connection in their order, those that
// arrived together with one write.
func (s *Server) serveConn(c net.Conn) {
	defer func() {
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
		_ = c.Close() // all that could be sent has been flushed
	}()
	r := bufio.NewReaderSize(c, maxTCPQuery+lengthLen)
	w := bufio.NewWriterSize(c, maxTCPQuery)
	query := make([]byte, maxTCPQuery)
	out := make([]byte, maxTCPQuery)
	idle := s.live.Load().cfg.Limits.TCPIdle
	from := asker{tcp: true, door: observe.TCP}
	if _, from.hidden = c.(*tls.Conn); from.hidden {
		from.door = observe.TLS
	}
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		from.addr, from.port = a.AddrPort().Addr().Unmap(), uint16(a.Port)
	}
	for {
		if !s.arm(c, idle) {
			return
		}
		var length [lengthLen]byte
		if _, err := io.ReadFull(r, length[:]); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint16(length[:]))
		if n < headerLen || n > maxTCPQuery {
			_ = w.Flush() // what was asked before has its answer
			return        // no query is like this, and what follows cannot be trusted
		}
		if _, err := io.ReadFull(r, query[:n]); err != nil {
			return
		}
		s.count.tcp.Add(1)
		if transfer.Asks(query[:n]) && w.Flush() != nil { // what was asked before comes first
			return
		}
		if done, err := transfers(s, c, query[:n], from); err != nil {
			return
		} else if done {
			continue
		}
		if resp := observed(s, query[:n], out, from); resp != nil {
			_ = c.SetWriteDeadline(time.Now().Add(idle)) // if it fails, so does the write
			binary.BigEndian.PutUint16(length[:], uint16(len(resp)))
			_, _ = w.Write(length[:]) // errors stick until Flush
			_, _ = w.Write(resp)
		}
		if !another(r) && w.Flush() != nil {
			return
		}
	}
}

// arm gives a connection the time to send its next query.
func (s *Server) arm(c net.Conn, idle time.Duration) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closing {
		return s.extend(c)
	}
	return c.SetReadDeadline(time.Now().Add(idle)) == nil
}

// another reports whether a whole further query has been read already.
func another(r *bufio.Reader) bool {
	if r.Buffered() < lengthLen {
		return false
	}
	length, err := r.Peek(lengthLen)
	return err == nil && r.Buffered() >= lengthLen+int(binary.BigEndian.Uint16(length))
}
