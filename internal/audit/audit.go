// Package audit writes down who did what over HTTP: a line of JSON when a request
// begins and one when it is answered, each into every configured file.
//
// A request is never held up by it: what a disk does not take in time is dropped,
// counted and told of in the log. Secrets never stand in it; a token is named by
// its accessor.
package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"consul.internal/internal/logx"
	"consul.internal/internal/rotate"
	"github.com/hashicorp/go-uuid"
	"go.uber.org/zap"
)

// Sink is one file.
type Sink struct {
	Name           string
	Path           string
	Mode           fs.FileMode
	RotateDuration time.Duration // 0 = not by age
	RotateBytes    int           // 0 = not by size
	RotateMaxFiles int           // 0 = all are kept
}

// Deps of a Log.
type Deps struct {
	// Accessor is the accessor ID of a secret ("" = of who shows none); "" where
	// there is no such token. It may have to ask a server.
	Accessor func(ctx context.Context, secret string) string
	Log      *zap.Logger
	// Dropped is told how many lines were not written; nil = nobody is.
	Dropped func(n uint64)
}

// Log is an audit log.
type Log struct {
	deps  Deps
	sinks []*logx.Sink
	slow  atomic.Int64 // until when nobody is asked for accessors, in nanoseconds of Unix
	files []*rotate.File
}

// Open opens every file, or none.
func Open(sinks []Sink, deps Deps) (*Log, error) {
	l := &Log{deps: deps}
	for _, s := range sinks {
		f, err := rotate.Open(rotate.Config{
			Path: s.Path, Mode: s.Mode, MaxAge: s.RotateDuration, MaxBytes: int64(s.RotateBytes), Keep: s.RotateMaxFiles,
		})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("audit.sink %q: %w", s.Name, err), l.Close())
		}
		l.files = append(l.files, f)
		l.sinks = append(l.sinks, logx.NewSink(&teller{l, s.Name, f, false}, func(dropped uint64) []byte {
			if deps.Dropped != nil {
				deps.Dropped(dropped)
			}
			deps.Log.Error("the audit log could not be written fast enough", zap.String("sink", s.Name), zap.Uint64("lost_lines", dropped))
			line, _ := json.Marshal(lost{time.Now(), "audit", dropped}) // of plain values
			return append(line, '\n')
		}))
	}
	return l, nil
}

// lost is the line that stands for lines that could not be written.
type lost struct {
	CreatedAt time.Time `json:"created_at"`
	EventType string    `json:"event_type"`
	Lost      uint64    `json:"lost_lines"`
}

// teller tells of a file that cannot be written, once.
type teller struct {
	l      *Log
	name   string
	file   *rotate.File
	failed bool // the last line was not taken
}

func (t *teller) Write(p []byte) (int, error) {
	n, err := t.file.Write(p)
	if err != nil && !t.failed {
		t.l.deps.Log.Error("the audit log cannot be written", zap.String("sink", t.name), zap.Error(err))
	}
	t.failed = err != nil
	return n, err
}

