package httpapi

import (
	"context"
	"net"
	"net/http"
	"net/netip"

	"consul.internal/internal/door"
	"consul.internal/rpc"
)

// connKey leads from a request to the connection that it came over.
type connKey struct{}

// withConn lets requests find their connection.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, door.Of(c))
}

func connOf(r *http.Request) *door.Conn {
	c, _ := r.Context().Value(connKey{}).(*door.Conn)
	return c
}

// known says that a request's header is there, and lets what is done for it know
// where it came from.
func known(r *http.Request) *http.Request {
	connOf(r).Known()
	if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		return r.WithContext(rpc.WithSource(r.Context(), at.Addr().Unmap()))
	}
	return r
}

// withoutCache leaves ?cached out of a request, as if nobody had written it.
func withoutCache(r *http.Request) *http.Request {
	q := r.URL.Query()
	if !q.Has("cached") {
		return r
	}
	q.Del("cached")
	u := *r.URL
	u.RawQuery = q.Encode()
	out := *r
	out.URL = &u
	return &out
}
