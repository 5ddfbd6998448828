package httpapi

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"

	"consul.internal/httpapi/edge"
	"consul.internal/internal/audit"
	"go.uber.org/zap"
)

// fail answers with an error's status and text.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, text := edge.StatusOf(err), edge.TextOf(r, err)
	if status == http.StatusInternalServerError && r.Context().Err() == nil { // else the client is gone, or the agent goes
		s.log.Error("Request error", zap.String("method", r.Method), zap.String("url", audit.Path(r.URL.Path, edge.Token(r))),
			zap.String("from", r.RemoteAddr), zap.String("error", text))
	}
	edge.Plain(w, status, text)
}

// answer writes a value as JSON, indented and compressed as the client asked.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, v any) {
	status := http.StatusOK
	if ws, ok := v.(edge.WithStatus); ok {
		status, v = ws.Code, ws.Value
	}
	edge.LimitWriting(w)
	h := w.Header()
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	if v == nil {
		w.WriteHeader(status)
		return
	}
	body, err := encode(v, edge.Has(r, "pretty"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if len(body) >= gzipFrom && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		w.WriteHeader(status)
		s.compress(w, body)
		return
	}
	if len(body) > lengthKnown {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// compress writes a body so. What it needs for that takes 0.8 MB, many times what is
// written.
func (s *Server) compress(w io.Writer, body []byte) {
	z, ok := s.zips.Get().(*gzip.Writer)
	if !ok {
		z = gzip.NewWriter(nil)
	}
	defer s.zips.Put(z)
	z.Reset(w)
	_, _ = z.Write(body) // the client is gone; the server sees it itself
	_ = z.Close()
	z.Reset(nil) // what waits in the pool holds no connection
}

func encode(v any, pretty bool) ([]byte, error) {
	if raw, ok := v.(edge.Raw); ok {
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
