package httpapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/internal/fault"
	"consul.internal/rpc"
)

// fakeSnapshots hands out one archive and counts what it is given.
type fakeSnapshots struct {
	archive  io.Reader
	err      error
	ask      rpc.ReadOptions
	to       rpc.Target
	restored int64
	closed   bool
}

func (f *fakeSnapshots) Save(_ context.Context, ask rpc.ReadOptions) (*Archive, error) {
	f.ask = ask
	if f.err != nil {
		return nil, f.err
	}
	return &Archive{rpc.ReadMeta{Index: 42, KnownLeader: true}, f}, nil
}

func (f *fakeSnapshots) Read(p []byte) (int, error) { return f.archive.Read(p) }
func (f *fakeSnapshots) Close() error               { f.closed = true; return nil }

func (f *fakeSnapshots) Restore(_ context.Context, t rpc.Target, archive io.Reader) (err error) {
	f.to = t
	if f.err != nil {
		return f.err
	}
	f.restored, err = io.Copy(io.Discard, archive)
	return err
}

func withSnapshots(t *testing.T, f *fakeSnapshots) *Server {
	t.Helper()
	s := newTestServer(t, &fakeCaller{}, nil)
	s.deps.Snapshots = f
	return s
}

func TestSave(t *testing.T) {
	content := strings.Repeat("archive", 100_000)
	f := &fakeSnapshots{archive: strings.NewReader(content)}
	r := do(withSnapshots(t, f), "GET", "/v1/snapshot?stale&dc=dc2", "", "X-Consul-Token", "secret", "Accept-Encoding", "gzip")
	if r.StatusCode != 200 || text(t, r) != content || !f.closed {
		t.Errorf("%d, closed %v", r.StatusCode, f.closed)
	}
	for k, want := range map[string]string{
		"Content-Type": "application/x-gzip", "X-Consul-Index": "42", "X-Consul-Knownleader": "true",
		"X-Consul-Lastcontact": "0", "X-Consul-Effective-Consistency": "", "Content-Encoding": "",
	} {
		if got := r.Header.Get(k); got != want {
			t.Errorf("%s: %q, want %q", k, got, want)
		}
	}
	if f.ask.Consistency != rpc.Stale || f.ask.Datacenter != "dc2" || f.ask.Token != "secret" {
		t.Errorf("asked %+v", f.ask)
	}
	if r := do(withSnapshots(t, &fakeSnapshots{err: fault.Newf(fault.NoLeader, "No cluster leader")}), "GET", "/v1/snapshot", ""); r.StatusCode != 500 || text(t, r) != "No cluster leader" {
		t.Errorf("without a leader: %d", r.StatusCode)
	}
	if r := do(newTestServer(t, &fakeCaller{}, nil), "GET", "/v1/snapshot", ""); r.StatusCode != 501 {
		t.Errorf("not to be had: %d", r.StatusCode)
	}
}

// TestSaveCutOff: what could not be sent whole does not look whole.
func TestSaveCutOff(t *testing.T) {
	f := &fakeSnapshots{archive: io.MultiReader(strings.NewReader(strings.Repeat("x", 200_000)), broken{})}
	srv := httptest.NewServer(withSnapshots(t, f).Handler())
	defer srv.Close()
	r, err := http.Get(srv.URL + "/v1/snapshot")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }() // it was only read
	if n, err := io.Copy(io.Discard, r.Body); err == nil {
		t.Errorf("%d bytes came as if they were all", n)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("disk broke") }

// TestRestoreStreams: a body of any size goes through, and none of it is kept.
func TestRestoreStreams(t *testing.T) {
	f := &fakeSnapshots{}
	s := withSnapshots(t, f)
	const size = 8 * maxBody
	for _, length := range []int64{size, -1} {
		req := httptest.NewRequest("PUT", "/v1/snapshot?dc=dc2&token=t", io.LimitReader(zeros{}, size))
		req.ContentLength = length
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, req)
		if w.Code != 200 || f.restored != size || s.bodies.held.Load() != 0 || f.to != (rpc.Target{Datacenter: "dc2", Token: "t"}) {
			t.Errorf("%d: %d bytes, %+v", w.Code, f.restored, f.to)
		}
		if got := w.Header().Get("Content-Type"); got != "application/octet-stream" || w.Body.Len() != 0 {
			t.Errorf("%q, %d bytes", got, w.Body.Len())
		}
	}
	f.err = fault.Newf(fault.Invalid, "failed to decompress snapshot: unexpected EOF")
	if r := do(s, "PUT", "/v1/snapshot", "rubbish"); r.StatusCode != 500 || text(t, r) != f.err.Error() {
		t.Errorf("rubbish: %d", r.StatusCode)
	}
	if r := do(s, "POST", "/v1/snapshot", ""); r.StatusCode != 405 || r.Header.Get("Allow") != "OPTIONS,GET,PUT" {
		t.Errorf("POST: %d %q", r.StatusCode, r.Header.Get("Allow"))
	}
}

// TestRestoreTooSlow: who sends too little for too long is cut off, who sends
// enough never is.
func TestRestoreTooSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		rc := deadlines{server}
		body := &pacedBody{r: server, rc: http.NewResponseController(rc)}
		done := make(chan error, 1)
		go func() {
			_, err := io.Copy(io.Discard, body)
			_ = server.Close() // as the door does after an error
			done <- err
		}()
		piece := bytes.Repeat([]byte{1}, pieceSize)
		for range 10 { // 280 s in all
			time.Sleep(streamTimeout - 2*time.Second)
			if _, err := client.Write(piece); err != nil {
				t.Fatal(err)
			}
		}
		for range 10 {
			time.Sleep(10 * time.Second)
			if _, err := client.Write([]byte{1}); err != nil {
				break
			}
		}
		_ = client.Close() // a reader that still reads meets an end, which is no error
		if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a drip of bytes went on: %v", err)
		}
	})
}

// deadlines lends a ResponseController a connection's deadlines.
type deadlines struct{ net.Conn }

func (deadlines) Header() http.Header { return nil }
func (deadlines) WriteHeader(int)     {}
