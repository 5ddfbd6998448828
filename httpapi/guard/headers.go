package guard

import (
	"net/http"
	"sync/atomic"

	"consul.internal/internal/fault"
)

const (
	// largeHeader is what a header may weigh without being counted: an ordinary one
	// is a tenth of it.
	largeHeader = 8 << 10
	// MaxHeaders bounds what the larger headers of all requests under way together
	// hold of memory: a blocking query holds its own for minutes.
	MaxHeaders = 16 << 20
	// MaxWaiting bounds what is read of headers that are not complete yet.
	MaxWaiting = 16 << 20
)

// Headers counts the bytes of large headers.
type Headers struct{ held atomic.Int64 }

// Hold counts a request's header until release is called.
func (h *Headers) Hold(r *http.Request) (release func(), err error) {
	size := len(r.RequestURI)
	for name, values := range r.Header {
		for _, v := range values {
			size += len(name) + len(v)
		}
	}
	if size <= largeHeader {
		return func() {}, nil
	}
	all := h.held.Add(int64(size))
	release = func() { h.held.Add(-int64(size)) }
	if all > MaxHeaders {
		return release, fault.Newf(fault.RateLimited, "too many requests with large headers at once; try again later")
	}
	return release, nil
}
