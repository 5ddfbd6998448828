package httpapi

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
)

// handler answers one request with a value that becomes JSON, or an error that
// becomes a status and a text. A nil value is an answer without a body.
type handler func(w http.ResponseWriter, r *http.Request) (any, error)

// route is one row of the table: a path, the methods it knows in the order of
// its Allow header, and who answers. A path that ends in "/" stands for all
// paths below it; what follows is the item.
type route struct {
	path    string
	methods []string
	handle  handler
}

// bare leaves OPTIONS out of the answer to a wrong method, and has OPTIONS answered
// with a body, as clients of these paths know it.
func (rt *route) bare() bool { return strings.HasPrefix(rt.path, "/v1/query/") }

// methods of routes.
var (
	get    = []string{http.MethodGet}
	put    = []string{http.MethodPut}
	getPut = []string{http.MethodGet, http.MethodPut}
)

const (
	// aclPolicyHeader tells what holds for requests without a token.
	aclPolicyHeader = "X-Consul-Default-Acl-Policy"

	unknownAPIPath = "Invalid URL path: not a recognized HTTP API endpoint\n"
	unknownPath    = "Invalid URL path: if attempting to use the HTTP API, ensure the path starts with '/v1/'\n"
)

// Handler is the whole edge as one http.Handler.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, rt := range s.routes() {
		h := s.measured(rt, s.wrap(rt))
		pattern := rt.path
		if strings.HasSuffix(pattern, "/") {
			pattern += "{item...}"
		}
		mux.Handle(pattern, h)
	}
	s.debugRoutes(mux)
	if err := s.uiRoutes(mux); err != nil {
		s.log.Error("the page at /ui/ cannot be shown", zap.Error(err)) // it is compiled in; a test opens it
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/":
			s.root(w, r)
		case strings.HasPrefix(r.URL.Path, "/v1/"):
			plain(w, http.StatusNotFound, unknownAPIPath)
		default:
			plain(w, http.StatusNotFound, unknownPath)
		}
	})
	return s.front(mux)
}

// front does what every answer needs, whatever its path.
func (s *Server) front(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer s.recovered(w, r)
		// The last answer's deadline must not end a query that waits now.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
		cfg := s.config()
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		for k, v := range cfg.ResponseHeaders {
			h.Set(k, v)
		}
		for _, prefix := range cfg.BlockEndpoints {
			if r.URL.Path == prefix || strings.HasPrefix(r.URL.Path, strings.TrimSuffix(prefix, "/")+"/") {
				h.Set(aclPolicyHeader, "allow")
				plain(w, http.StatusForbidden, "Endpoint is blocked by agent configuration")
				return
			}
		}
		if streamsBody(r) {
			next.ServeHTTP(w, r)
			return
		}
		done, err := s.bodies.take(w, r)
		defer done()
		if err != nil {
			h.Set("Connection", "close") // so that the rest of the body need not be read
			s.fail(w, r, decodeFailed(err))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// recovered keeps a bug in one request from being more than that.
func (s *Server) recovered(w http.ResponseWriter, r *http.Request) {
	switch v := recover(); v {
	case nil:
	case http.ErrAbortHandler:
		panic(v) // an answer that must not look whole: the server ends the connection
	default:
		s.log.Error("a request failed by a bug; please report it", zap.String("method", r.Method),
			zap.String("url", r.URL.Path), zap.Any("panic", v), zap.Stack("stack"))
		plain(w, http.StatusInternalServerError, "internal error: see the agent's log")
	}
}

// wrap gives a row its methods, its headers, and its errors their status.
func (s *Server) wrap(rt route) http.Handler {
	methods := strings.Join(rt.methods, ",")
	allow := "OPTIONS," + methods
	wrong := allow
	if rt.bare() {
		wrong = methods
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Vary", "Accept-Encoding")
		h.Set(aclPolicyHeader, "allow")
		if s.config().TranslateWANAddrs {
			h.Set("X-Consul-Translate-Addresses", "true")
		}
		switch {
		case r.Method == http.MethodOptions:
			h.Set("Allow", allow)
			h.Set("Content-Type", "application/json")
			if rt.bare() {
				s.answer(w, r, struct{}{})
				return
			}
			w.WriteHeader(http.StatusOK)
			return
		case !slices.Contains(rt.methods, r.Method):
			h.Set("Allow", wrong)
			plain(w, http.StatusMethodNotAllowed, "method "+r.Method+" not allowed")
			return
		}
		if r.Method != http.MethodGet && !mayWrite(s.config().WriteFrom, r.RemoteAddr) {
			plain(w, http.StatusForbidden, "HTTP write requests from this address are denied (http_config.allow_write_http_from)")
			return
		}
		if r.Method == http.MethodGet {
			// What only reads, and may wait for long, ends when the door closes.
			ctx, cancel := context.WithCancelCause(r.Context())
			defer cancel(nil)
			stop := context.AfterFunc(s.closing, func() { cancel(errClosing) })
			defer stop()
			r = r.WithContext(ctx)
		}
		v, err := rt.handle(w, r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		if _, done := v.(streamed); done {
			return
		}
		s.answer(w, r, v)
	})
}

// mayWrite reports whether an address may change things. Who comes over a unix
// socket has been let in by its mode.
func mayWrite(from []netip.Prefix, remote string) bool {
	if len(from) == 0 {
		return true
	}
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return true
	}
	a := at.Addr().Unmap().WithZone("")
	return slices.ContainsFunc(from, func(p netip.Prefix) bool { return p.Contains(a) })
}

func (s *Server) root(w http.ResponseWriter, r *http.Request) {
	if s.config().UI {
		http.Redirect(w, r, "/ui/", http.StatusMovedPermanently)
		return
	}
	plain(w, http.StatusOK, "Consul Agent: UI disabled. To enable, set ui_config.enabled=true in the agent configuration and restart.")
}
