package machine

import (
	"net/http"
	"net/http/pprof"

	"consul.internal/httpapi/edge"
)

// Profiles are the rows that open the process to a debugger, each of them guarded.
func Profiles(guarded func(edge.Handler) edge.Handler) []edge.Route {
	on := func(path string, serve http.HandlerFunc) edge.Route {
		return edge.On(path, guarded(func(w http.ResponseWriter, r *http.Request) (any, error) {
			serve(w, r)
			return edge.Sent{}, nil
		}), http.MethodGet, http.MethodPost)
	}
	return []edge.Route{
		on("/debug/pprof/", pprof.Index),
		on("/debug/pprof/cmdline", pprof.Cmdline),
		on("/debug/pprof/profile", pprof.Profile),
		on("/debug/pprof/symbol", pprof.Symbol), // POST brings many addresses at once
		on("/debug/pprof/trace", pprof.Trace),
	}
}