// Close writes what waits and closes the files.
func (l *Log) Close() error {
	var errs []error
	for _, s := range l.sinks {
		errs = append(errs, s.Close())
	}
	for _, f := range l.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// event is a line, in the form that readers of such logs know.
type event struct {
	CreatedAt time.Time `json:"created_at"`
	EventType string    `json:"event_type"`
	Payload   payload   `json:"payload"`
}

type payload struct {
	ID        string    `json:"id"` // the same at the beginning and at the end
	Version   string    `json:"version"`
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"` // when the request began
	Auth      auth      `json:"auth"`
	Request   request   `json:"request"`
	Response  *response `json:"response,omitempty"`
	Stage     string    `json:"stage"`
}

type auth struct {
	Accessor string `json:"accessor_id"`
}

type request struct {
	Operation  string `json:"operation"`
	Endpoint   string `json:"endpoint"`
	Query      string `json:"query,omitempty"`
	RemoteAddr string `json:"remote_addr"`
	UserAgent  string `json:"user_agent"`
	Host       string `json:"host"`
}

type response struct {
	Status   string  `json:"status"`
	Duration float64 `json:"duration_ms"`
}

const (
	// maxText bounds each text of a stranger in a line, so that the line is never cut.
	maxText = 600
	// askTimeout is how long a request may be held up to know whose token it shows,
	// and askPause for how long nobody is asked after it was not known in time: the
	// servers are away then, and requests that need none must not wait for them.
	askTimeout = 100 * time.Millisecond
	askPause   = 5 * time.Second
)

// who is the accessor of a secret, as far as it is known in time.
func (l *Log) who(ctx context.Context, secret string) string {
	if time.Now().UnixNano() < l.slow.Load() {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
	defer cancel()
	accessor := l.deps.Accessor(ctx, secret)
	if ctx.Err() != nil {
		l.slow.Store(time.Now().Add(askPause).UnixNano())
	}
	return accessor
}

func bounded(s string) string {
	if len(s) > maxText {
		s = s[:maxText] + "..."
	}
	return s
}

// Entry is a request that has begun. A nil Entry does nothing.
type Entry struct {
	l      *Log
	secret string
	e      event
}

// Begin writes down that a request with a secret came. A nil Log writes nothing.
func (l *Log) Begin(r *http.Request, secret string) *Entry {
	if l == nil {
		return nil
	}
	id, err := uuid.GenerateUUID()
	if err != nil {
		id = "" // no randomness: the line is worth more than its ID
	}
	now := time.Now()
	e := &Entry{l, secret, event{now, "audit", payload{
		ID: id, Version: "1", Type: "HTTPEvent", Timestamp: now, Auth: auth{l.who(r.Context(), secret)},
		Request: request{
			Operation: bounded(r.Method), Endpoint: bounded(Path(r.URL.Path, secret)), Query: bounded(queryOf(r.URL)), RemoteAddr: r.RemoteAddr,
			UserAgent: bounded(r.UserAgent()), Host: bounded(r.Host),
		},
		Stage: "OperationStart",
	}}}
	e.write()
	return e
}

// End writes down how it was answered.
func (e *Entry) End(status int) {
	if e == nil {
		return
	}
	e.e.CreatedAt = time.Now()
	took := e.e.CreatedAt.Sub(e.e.Payload.Timestamp)
	e.e.Payload.Stage = "OperationComplete"
	if e.e.Payload.Auth.Accessor == "" { // whoever performed the request may know by now
		e.e.Payload.Auth.Accessor = e.l.who(context.Background(), e.secret)
	}
	e.e.Payload.Response = &response{strconv.Itoa(status), float64(took.Microseconds()) / 1000}
	e.write()
}

func (e *Entry) write() {
	line, err := json.Marshal(&e.e)
	if err != nil { // nothing in it can fail
		e.l.deps.Log.Error("a line of the audit log cannot be made", zap.Error(err))
		return
	}
	line = append(line, '\n')
	for _, s := range e.l.sinks {
		_, _ = s.Write(line) // it counts what it drops
	}
}

// secretPaths are the paths whose next part is a secret.
func secretPaths() []string {
	return []string{"/v1/acl/info/", "/v1/acl/destroy/", "/v1/acl/clone/"}
}

// Path takes secrets out of a path: the older ACL endpoints carry them there, and
// clients write tokens where none belong.
func Path(path, secret string) string {
	for _, prefix := range secretPaths() {
		if rest, ok := strings.CutPrefix(path, prefix); ok && rest != "" {
			return prefix + hidden
		}
	}
	if secret != "" {
		path = strings.ReplaceAll(path, secret, hidden)
	}
	return path
}

// hidden stands where a secret was.
const hidden = "<hidden>"

// queryOf is a request's query without its token. What cannot be read is left out:
// there may be a token in it.
func queryOf(u *url.URL) string {
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return "<unreadable>"
	}
	if q.Has("token") {
		q.Set("token", hidden)
	}
	return q.Encode()
}
