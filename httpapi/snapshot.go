package httpapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"consul.internal/httpapi/edge"
	"consul.internal/rpc"
	"go.uber.org/zap"
)

// Snapshots saves and restores the state of a datacenter's servers.
type Snapshots interface {
	// Save takes a snapshot. Whoever asked reads the archive and closes it.
	Save(ctx context.Context, ask rpc.ReadOptions) (*Archive, error)
	// Restore puts the state of an archive in the place of the servers' own, or
	// changes nothing. It checks the whole archive first.
	Restore(ctx context.Context, t rpc.Target, archive io.Reader) error
}

// Archive is a snapshot as it is handed over.
type Archive struct {
	rpc.ReadMeta // its Index is that of the state in the archive
	io.ReadCloser
}

const (
	snapshotPath = "/v1/snapshot"
	// pieceSize is how much of a long body must pass within streamTimeout: less than
	// 3 KB/s is nobody who wants to be served.
	pieceSize = 64 << 10
)

// streamsBody says that a request's body is read by its handler, piece by piece,
// because no size of it would be too large.
func streamsBody(r *http.Request) bool {
	return r.Method == http.MethodPut && r.URL.Path == snapshotPath
}

// snapshotAPI answers /v1/snapshot.
type snapshotAPI struct{ *Server }

func (s snapshotAPI) serve(w http.ResponseWriter, r *http.Request) (any, error) {
	if s.deps.Snapshots == nil {
		return nil, edge.Failed(http.StatusNotImplemented, "This agent can take no snapshots")
	}
	if r.Method == http.MethodPut {
		return s.restore(w, r)
	}
	return s.save(w, r)
}

func (s snapshotAPI) save(w http.ResponseWriter, r *http.Request) (any, error) {
	opts, err := s.ReadOptions(r)
	if err != nil {
		return nil, err
	}
	archive, err := s.deps.Snapshots.Save(r.Context(), opts)
	if err != nil {
		return nil, edge.Remote(err)
	}
	defer func() { _ = archive.Close() }() // it was only read
	edge.SetMeta(w, r, &archive.ReadMeta)
	w.Header().Del("X-Consul-Effective-Consistency")
	out := newStream(w, "application/x-gzip")
	piece := make([]byte, pieceSize)
	for {
		n, err := io.ReadFull(archive, piece)
		if n > 0 && out.write(piece[:n]) != nil {
			return edge.Sent{}, nil // the client is gone
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return edge.Sent{}, nil
		case err != nil:
			s.log.Error("a snapshot could not be handed over whole", zap.String("from", r.RemoteAddr), zap.Error(err))
			panic(http.ErrAbortHandler)
		}
	}
}

func (s snapshotAPI) restore(w http.ResponseWriter, r *http.Request) (any, error) {
	rc := http.NewResponseController(w)
	defer func() { _ = rc.SetReadDeadline(time.Time{}) }() // a writer that knows none is a test's
	if err := s.deps.Snapshots.Restore(r.Context(), edge.Target(r), &pacedBody{r: r.Body, rc: rc}); err != nil {
		return nil, edge.Remote(err)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	return nil, nil
}

// pacedBody is a body of any length that must not come too slowly.
type pacedBody struct {
	r    io.Reader
	rc   *http.ResponseController
	left int // of the piece whose time runs
}

func (b *pacedBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		b.left = pieceSize
		if err := b.rc.SetReadDeadline(time.Now().Add(streamTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return 0, err
		}
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
