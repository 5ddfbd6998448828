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

// withConn lets requests find their connection, and what is done for them know
// where they came from. It is done once for all of them: a copy of each request
// is memory that each blocked query would hold.
func (s *Server) withConn(ctx context.Context, c net.Conn) context.Context {
	if at, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		ctx = rpc.WithSource(ctx, at.AddrPort().Addr().Unmap())
	}
	ctx, k := s.links.add(ctx, c)
	return context.WithValue(ctx, connKey{}, k)
}

func linkOf(r *http.Request) *link {
	k, _ := r.Context().Value(connKey{}).(*link)
	return k
}

func connOf(r *http.Request) *door.Conn {
	if k := linkOf(r); k != nil {
		return k.door
	}
	return nil
}

// known says that a request's header is there.
func known(r *http.Request) *http.Request {
	if k := linkOf(r); k != nil {
		k.door.Known()
		return r
	}
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
