package httpapi

import (
	"encoding/json"
	"net/http"
	"strings"

	"consul.internal/httpapi/edge"
	"consul.internal/internal/metrics"
)

// noPrometheus is the known text for Prometheus text that is turned off.
const noPrometheus = "Prometheus is not enabled since its retention time is not positive"

// metrics answers /v1/agent/metrics: JSON of the last interval, or what
// Prometheus scrapes.
func (s agentAPI) metrics(w http.ResponseWriter, r *http.Request) (any, error) {
	if !wantsPrometheus(r) {
		return s.deps.Metrics.Summary(), nil
	}
	if !s.deps.Metrics.Prometheus() {
		return nil, edge.Failed(http.StatusUnsupportedMediaType, noPrometheus)
	}
	w.Header().Set("Content-Type", metrics.ContentType)
	return edge.Raw(s.deps.Metrics.PrometheusText()), nil
}

// wantsPrometheus looks at ?format and, without it, at what Prometheus says that
// it accepts.
func wantsPrometheus(r *http.Request) bool {
	if format := r.URL.Query().Get("format"); format != "" {
		return format == "prometheus"
	}
	for _, accepted := range []string{"application/openmetrics-text", "application/vnd.google.protobuf", "prometheus/telemetry", "version=0.0.4"} {
		if strings.Contains(r.Header.Get("Accept"), accepted) {
			return true
		}
	}
	return false
}

// metricsStream answers /v1/agent/metrics/stream: the JSON of each interval, a
// line each, when it has ended.
func (s agentAPI) metricsStream(w http.ResponseWriter, r *http.Request) (any, error) {
	out := newStream(w, "application/json")
	if err := out.flush(); err != nil {
		return edge.Sent{}, nil
	}
	_ = s.deps.Metrics.Stream(r.Context(), func(sum metrics.Summary) error { // an error says that the client is gone
		line, err := json.Marshal(sum)
		if err != nil {
			return err
		}
		return out.write(append(line, '\n'))
	})
	return edge.Sent{}, nil
}
