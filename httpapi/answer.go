package httpapi

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"consul.internal/internal/fault"
	"go.uber.org/zap"
)

const tooLarge = "Request body too large, max size: " + "1048576 bytes."

// statusError is an error that the edge itself decided the status of.
type statusError struct {
	status int
	text   string
}

func (e *statusError) Error() string { return e.text }

func badRequest(text string) error { return &statusError{http.StatusBadRequest, text} }

// remoteError marks an error of an operation behind the Caller: clients know
// those as 500 also where the request was at fault.
type remoteError struct{ error }

func (e remoteError) Unwrap() error { return e.error }

func remote(err error) error {
	if err == nil {
		return nil
	}
	return remoteError{err}
}

// statusByKind is the one table from a kind of error to an HTTP status.
var statusByKind = map[fault.Kind]int{
	fault.Invalid:     http.StatusBadRequest,
	fault.Denied:      http.StatusForbidden,
	fault.NotFound:    http.StatusNotFound,
	fault.Conflict:    http.StatusConflict,
	fault.RateLimited: http.StatusTooManyRequests,
	// The rest (no leader, no route, unavailable, unknown outcome) is 500, as clients know it.
}

func statusOf(err error) int {
	if e, ok := errors.AsType[*statusError](err); ok {
		return e.status
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return http.StatusRequestEntityTooLarge
	}
	kind := fault.Of(err)
	if _, ok := errors.AsType[remoteError](err); ok && kind != fault.Denied && kind != fault.RateLimited {
		return http.StatusInternalServerError
	}
	if status, ok := statusByKind[kind]; ok {
		return status
	}
	return http.StatusInternalServerError
}

// fail answers with an error's status and text.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	status := statusOf(err)
	text := err.Error()
	switch {
	case status == http.StatusRequestEntityTooLarge:
		text = tooLarge
	case errors.Is(err, context.Canceled) && context.Cause(r.Context()) != nil:
		text = context.Cause(r.Context()).Error()
	}
	if status == http.StatusInternalServerError && r.Context().Err() == nil { // else the client is gone, or the agent goes
		s.log.Error("Request error", zap.String("method", r.Method), zap.String("url", r.URL.Path),
			zap.String("from", r.RemoteAddr), zap.String("error", text))
	}
	plain(w, status, text)
}

// writeTimeout is the longest a client may take to read its answer; one that does
// not read at all holds the answer's memory as long.
const writeTimeout = 60 * time.Second

// limitWriting begins the time for an answer. A writer that knows no deadlines is
// a test's.
func limitWriting(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
}

// plain answers with a text.
func plain(w http.ResponseWriter, status int, text string) {
	limitWriting(w)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // the client is gone; the server sees it itself
}

// withStatus is a JSON answer under another status than 200.
type withStatus struct {
	status int
	value  any
}

// answer writes a value as JSON, indented and compressed as the client asked.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, v any) {
	status := http.StatusOK
	if ws, ok := v.(withStatus); ok {
		status, v = ws.status, ws.value
	}
	limitWriting(w)
	h := w.Header()
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	if v == nil {
		w.WriteHeader(status)
		return
	}
	body, err := encode(v, r.URL.Query().Has("pretty"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if len(body) >= gzipFrom && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		w.WriteHeader(status)
		z := gzip.NewWriter(w)
		_, _ = z.Write(body) // the client is gone; the server sees it itself
		_ = z.Close()
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func encode(v any, pretty bool) ([]byte, error) {
	if raw, ok := v.(rawText); ok {
		return raw, nil
	}
	if !pretty {
		return json.Marshal(v)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "    ")
	err := e.Encode(v)
	return b.Bytes(), err
}

// rawText is an answer that is not JSON.
type rawText []byte

// list makes an absent list an empty one, as clients know the API's answers.
func list[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}
