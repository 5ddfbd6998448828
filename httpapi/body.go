package httpapi

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"consul.internal/internal/fault"
)

const (
	// maxBody bounds every request body that no setting of its own bounds: a
	// registration of a thousand tags stays below it, a raft entry is not much larger.
	maxBody = 1 << 20
	// maxBodies bounds what all bodies together may hold of memory: enough for a
	// hundred of the largest at once, too little to hurt.
	maxBodies = 128 << 20
	// bodyTimeout is the longest a client may take for its request's body.
	bodyTimeout = 60 * time.Second
)

// bodies counts the bytes of all bodies in memory.
type bodies struct{ held atomic.Int64 }

// take reads a request's whole body, so that one that is cut off, too slow or
// too large changes nothing. done gives its memory back.
func (b *bodies) take(w http.ResponseWriter, r *http.Request) (done func(), err error) {
	if r.ContentLength > maxBody {
		return func() {}, &http.MaxBytesError{Limit: maxBody}
	}
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return func() {}, nil
	}
	if enc := r.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		// Nobody has ever unpacked them, and a small one can hold a large one.
		return func() {}, badRequest("a body with Content-Encoding " + strconv.Quote(enc) + " is not accepted; send it uncompressed")
	}
	rc := http.NewResponseController(w)
	// The deadline is for the body only: on a blocking query it would end the wait.
	// A writer that knows no deadlines is a test's.
	_ = rc.SetReadDeadline(time.Now().Add(bodyTimeout))
	defer func() { _ = rc.SetReadDeadline(time.Time{}) }()
	in := &counted{r: http.MaxBytesReader(w, r.Body, maxBody), all: &b.held}
	done = func() { b.held.Add(-in.n) }
	var buf bytes.Buffer
	if _, err := buf.ReadFrom(in); err != nil {
		return done, err
	}
	r.Body = io.NopCloser(&buf)
	return done, nil
}

// counted counts what it reads towards a sum that must not pass maxBodies.
type counted struct {
	r   io.Reader
	all *atomic.Int64
	n   int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if c.all.Add(int64(n)) > maxBodies {
		return n, fault.Newf(fault.RateLimited, "too many large requests at once; try again later")
	}
	return n, err
}
