package httpapi

import (
	_ "embed"
	"html/template"
	"maps"
	"net/http"
	"slices"

	"consul.internal/catalog"
	"consul.internal/httpapi/edge"
	"consul.internal/rpc"
)

//go:embed overview.html
var overviewPage string

// overviewRow is a service as the page shows it.
type overviewRow struct {
	Name                       string
	Tags                       []string
	Passing, Warning, Critical int
}

// overview is the page at /ui/: the services and how they are. Everything in it is
// escaped by the template, and the policy lets nothing run that is not in it.
func (s *Server) overview(page *template.Template) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ui/" {
			edge.Plain(w, http.StatusNotFound, "There is no such page.\n")
			return
		}
		rows, err := s.overviewRows(r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		edge.LimitWriting(w)
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		cfg := s.config()
		err = page.Execute(w, map[string]any{"Datacenter": cfg.Datacenter, "Node": cfg.NodeName, "Services": rows})
		if err != nil {
			s.log.Debug("the page was not taken: " + err.Error())
		}
	}
}

func (s *Server) overviewRows(r *http.Request) ([]*overviewRow, error) {
	opts := rpc.ReadOptions{Target: edge.Target(r), Consistency: rpc.Stale}
	services, err := rpc.Call(r.Context(), s.deps.Caller, rpc.CatalogServices, &rpc.ServicesRequest{ReadOptions: opts})
	if err != nil {
		return nil, edge.Remote(err)
	}
	var rows []*overviewRow
	for _, name := range slices.Sorted(maps.Keys(services.Services)) {
		health, err := rpc.Call(r.Context(), s.deps.Caller, rpc.HealthService, &rpc.ServiceRequest{ReadOptions: opts, Service: name})
		if err != nil {
			return nil, edge.Remote(err)
		}
		row := &overviewRow{Name: name, Tags: services.Services[name]}
		for _, i := range health.Instances {
			switch i.Status() {
			case catalog.Critical:
				row.Critical++
			case catalog.Warning:
				row.Warning++
			default:
				row.Passing++
			}
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// uiRoutes open the page where the configuration says so.
func (s *Server) uiRoutes(mux *http.ServeMux) error {
	if !s.config().UI {
		return nil
	}
	page, err := template.New("overview").Parse(overviewPage)
	if err != nil {
		return err
	}
	mux.Handle("/ui/", s.overview(page))
	return nil
}
