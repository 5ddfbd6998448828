package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"consul.internal/httpapi/edge"
	"consul.internal/internal/fault"
)

const (
	// maxBody bounds every request body that no setting of its own bounds: a
	// registration of a thousand tags stays below it, a raft entry is not much larger.
	maxBody = 1 << 20
	// maxBodies bounds what all bodies together may hold of memory: enough for a
	// hundred of the largest at once, too little to hurt.
	maxBodies = 64 << 20
	// firstRoom is what a body gets before any of it is there: a length is easily said.
	firstRoom = 64 << 10
	// bodyTimeout is the longest a client may take for its request's body.
	bodyTimeout = 60 * time.Second
)

// bodies counts the bytes of all bodies in memory.
type bodies struct {
	held    atomic.Int64
	refused atomic.Pointer[[]byte] // room of a body that was too large: a flood of them makes no garbage
}

// bodyLimit is how long a request's body may be.
type bodyLimit struct {
	bytes   int64
	setting string // that says so; "" = none does
}

// limitOf gives the limit that holds for a request.
func limitOf(cfg *Config, r *http.Request) bodyLimit {
	switch {
	case strings.HasPrefix(r.URL.Path, "/v1/kv/"):
		return bodyLimit{cfg.KVMaxValueSize, "kv_max_value_size"}
	case r.URL.Path == "/v1/txn":
		return bodyLimit{max(cfg.TxnMaxReqLen, cfg.KVMaxValueSize), "txn_max_req_len"}
	default:
		return bodyLimit{bytes: maxBody}
	}
}

// exceeded is the error for a longer body; size is -1 if nobody knows it.
func (l bodyLimit) exceeded(size int64) error {
	if l.setting == "" {
		return &http.MaxBytesError{Limit: l.bytes}
	}
	about := ""
	if size >= 0 {
		about = fmt.Sprintf("(%d bytes)", size)
	}
	return edge.Failed(http.StatusRequestEntityTooLarge, fmt.Sprintf(
		"Request body%s too large, max size: %d bytes. See https://developer.hashicorp.com/docs/agent/config/config-files#%s.", about, l.bytes, l.setting))
}

// take reads a request's whole body, so that one that is cut off, too slow or
// too large changes nothing. done gives its memory back.
func (b *bodies) take(w http.ResponseWriter, r *http.Request, limit bodyLimit) (done func(), err error) {
	if r.ContentLength > limit.bytes {
		return func() {}, limit.exceeded(r.ContentLength)
	}
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return func() {}, nil
	}
	if enc := r.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		// Nobody has ever unpacked them, and a small one can hold a large one.
		return func() {}, edge.BadRequest("a body with Content-Encoding " + strconv.Quote(enc) + " is not accepted; send it uncompressed")
	}
	rc := http.NewResponseController(w)
	// The deadline is for the body only: on a blocking query it would end the wait.
	// A writer that knows no deadlines is a test's.
	_ = rc.SetReadDeadline(time.Now().Add(bodyTimeout))
	defer func() { _ = rc.SetReadDeadline(time.Time{}) }()
	in := &counted{r: http.MaxBytesReader(w, r.Body, limit.bytes), all: &b.held}
	done = func() { b.held.Add(-in.n) }
	var room []byte
	most := limit.bytes
	if r.ContentLength > 0 {
		room = make([]byte, 0, min(r.ContentLength+1, firstRoom))
		most = r.ContentLength // it grows no further than it must
	} else if last := b.refused.Swap(nil); last != nil {
		room = *last
	}
	body, err := readAll(in, room, most)
	if err != nil {
		body = body[:0]
		b.refused.Store(&body)
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return done, limit.exceeded(-1)
		}
		return done, err
	}
	r.Body = heldBody{bytes.NewBuffer(body)}
	return done, nil
}

// readAll reads a body into room, which grows by doubling, but not past limit:
// the next doubling would hold twice the largest body for its first byte too many.
func readAll(r io.Reader, room []byte, limit int64) ([]byte, error) {
	room = room[:0]
	for {
		if len(room) == cap(room) {
			grown := make([]byte, len(room), min(max(2*cap(room), 4<<10), max(int(limit), len(room))+1))
			copy(grown, room)
			room = grown
		}
		n, err := r.Read(room[len(room):cap(room)])
		room = room[:len(room)+n]
		if err == io.EOF {
			return room, nil
		}
		if err != nil {
			return room, err
		}
	}
}

// heldBody is a body that is in memory. Who wants it whole need not copy it.
type heldBody struct{ *bytes.Buffer }

func (heldBody) Close() error { return nil }

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
