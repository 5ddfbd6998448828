package httpapi

import (
	"errors"
	"net/http"
	"time"
)

// streamTimeout is how long a client may leave what is sent to it untaken: longer
// than a hiccup of the network, short enough that the dead give their place back.
const streamTimeout = 30 * time.Second

// stream is an answer that goes on and on.
type stream struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

// newStream begins an answer with status 200.
func newStream(w http.ResponseWriter, contentType string) *stream {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(http.StatusOK)
	return &stream{w: w, rc: http.NewResponseController(w)}
}

// write sends a piece at once.
func (s *stream) write(p []byte) error {
	if err := s.deadline(); err != nil {
		return err
	}
	if _, err := s.w.Write(p); err != nil {
		return err
	}
	return s.rc.Flush()
}

// flush sends what has been written, be it only the header.
func (s *stream) flush() error {
	if err := s.deadline(); err != nil {
		return err
	}
	return s.rc.Flush()
}

// deadline gives the client time for the next piece.
func (s *stream) deadline() error {
	err := s.rc.SetWriteDeadline(time.Now().Add(streamTimeout))
	if errors.Is(err, http.ErrNotSupported) { // a test's recorder is no connection
		return nil
	}
	return err
}
