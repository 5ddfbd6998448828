package checks

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"

	"consul.internal/catalog"
)

// tcpProbe passes if a connection (with TLS where asked for) can be made.
func tcpProbe(d *Definition, own TLSFunc) probe {
	return func(ctx context.Context) (catalog.Status, string) {
		conn, err := dial(ctx, d, own, d.TCP, d.TCPUseTLS)
		if err != nil {
			return catalog.Critical, err.Error()
		}
		if err := conn.Close(); err != nil {
			return catalog.Critical, err.Error()
		}
		return catalog.Passing, fmt.Sprintf("TCP connect %s: Success", d.TCP)
	}
}

func dial(ctx context.Context, d *Definition, own TLSFunc, addr string, useTLS bool, protos ...string) (net.Conn, error) {
	if !useTLS {
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}
	cfg := tlsConfig(d, own)
	cfg.NextProtos = protos
	return dialTLS(ctx, cfg, addr)
}

func dialTLS(ctx context.Context, cfg *tls.Config, addr string) (net.Conn, error) {
	return (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", addr)
}

// udpProbe sends one datagram. An answer passes and so does silence, since most
// services keep silent on what they do not understand; only a refusal fails.
func udpProbe(d *Definition) probe {
	return func(ctx context.Context) (catalog.Status, string) {
		conn, err := new(net.Dialer).DialContext(ctx, "udp", d.UDP)
		if err != nil {
			return catalog.Critical, err.Error()
		}
		defer conn.Close() //nolint:errcheck // a datagram socket has nothing to flush
		// A probe that is cut off must not wait for its read.
		stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(aLongTimeAgo) })
		defer stop()
		if _, err := conn.Write([]byte("health")); err != nil {
			return catalog.Critical, err.Error()
		}
		if _, err := conn.Read(make([]byte, 1)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return catalog.Critical, err.Error()
		}
		return catalog.Passing, fmt.Sprintf("UDP connect %s: Success", d.UDP)
	}
}
