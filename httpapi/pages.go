package httpapi

import (
	"cmp"
	"net/http"

	"consul.internal/httpapi/edge"
	"consul.internal/httpapi/ui"
	"go.uber.org/zap"
)

// pages are the row of the web pages, where the configuration says so.
func (s *Server) pages() []edge.Route {
	cfg := s.config()
	if !cfg.UI {
		return nil
	}
	routes, err := ui.Routes(cfg.Pages, ui.Deps{Base: s.Base, Events: s.deps.Events, DNS: s.deps.DNS, Log: s.log})
	if err != nil {
		s.log.Error("the web pages cannot be shown", zap.Error(err)) // the API is there all the same
	}
	return routes
}

// tokenOf is the secret that a request brings, be it as a cookie of the pages.
func (s *Server) tokenOf(r *http.Request) string {
	return cmp.Or(edge.Token(r), ui.Token(r, s.config().Pages.At()))
}
