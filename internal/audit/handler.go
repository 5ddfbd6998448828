package audit

import "net/http"

// Handler writes down what comes to next, and what it is answered. secret gives
// the token that a request is made with. A nil Log is next alone.
func (l *Log) Handler(next http.Handler, secret func(*http.Request) string) http.Handler {
	if l == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entry := l.Begin(r, secret(r))
		out := &heard{ResponseWriter: w, status: http.StatusOK}
		defer func() { entry.End(out.status) }()
		next.ServeHTTP(out, r)
	})
}

// heard is a writer that remembers the status.
type heard struct {
	http.ResponseWriter
	status int
	said   bool
}

// Unwrap lets deadlines be set and pieces be sent at once.
func (h *heard) Unwrap() http.ResponseWriter { return h.ResponseWriter }

func (h *heard) WriteHeader(status int) {
	if !h.said && status >= http.StatusOK { // those below only announce
		h.status, h.said = status, true
	}
	h.ResponseWriter.WriteHeader(status)
}

func (h *heard) Write(p []byte) (int, error) {
	h.said = true
	return h.ResponseWriter.Write(p)
}
