package dnsserver

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"

	"consul.internal/internal/door"
)

// openTLS opens the addresses of DNS over TLS (RFC 7858): what is said there is as
// over TCP, with the same limits, and the handshake counts as the first silence. The
// caller holds the lock.
func openTLS(ctx context.Context, s *Server, cfg *Config) error {
	limits := door.Limits{Total: cfg.Limits.TCPConns, PerAddress: cfg.Limits.TCPConnsPerAddr}
	for _, addr := range cfg.TLSAddrs {
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", addr)
		if err != nil {
			for _, l := range s.secure {
				_ = l.Close() // the error that matters is err
			}
			s.secure = nil
			return bindError("TLS", addr, err)
		}
		l = door.Limit(l, limits, func(netip.Addr) { s.count.refused.Add(1) })
		s.secure = append(s.secure, tls.NewListener(l, s.deps.TLS))
	}
	for _, l := range s.secure {
		s.readers.Go(func() { s.serveTCP(l) })
	}
	return nil
}

// TLSAddrs returns the addresses of a server for DNS over TLS.
func TLSAddrs(s *Server) []net.Addr {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]net.Addr, len(s.secure))
	for i, l := range s.secure {
		out[i] = l.Addr()
	}
	return out
}
