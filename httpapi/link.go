package httpapi

import (
	"context"
	"net"
	"net/http"
	"sync"

	"consul.internal/internal/door"
)

// links are the connections that there are. When the door closes, those that only
// read, and may wait for long, end. A connection has one context for that, below
// which net/http makes one for each request: one more for each would be half of
// what a blocked query holds.
type links struct {
	mu      sync.Mutex
	conns   map[net.Conn]*link
	closing bool
}

// link is one connection.
type link struct {
	door   *door.Conn
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	reads   bool // its request only reads
	closing bool
}

// add begins a connection's context.
func (l *links) add(ctx context.Context, c net.Conn) (context.Context, *link) {
	ctx, cancel := context.WithCancelCause(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	k := &link{door: door.Of(c), cancel: cancel, closing: l.closing}
	if l.conns == nil {
		l.conns = map[net.Conn]*link{}
	}
	l.conns[c] = k
	return ctx, k
}

// track is the server's ConnState hook.
func (l *links) track(c net.Conn, state http.ConnState) {
	if state != http.StateClosed && state != http.StateHijacked {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// close ends what only reads, now and from now on.
func (l *links) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closing = true
	for _, k := range l.conns {
		k.close()
	}
}

func (k *link) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closing = true; k.reads {
		k.cancel(errClosing)
	}
}

// read says whether the connection's request only reads.
func (k *link) read(reads bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.reads = reads; reads && k.closing {
		k.cancel(errClosing)
	}
}

// done is read(false).
func (k *link) done() { k.read(false) }

// untilClosing has a request end when the door closes. done is called at its end.
func (s *Server) untilClosing(r *http.Request) (_ *http.Request, done func()) {
	if k := linkOf(r); k != nil && r.ProtoMajor == 1 { // else others share the connection
		k.read(true)
		return r, k.done
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	stop := context.AfterFunc(s.closing, func() { cancel(errClosing) })
	return r.WithContext(ctx), func() {
		stop()
		cancel(nil)
	}
}
