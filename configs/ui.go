package configs

import (
	"net/http"

	"consul.internal/httpapi/charts"
)

type uiFile struct {
	Enabled                 *bool             `hcl:"enabled" doc:"serve the web interface"`
	Dir                     *string           `hcl:"dir" doc:"directory with another web interface"`
	ContentPath             *string           `hcl:"content_path" doc:"path that it is served under"`
	MetricsProvider         *string           `hcl:"metrics_provider" doc:"source of the charts that another web interface draws; with another one than prometheus, metrics_proxy.path_allowlist has no default"`
	MetricsProviderFiles    []string          `hcl:"metrics_provider_files" later:"never" doc:"no effect: the pages draw no charts and run no scripts of others"`
	MetricsProviderOptsJSON *string           `hcl:"metrics_provider_options_json" later:"never" doc:"no effect, as metrics_provider_files"`
	MetricsProxy            uiMetricsFile     `hcl:"metrics_proxy" doc:"requests for metrics that are passed on"`
	DashboardURLTemplates   map[string]string `hcl:"dashboard_url_templates" doc:"links to dashboards: service is the one on the page of a service; {{Service.Name}} and {{Datacenter}} are put in"`
	HCPEnabled              *bool             `hcl:"hcp_enabled" later:"never" doc:"the reference vendor's hosted service"`
}

type uiMetricsFile struct {
	BaseURL       *string  `hcl:"base_url" doc:"URL that they go below; without it none is passed on"`
	PathAllowlist []string `hcl:"path_allowlist" doc:"paths below it that may be asked for, whole; default is what charts out of Prometheus need: /api/v1/query_range and /api/v1/query"`
	AddHeaders    []struct {
		Name  *string `hcl:"name" doc:"name of the header"`
		Value *string `hcl:"value" doc:"what it says; kept from whoever asks"`
	} `hcl:"add_headers" doc:"headers added to each of them"`
}

// dashboardOf is the template of the one kind of link that there is. Templates of
// other names are judged as well: who wrote them believes that they work.
func dashboardOf(r *resolver) string {
	const key = "ui_config.dashboard_url_templates"
	all := r.f.UI.DashboardURLTemplates
	for _, name := range sorted(all) {
		if err := charts.CheckDashboard(all[name]); err != nil {
			r.errorf(key, "%s.%s: %s", key, name, err)
		}
		if name != "service" {
			r.warnf(key, "%s.%s has no effect: service is the only one that is known", key, name)
		}
	}
	return all["service"]
}

// metricsOf is what requests for metrics are passed on to.
func metricsOf(r *resolver) charts.Config {
	const key = "ui_config.metrics_proxy"
	f := r.f.UI.MetricsProxy
	out := charts.Config{Base: value(f.BaseURL), Paths: f.PathAllowlist}
	if _, named := r.where[key+".path_allowlist"]; !named && out.Base != "" {
		if provider := value(r.f.UI.MetricsProvider); provider == "" || provider == "prometheus" {
			out.Paths = charts.DefaultPaths()
		}
	}
	if out.Base != "" {
		if err := charts.CheckBase(out.Base); err != nil {
			r.errorf(key+".base_url", "%s.base_url: %s", key, err)
		}
		if len(out.Paths) == 0 {
			r.warnf(key+".base_url", "%s passes nothing on: name the paths in path_allowlist", key)
		}
	}
	for _, p := range out.Paths {
		if err := charts.CheckPath(p); err != nil {
			r.errorf(key+".path_allowlist", "%s.path_allowlist: %s", key, err)
		}
	}
	for _, one := range f.AddHeaders {
		if err := charts.CheckHeader(value(one.Name), value(one.Value)); err != nil {
			r.errorf(key+".add_headers", "%s.add_headers: %s", key, err)
			continue
		}
		if out.Header == nil {
			out.Header = http.Header{}
		}
		out.Header.Add(value(one.Name), value(one.Value))
	}
	return out
}
