package httpapi

import (
	"net/http"

	"consul.internal/httpapi/edge"
	"consul.internal/internal/logx"
	"go.uber.org/zap/zapcore"
)

// Monitor lets somebody listen to the agent's log.
type Monitor func(level zapcore.Level, json bool) (*logx.Listener, error)

// monitor answers /v1/agent/monitor: the log's lines from now on, until the
// client hangs up.
func (s agentAPI) monitor(w http.ResponseWriter, r *http.Request) (any, error) {
	name := r.URL.Query().Get("loglevel")
	if name == "" {
		name = "INFO"
	}
	level, err := logx.ParseLevel(name)
	if err != nil {
		return nil, edge.BadRequest("Unknown log level: " + name)
	}
	json, err := edge.Bool(r, "logjson")
	if err != nil {
		return nil, err
	}
	if s.deps.Monitor == nil {
		return nil, edge.Failed(http.StatusNotImplemented, "This agent's log cannot be followed")
	}
	lines, err := s.deps.Monitor(level, json)
	if err != nil {
		return nil, err
	}
	defer lines.Close()
	contentType := "text/plain; charset=utf-8"
	if json {
		contentType = "application/json"
	}
	follow(r, newStream(w, contentType), lines)
	return edge.Sent{}, nil
}

// follow sends lines until the client is gone or the agent closes. What came
// meanwhile goes in one piece.
func follow(r *http.Request, out *stream, lines *logx.Listener) {
	if out.flush() != nil {
		return
	}
	for {
		var piece []byte
		select {
		case <-r.Context().Done():
			return
		case piece = <-lines.Lines():
		}
		for more := true; more; {
			select {
			case line := <-lines.Lines():
				piece = append(piece, line...)
			default:
				more = false
			}
		}
		if out.write(append(piece, lines.Missed()...)) != nil {
			return // the client is gone
		}
	}
}
