package daemon_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"consul.internal/configs"
	"consul.internal/daemon"
	"github.com/hashicorp/consul/api"
	"github.com/miekg/dns"
	"go.uber.org/zap"
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
		`consul_raft_peers 1`, `consul_server_leader_known 1`, `consul_raft_applied_index [1-9]`, `consul_autopilot_failure_tolerance 0`, `consul_state_kv_entries\{datacenter="dc1"\} 0`,
		`consul_rpc_server_call_count\{method="Catalog.Register",request_type="write",rpc_type="internal",errored="false",leader="true"\} [1-9]`, `process_open_fds [1-9]`,
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

// TestCollectors has a real agent tell a statsd, a DogStatsD and a statsite, and one that
// is not there: names, values, tags and the host's name arrive, and nobody waits.
func TestCollectors(t *testing.T) {
	udp := func() net.PacketConn {
		l, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l
	}
	statsd, dog := udp(), udp()
	site, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { site.Close() })
	n := start(t, freeAddr(t), "-dev", "-hcl", fmt.Sprintf(
		`telemetry { statsd_address = %q dogstatsd_addr = %q dogstatsd_tags = ["env:test"] statsite_address = %q enable_host_metrics = true prefix_filter = ["-consul.rpc"] }`,
		statsd.LocalAddr(), dog.LocalAddr(), site.Addr()))
	if err := n.client.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "web", Port: 80}); err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	h := regexp.QuoteMeta(host)
	packets := func(l net.PacketConn) func() (string, error) {
		b := make([]byte, 65536)
		return func() (string, error) {
			size, _, err := l.ReadFrom(b)
			return string(b[:size]), err
		}
	}
	streams := func() (string, error) { // each interval has a connection of its own
		conn, err := site.Accept()
		if err != nil {
			return "", err
		}
		defer conn.Close()
		text, err := io.ReadAll(conn)
		return string(text), err
	}
	for name, v := range map[string]struct {
		next func() (string, error)
		want []string
	}{
		"statsd":    {packets(statsd), []string{`consul\.` + h + `\.members\.servers\.dc1:1\|g`, `consul\.` + h + `\.host\.memory\.total:\d+\|g`, `consul\.api\.http\.PUT\.v1\.agent\.service\.register:[0-9.]+\|ms`}},
		"statsite":  {streams, []string{`consul\.` + h + `\.members\.servers\.dc1:1\|g`}},
		"dogstatsd": {packets(dog), []string{`consul\.members\.servers:1\|g\|#env:test,datacenter:dc1`, `consul\.api\.http:[0-9.]+\|ms\|#env:test,method:PUT,path:v1\.agent\.service\.register`}},
	} {
		t.Run(name, func(t *testing.T) {
			all := ""
			for len(v.want) > 0 {
				text, err := v.next()
				if err != nil {
					t.Fatalf("%v before %q came; all was\n%s", err, v.want, all)
				}
				all += text
				v.want = slices.DeleteFunc(v.want, func(w string) bool { return regexp.MustCompile(`(?m)^` + w + `$`).MatchString(all) })
			}
			if strings.Contains(all, "consul.rpc") {
				t.Errorf("the filter lets it through:\n%s", all)
			}
		})
	}
}

// TestCollectorThatMustBeThere: only where retry_failed_connection is false an agent
// does not start.
func TestCollectorThatMustBeThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := l.Addr().String()
	l.Close()
	for _, must := range []bool{true, false} {
		addr := freeAddr(t)
		settings, _, err := configs.Load([]string{"-dev", "-bind=" + addr, "-client=" + addr, "-hcl",
			fmt.Sprintf(`telemetry { statsite_address = %q retry_failed_connection = %v }`, dead, !must)}, configs.SystemHost())
		if err != nil {
			t.Fatal(err)
		}
		d, err := daemon.New(settings, daemon.Options{Logger: zap.NewNop()})
		if err != nil {
			t.Fatal(err)
		}
		err = d.Open(t.Context())
		if must != (err != nil) || err != nil && !strings.Contains(err.Error(), "statsite at "+dead+" cannot be reached") {
			t.Errorf("must %v: %v", must, err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestWhoMayLook: without access control profiles want enable_debug; with it they are
// there for operators, and metrics for those who may read the agent.
func TestWhoMayLook(t *testing.T) {
	const secret = "3c0cc3ce-a1a2-4f6b-a3a5-0a0c0b8ca5b1"
	status := func(n *node, path, token string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+n.addr+":8500"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Consul-Token", token)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	open := start(t, freeAddr(t), "-dev", "-hcl", `enable_debug = true`)
	if got := status(open, "/debug/pprof/cmdline", ""); got != http.StatusOK {
		t.Errorf("with enable_debug: %d", got)
	}
	n := launch(t, freeAddr(t), secret, "-dev", "-hcl", `acl { enabled = true default_policy = "deny" tokens { initial_management = "`+secret+`" } }`)
	n.await(t, "the first token", func() bool { return status(n, "/v1/agent/metrics", secret) == http.StatusOK })
	for path, want := range map[string]int{
		"/debug/pprof/cmdline": http.StatusForbidden, "/v1/agent/metrics": http.StatusForbidden, "/v1/agent/metrics?format=prometheus": http.StatusForbidden,
		"/v1/agent/monitor?loglevel=info": http.StatusForbidden,
	} {
		if got := status(n, path, ""); got != want {
			t.Errorf("%s without a token: %d", path, got)
		}
	}
	if got := status(n, "/debug/pprof/cmdline", secret); got != http.StatusOK {
		t.Errorf("profiles for an operator: %d", got)
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
