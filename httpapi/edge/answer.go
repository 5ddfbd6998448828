package edge

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"consul.internal/internal/fault"
	"consul.internal/rpc"
)

const tooLarge = "Request body too large, max size: " + "1048576 bytes."

// Status is an error that the edge itself decided the status of.
type Status struct {
	Code int
	Text string
}

func (e *Status) Error() string { return e.Text }

// Failed is an error with a status and a text.
func Failed(code int, text string) error { return &Status{code, text} }

// BadRequest is an error with status 400.
func BadRequest(text string) error { return &Status{http.StatusBadRequest, text} }

// remoteError marks an error of an operation behind the Caller: clients know
// those as 500 also where the request was at fault.
type remoteError struct{ error }

func (e remoteError) Unwrap() error { return e.error }

// Remote says that an error, if it is one, came from an operation behind the Caller.
func Remote(err error) error {
	if err == nil {
		return nil
	}
	return remoteError{err}
}

// StatusOf is the one place where a kind of error becomes an HTTP status.
func StatusOf(err error) int {
	if e, ok := errors.AsType[*Status](err); ok {
		return e.Code
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return http.StatusRequestEntityTooLarge
	}
	kind := fault.Of(err)
	if _, ok := errors.AsType[remoteError](err); ok && kind != fault.Denied && kind != fault.RateLimited && kind != fault.Overloaded {
		return http.StatusInternalServerError
	}
	switch kind {
	case fault.Invalid:
		return http.StatusBadRequest
	case fault.Denied:
		return http.StatusForbidden
	case fault.NotFound:
		return http.StatusNotFound
	case fault.Conflict:
		return http.StatusConflict
	case fault.RateLimited:
		return http.StatusTooManyRequests
	case fault.Overloaded:
		return http.StatusServiceUnavailable
	default: // no leader, no route, unavailable, unknown outcome: as clients know it
		return http.StatusInternalServerError
	}
}

// TextOf is an error as the client of a request reads it.
func TextOf(r *http.Request, err error) string {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok && StatusOf(err) == http.StatusRequestEntityTooLarge {
		return tooLarge
	}
	if errors.Is(err, context.Canceled) && context.Cause(r.Context()) != nil {
		return context.Cause(r.Context()).Error()
	}
	return err.Error()
}

// writeTimeout is the longest a client may take to read its answer; one that does
// not read at all holds the answer's memory as long.
const writeTimeout = 60 * time.Second

// LimitWriting begins the time for an answer. A writer that knows no deadlines is
// a test's.
func LimitWriting(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
}

// Plain answers with a text.
func Plain(w http.ResponseWriter, status int, text string) {
	LimitWriting(w)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // the client is gone; the server sees it itself
}

// WithStatus is a JSON answer under another status than 200.
type WithStatus struct {
	Code  int
	Value any
}

// Under puts a value under another status than 200.
func Under(code int, value any) any { return WithStatus{code, value} }

// Raw is an answer that is not JSON.
type Raw []byte

// Sent is the value of an answer that has been sent already.
type Sent struct{}

// List makes an absent list an empty one, as clients know the API's answers.
func List[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

// Read performs a read and writes its headers.
func Read[Req, Resp any](w http.ResponseWriter, r *http.Request, c rpc.Caller, m rpc.Method[Req, Resp], in *Req, meta func(*Resp) *rpc.ReadMeta) (*Resp, error) {
	out, err := rpc.Call(r.Context(), c, m, in)
	if err != nil {
		return nil, Remote(err)
	}
	SetMeta(w, r, meta(out))
	return out, nil
}
