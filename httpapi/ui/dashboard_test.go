package ui

import (
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"consul.internal/catalog"
)

// TestDashboard: the page of a service leads to its dashboard, where there is one,
// whatever the service is called; the page may load no more than others.
func TestDashboard(t *testing.T) {
	const template = "https://grafana.example.com/d/x?var-service={{Service.Name}}&dc={{Datacenter}}&ns={{Service.Namespace}}#{{Service.Name}}"
	for _, tt := range []struct{ template, name, want string }{
		{template, "web", "https://grafana.example.com/d/x?var-service=web&dc=dc1&ns=#web"},
		{template, evil, "https://grafana.example.com/d/x?var-service=" + strings.ReplaceAll(url.QueryEscape(evil), "+", "%20") + "&dc=dc1&ns=#" + strings.ReplaceAll(url.QueryEscape(evil), "+", "%20")},
		{"", "web", ""},
	} {
		h := serve(t, &world{many: 3, name: tt.name, status: catalog.Passing}, false, Config{Dashboard: tt.template})
		w := get(h, "/ui/dc1/services/"+url.PathEscape(tt.name))
		page := w.Body.String()
		_, after, found := strings.Cut(page, `<a class="button" href="https://grafana`)
		if found != (tt.want != "") || strings.Contains(page, "grafana") != found {
			t.Errorf("%q, %s: %s", tt.template, tt.name, page)
		}
		href, rest, _ := strings.Cut("https://grafana"+after, `"`)
		if found && (html.UnescapeString(href) != tt.want || !strings.HasPrefix(rest, ` target="_blank" rel="noopener noreferrer">`)) {
			t.Errorf("%s leads to %s %.60s, want %s", tt.name, html.UnescapeString(href), rest, tt.want)
		}
		if w.Code != http.StatusOK || w.Header().Get("Content-Security-Policy") != policy || strings.Contains(policy, "grafana") {
			t.Errorf("%s: %d %v", tt.name, w.Code, w.Header())
		}
		if other := get(h, "/ui/dc1/services").Body.String(); strings.Contains(other, "grafana") {
			t.Errorf("%s: the list of services has a dashboard: %s", tt.name, other)
		}
	}
	if _, err := Routes(Config{Dashboard: "javascript:alert(1)"}, Deps{}); err == nil || !strings.Contains(err.Error(), "dashboard_url_templates") {
		t.Errorf("another kind of link: %v", err)
	}
}
