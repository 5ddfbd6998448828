package configs

import (
	"reflect"
	"strings"
	"testing"

	"consul.internal/httpapi/charts"
)

func TestChartsElsewhere(t *testing.T) {
	s, warnings := mustLoad(t, "-data-dir=d", "-hcl="+`
ui_config {
  enabled          = true
  metrics_provider = "prometheus"
  metrics_proxy {
    base_url    = "http://prometheus:9090/prom"
    add_headers = [{ name = "x-scope-orgid", value = "a" }, { name = "Authorization", value = "Bearer x" }, { name = "X-Scope-OrgID", value = "b" }]
  }
  dashboard_url_templates { service = "https://grafana.example.com/d/x?var-service={{Service.Name}}" }
}`)
	if len(warnings) != 0 {
		t.Errorf("warnings %q", warnings)
	}
	want := charts.Config{Base: "http://prometheus:9090/prom", Paths: []string{"/api/v1/query_range", "/api/v1/query"},
		Header: map[string][]string{"X-Scope-Orgid": {"a", "b"}, "Authorization": {"Bearer x"}}}
	if !reflect.DeepEqual(s.HTTP.Metrics, want) || s.HTTP.Dashboard != "https://grafana.example.com/d/x?var-service={{Service.Name}}" {
		t.Errorf("%+v %s", s.HTTP.Metrics, s.HTTP.Dashboard)
	}
	for _, tt := range []struct {
		text, paths, warning string
	}{
		{`metrics_proxy { base_url = "http://p" }`, "/api/v1/query_range /api/v1/query", ""},
		{`metrics_proxy { base_url = "http://p" path_allowlist = ["/a", "/b/"] }`, "/a /b/", ""},
		{`metrics_provider = "prometheus" metrics_proxy { base_url = "http://p" path_allowlist = ["/a"] }`, "/a", ""},
		{`metrics_provider = "prometheus" metrics_proxy { base_url = "http://p" path_allowlist = [] }`, "", "ui_config.metrics_proxy passes nothing on"},
		{`metrics_provider = "other" metrics_proxy { base_url = "http://p" path_allowlist = ["/a"] }`, "/a", ""},
		{`metrics_provider = "other" metrics_proxy { base_url = "http://p" }`, "", "ui_config.metrics_proxy passes nothing on"},
		{`metrics_provider = "other"`, "", ""},
		{`metrics_provider_files = ["/a.js"]`, "", "metrics_provider_files"},
		{`dashboard_url_templates { other = "https://g" }`, "", "dashboard_url_templates.other has no effect"},
	} {
		s, warnings := mustLoad(t, "-data-dir=d", "-hcl=ui_config { "+tt.text+" }")
		if got := strings.Join(s.HTTP.Metrics.Paths, " "); got != tt.paths {
			t.Errorf("%s: %q", tt.text, got)
		}
		if all := strings.Join(warnings, "\n"); (all == "") != (tt.warning == "") || !strings.Contains(all, tt.warning) {
			t.Errorf("%s: warnings %q", tt.text, all)
		}
	}
}

func TestChartsMistakes(t *testing.T) {
	for text, want := range map[string]string{
		`metrics_proxy { base_url = "prometheus:9090" }`:                    "flags-0.hcl:2:17: ui_config.metrics_proxy.base_url: it must be a URL",
		`metrics_proxy { base_url = "http://p" path_allowlist = ["api"] }`:  `ui_config.metrics_proxy.path_allowlist: "api" is not a path`,
		`metrics_proxy { path_allowlist = ["/api/../x"] }`:                  `ui_config.metrics_proxy.path_allowlist: "/api/../x" is not a path`,
		`metrics_proxy { add_headers { name = "a b" value = "secret" } }`:   `ui_config.metrics_proxy.add_headers: "a b" is not the name of a header`,
		`metrics_proxy { add_headers { value = "secret" } }`:                `ui_config.metrics_proxy.add_headers: "" is not the name of a header`,
		`metrics_proxy { add_headers { name = "a" value = "secret\n" } }`:   `ui_config.metrics_proxy.add_headers: the value of a has`,
		`metrics_proxy { base = "x" }`:                                      `base`,
		`dashboard_url_templates { service = "javascript:alert(1)" }`:       `ui_config.dashboard_url_templates.service: "javascript:alert(1)" is not a URL`,
		`dashboard_url_templates { other = "/x" }`:                          `ui_config.dashboard_url_templates.other: "/x" is not a URL`,
		`dashboard_url_templates { service = "https://{{Service.Name}}/" }`: `cannot be the end of a host's name`,
	} {
		_, _, err := Load([]string{"-data-dir=d", "-hcl=ui_config {\n" + text + "\n}"}, testHost())
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
