package httpapi

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"consul.internal/httpapi/edge"
	"consul.internal/internal/audit"
	"consul.internal/internal/metrics"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// measured times a route's answers and logs each request at DEBUG. Labels come
// from the table alone, so that no request can add one.
func (s *Server) measured(rt edge.Route, next http.Handler) http.Handler {
	path := metrics.Label{Name: "path", Value: pathLabel(rt.Path)}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		next.ServeHTTP(w, r)
		s.finished(rt, path, r, time.Since(start))
	})
}

// finished is apart from the request, so that its frame is not on the stack of
// every query that is blocked.
//
//go:noinline
func (s *Server) finished(rt edge.Route, path metrics.Label, r *http.Request, took time.Duration) {
	if slices.Contains(rt.Methods, r.Method) {
		s.deps.Metrics.Timer(metrics.APIHTTP, metrics.Label{Name: "method", Value: r.Method}, path).Observe(took)
	}
	if ce := s.log.Check(zapcore.DebugLevel, "Request finished"); ce != nil {
		ce.Write(zap.String("method", r.Method), zap.String("url", withoutToken(r.URL)),
			zap.String("from", r.RemoteAddr), zap.Duration("latency", took))
	}
}

// pathLabel is a route's path as dashboards know it: "v1.catalog.service._".
func pathLabel(path string) string {
	label := strings.ReplaceAll(strings.ReplaceAll(strings.Trim(path, "/"), "/", "."), "{item}", "_")
	if strings.HasSuffix(path, "/") {
		label += "._"
	}
	return label
}

// withoutToken is a request's URL as it may stand in a log.
func withoutToken(u *url.URL) string {
	if clean := audit.Path(u.Path, ""); clean != u.Path {
		c := *u
		c.Path, c.RawPath = clean, ""
		u = &c
	}
	if !strings.Contains(u.RawQuery, "token") && !strings.Contains(u.RawQuery, "%") {
		return u.RequestURI()
	}
	q := u.Query()
	if q.Has("token") {
		q.Set("token", "<hidden>")
	}
	c := *u
	c.RawQuery = q.Encode()
	return c.RequestURI()
}
