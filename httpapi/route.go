package httpapi

import (
	"cmp"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"consul.internal/httpapi/edge"
	"consul.internal/httpapi/guard"
	"consul.internal/httpapi/names"
	"consul.internal/internal/audit"
	"go.uber.org/zap"
)

// bare leaves OPTIONS out of the answer to a wrong method, and has OPTIONS answered
// with a body, as clients of these paths know it.
func bare(rt edge.Route) bool { return strings.HasPrefix(rt.Path, "/v1/query/") }

const (
	// aclPolicyHeader tells what holds for requests without a token.
	aclPolicyHeader = "X-Consul-Default-Acl-Policy"

	unknownAPIPath = "Invalid URL path: not a recognized HTTP API endpoint\n"
	unknownPath    = "Invalid URL path: if attempting to use the HTTP API, ensure the path starts with '/v1/'\n"
)

// aclPolicy is what holds where no rule speaks of something.
func (s *Server) aclPolicy() string { return cmp.Or(s.config().ACLDefaultPolicy, "allow") }

// Handler is the whole edge as one http.Handler.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, rt := range s.Routes() {
		h := s.measured(rt, s.wrap(rt))
		pattern := rt.Path
		if strings.HasSuffix(pattern, "/") {
			pattern += "{item...}"
		}
		mux.Handle(pattern, h)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/":
			s.root(w, r)
		case strings.HasPrefix(r.URL.Path, "/v1/"):
			edge.Plain(w, http.StatusNotFound, unknownAPIPath)
		default:
			edge.Plain(w, http.StatusNotFound, unknownPath)
		}
	})
	return s.deps.Audit.Handler(s.front(mux), func(r *http.Request) string {
		if s.deps.Tokens != nil {
			return cmp.Or(s.tokenOf(r), s.deps.Tokens.Default())
		}
		return s.tokenOf(r)
	})
}

// front does what every answer needs, whatever its path.
func (s *Server) front(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer s.recovered(w, r)
		// The last answer's deadline must not end a query that waits now.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
		cfg := s.config()
		r = known(r)
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		for k, v := range cfg.ResponseHeaders {
			h.Set(k, v)
		}
		release, err := s.headers.Hold(r)
		defer release()
		if err == nil {
			err = (&guard.Names{Node: cfg.NodeName, Domains: cfg.Domains, Allowed: cfg.AllowedHosts}).Admit(r)
		}
		if err != nil {
			h.Set("Connection", "close") // so that the body need not be read
			edge.Plain(w, edge.StatusOf(err), err.Error())
			return
		}
		for _, prefix := range cfg.BlockEndpoints {
			if r.URL.Path == prefix || strings.HasPrefix(r.URL.Path, strings.TrimSuffix(prefix, "/")+"/") {
				h.Set(aclPolicyHeader, s.aclPolicy())
				edge.Plain(w, http.StatusForbidden, "Endpoint is blocked by agent configuration")
				return
			}
		}
		if cfg.NoCache {
			r = withoutCache(r)
		}
		if streamsBody(r) {
			connOf(r).Busy()
			next.ServeHTTP(w, r)
			return
		}
		done, err := s.bodies.take(w, r, limitOf(cfg, r))
		defer done()
		if err != nil {
			h.Set("Connection", "close") // so that the rest of the body need not be read
			h.Set(aclPolicyHeader, s.aclPolicy())
			s.fail(w, r, edge.DecodeFailed(err))
			return
		}
		connOf(r).Busy()
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
			zap.String("url", audit.Path(r.URL.Path, edge.Token(r))), zap.Any("panic", v), zap.Stack("stack"))
		edge.Plain(w, http.StatusInternalServerError, "internal error: see the agent's log")
	}
}

// wrap gives a row its methods, its headers, and its errors their status.
func (s *Server) wrap(rt edge.Route) http.Handler {
	methods := strings.Join(rt.Methods, ",")
	allow := "OPTIONS," + methods
	wrong := allow
	if bare(rt) {
		wrong = methods
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Vary", "Accept-Encoding")
		h.Set(aclPolicyHeader, s.aclPolicy())
		if s.config().TranslateWANAddrs {
			h.Set("X-Consul-Translate-Addresses", "true")
		}
		switch {
		case r.Method == http.MethodOptions:
			h.Set("Allow", allow)
			h.Set("Content-Type", "application/json")
			if bare(rt) {
				s.answer(w, r, struct{}{})
				return
			}
			w.WriteHeader(http.StatusOK)
			return
		case !slices.Contains(rt.Methods, r.Method):
			h.Set("Allow", wrong)
			edge.Plain(w, http.StatusMethodNotAllowed, "method "+r.Method+" not allowed")
			return
		}
		if r.Method != http.MethodGet && rt.Path != names.QueryPath && !mayWrite(s.config().WriteFrom, r.RemoteAddr) {
			edge.Plain(w, http.StatusForbidden, "HTTP write requests from this address are denied (http_config.allow_write_http_from)")
			return
		}
		if r.Method == http.MethodGet {
			// What only reads, and may wait for long, ends when the door closes.
			var done func()
			r, done = s.untilClosing(r)
			defer done()
		}
		if s.deps.Tokens != nil {
			r = edge.WithToken(r, s.deps.Tokens.Default())
		}
		v, err := rt.Handle(w, r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		if _, done := v.(edge.Sent); done {
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
		http.Redirect(w, r, s.config().Pages.At(), http.StatusMovedPermanently)
		return
	}
	edge.Plain(w, http.StatusOK, "Consul Agent: UI disabled. To enable, set ui_config.enabled=true in the agent configuration and restart.")
}
