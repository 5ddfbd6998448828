package daemon_test

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/miekg/dns"
)

// TestTelemetry asks a real agent for its figures: each part has some, and the
// official client and Prometheus can read them.
func TestTelemetry(t *testing.T) {
	n := start(t, freeAddr(t), "-dev")
	if err := n.client.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "web", Port: 80}); err != nil {
		t.Fatal(err)
	}
	n.await(t, "the service in DNS", func() bool {
		return n.dig(t, "web.service.consul.", dns.TypeA).Rcode == dns.RcodeSuccess
	})
	if _, _, err := n.client.Health().Service("web", "", false, nil); err != nil {
		t.Fatal(err)
	}
	wanted := []string{
		`consul_runtime_num_goroutines \d+`, `consul_server_isLeader 1`, `consul_members_servers\{datacenter="dc1"\} 1`,
		`consul_state_nodes\{datacenter="dc1"\} 1`, `consul_state_services\{datacenter="dc1"\} 2`, `consul_state_service_instances\{datacenter="dc1"\} 2`,
		`consul_dns_domain_query_count\{type="A"\} [1-9]`, `consul_dns_responses\{rcode="NOERROR"\} [1-9]`,
		`consul_api_http_count\{method="PUT",path="v1.agent.service.register"\} 1`, `consul_api_http\{method="GET",path="v1.health.service._",quantile="0.5"\} \d`,
		`consul_catalog_register_count [1-9]`, `consul_health_service_query\{service="web"\} 1`, `consul_version\{version="[^"]+",pre_release="[^"]*"\} 1`,
	}
	var page string
	n.await(t, "figures of every part", func() bool {
		res, err := http.Get("http://" + n.addr + ":8500/v1/agent/metrics?format=prometheus")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		page = string(b)
		for _, w := range wanted {
			if !regexp.MustCompile(`(?m)^` + w).MatchString(page) {
				t.Logf("not yet: %s", w)
				return false
			}
		}
		return true
	})
	if dup := repeated(page); dup != "" {
		t.Errorf("twice on the page: %s", dup)
	}
	info, err := n.client.Agent().Metrics()
	if err != nil || info.Timestamp == "" || len(info.Gauges) == 0 || !strings.HasPrefix(info.Gauges[0].Name, "consul.") {
		t.Errorf("the client reads %+v, %v", info, err)
	}
	host, err := n.client.Agent().Host()
	if err != nil || host["Memory"] == nil || host["Errors"] != nil {
		t.Errorf("host: %v, %v", host, err)
	}
	if _, err := n.client.Agent().UpdateDefaultACLToken("x", nil); err == nil || !strings.Contains(err.Error(), "401 (ACL support disabled)") {
		t.Errorf("token: %v", err)
	}
}

// repeated returns a series that stands on a page twice.
func repeated(page string) string {
	seen := map[string]bool{}
	for line := range strings.Lines(page) {
		name, _, _ := strings.Cut(line, " ")
		if name == "#" {
			name = line
		}
		if seen[name] {
			return line
		}
		seen[name] = true
	}
	return ""
}
