package metrics

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// patience bounds what is waited for on a slow machine.
const patience = time.Minute

var rules = filepath.Join("..", "..", "..", "monitoring", "alerts.yml")

var binary string // the agent, built from this tree

func TestMain(m *testing.M) { os.Exit(built(m)) }

func built(m *testing.M) int {
	dir, err := os.MkdirTemp("", "interop")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "consul")
	build := exec.Command("go", "build", "-o", binary, "./cmd/consul")
	build.Dir = filepath.Join("..", "..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed (make interop-metrics as root on Debian installs it)", name)
	}
	return path
}

func TestRulesAreAccepted(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), program(t, "promtool"), "check", "rules", rules).CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("SUCCESS")) {
		t.Errorf("%v\n%s", err, out)
	}
}

// style is what promtool says of names that dashboards have known for years.
var style = []string{
	`counter metrics should have "_total" suffix`,
	`metric names should be written in 'snake_case' not 'camelCase'`,
	`non-histogram and non-summary metrics should not have "_count" suffix`,
	`metric names should not contain abbreviated units`,
}

// TestPageIsAccepted: promtool can read the page, and complains of nothing but names.
func TestPageIsAccepted(t *testing.T) {
	promtool := program(t, "promtool")
	a := start(t)
	text := a.must(http.MethodGet, "/v1/agent/metrics?format=prometheus", "")
	cmd := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 3) { // 3: it has read all, and complains
		t.Fatalf("%v\n%s", err, out)
	}
	complaints := 0
	for line := range strings.Lines(string(out)) {
		complaints++
		if !slices.ContainsFunc(style, func(s string) bool { return strings.Contains(line, s) }) {
			t.Errorf("promtool: %s", line)
		}
	}
	if families := strings.Count(text, "# TYPE "); families < 50 {
		t.Errorf("only %d metrics", families)
	} else {
		t.Logf("%d metrics, %d complaints, all of them of the style of known names", families, complaints)
	}
}

const configuration = `
global: {scrape_interval: 500ms, evaluation_interval: 500ms}
rule_files: [%[1]q]
scrape_configs:
  - job_name: consul
    metrics_path: /v1/agent/metrics
    params: {format: [prometheus]}
    static_configs: [{targets: ["%[2]s:8500"]}]
  - job_name: services
`

// Ways to find services. Debian leaves consul_sd out of its package; internal/interop/prometheus
// runs that part of Prometheus by itself. DNS has only what passes.
const (
	byCatalog = `
    consul_sd_configs: [{server: "%[2]s:8500", services: [web], refresh_interval: 500ms}]
    relabel_configs: [{source_labels: [__meta_consul_health], regex: passing, action: keep}]
`
	byDNS = `
    dns_sd_configs: [{names: [web.service.consul], type: SRV, refresh_interval: 500ms}]
`
)

// TestPrometheusScrapes runs the real Prometheus: it scrapes the agent, evaluates all
// alerts, and scrapes a service that it found until its check is critical.
func TestPrometheusScrapes(t *testing.T) {
	for name, way := range map[string]string{"consul_sd": byCatalog, "dns_sd": byDNS} {
		t.Run(name, func(t *testing.T) { scrapes(t, way) })
	}
}

func scrapes(t *testing.T, way string) {
	path := program(t, "prometheus")
	if way == byDNS && os.Getuid() != 0 {
		t.Skip("only root may bind port 53, and give Prometheus a resolv.conf of its own")
	}
	a := start(t)
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "web_requests_total 7")
	}))
	defer service.Close()
	host, port, err := net.SplitHostPort(strings.TrimPrefix(service.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	a.must(http.MethodPut, "/v1/agent/service/register", fmt.Sprintf(`{"Name": "web", "Address": %q, "Port": %s, "Check": {"TTL": "1h", "Status": "passing"}}`, host, port))

	dir := t.TempDir()
	full, err := filepath.Abs(rules)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, fmt.Appendf(nil, configuration+way, full, a.addr), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), program(t, "promtool"), "check", "config", file).CombinedOutput(); err != nil {
		if way == byCatalog && bytes.Contains(out, []byte("consul_sd_configs not found")) {
			t.Skip("this Prometheus was built without consul_sd")
		}
		t.Fatalf("%v\n%s", err, out)
	}
	resolv := filepath.Join(dir, "resolv.conf")
	if err := os.WriteFile(resolv, []byte("nameserver "+a.addr+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{path, "--config.file=" + file, "--storage.tsdb.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + a.addr + ":9090"}
	if way == byDNS { // its resolv.conf is nobody else's
		args = append([]string{"unshare", "--mount", "sh", "-c", "mount --bind " + resolv + ` /etc/resolv.conf && exec "$@"`, "sh"}, args...)
	}
	run(t, dir, args[0], args[1:]...)
	p := prometheus{t, "http://" + a.addr + ":9090"}

	p.await("a leader among what is scraped", "consul_server_isLeader", "1")
	p.await("the service's own metric", `web_requests_total{job="services"}`, "7")
	p.await("no alert that fires", `count(ALERTS{alertstate="firing"}) or vector(0)`, "0")
	var groups struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
	}
	p.eventually("all rules evaluated", func() error {
		if err := p.get("/api/v1/rules", &groups); err != nil {
			return err
		}
		for _, g := range groups.Data.Groups {
			for _, r := range g.Rules {
				if r.Health == "err" {
					t.Fatalf("alert %s: %s", r.Name, r.LastError)
				}
				if r.Health != "ok" {
					return fmt.Errorf("alert %s is %s", r.Name, r.Health)
				}
			}
		}
		return nil
	})
	if len(groups.Data.Groups) < 3 {
		t.Errorf("%d groups of rules", len(groups.Data.Groups))
	}
	a.must(http.MethodPut, "/v1/agent/check/fail/service:web", "")
	p.await("no such target once its check is critical", `count(up{job="services"}) or vector(0)`, "0")
	a.must(http.MethodPut, "/v1/agent/check/pass/service:web", "")
	p.await("the target again", `count(up{job="services"} == 1) or vector(0)`, "1")
}

// prometheus is asked over its API.
type prometheus struct {
	t    *testing.T
	base string
}

func (p prometheus) get(path string, into any) error {
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.base+path, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	return json.NewDecoder(res.Body).Decode(into)
}

func (p prometheus) eventually(what string, ask func() error) {
	p.t.Helper()
	eventually(p.t, what, ask)
}

// await waits until a query has one result of that value.
func (p prometheus) await(what, query, want string) {
	p.t.Helper()
	p.eventually(what, func() error {
		var answer struct {
			Error string
			Data  struct {
				Result []struct{ Value [2]any }
			}
		}
		if err := p.get("/api/v1/query?query="+url.QueryEscape(query), &answer); err != nil {
			return err
		}
		if r := answer.Data.Result; len(r) != 1 || r[0].Value[1] != want {
			return fmt.Errorf("%s: %+v, want %s", query, answer, want)
		}
		return nil
	})
}

func eventually(t *testing.T, what string, ask func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s: %v", what, err)
		}
	}
}

// agent is a real server on an address of its own.
type agent struct {
	t    *testing.T
	addr string
}

func start(t *testing.T) agent {
	t.Helper()
	dir := t.TempDir()
	a := agent{t, fmt.Sprintf("127.%d.%d.%d", 64+rand.IntN(64), 1+rand.IntN(254), 1+rand.IntN(254))}
	run(t, dir, binary, "agent", "-server", "-bootstrap-expect=1", "-data-dir="+filepath.Join(dir, "data"), "-bind="+a.addr, "-client="+a.addr, "-dns-port="+dnsPort())
	eventually(t, "a leader", func() error {
		leader, err := a.ask(http.MethodGet, "/v1/status/leader", "")
		if err == nil && len(leader) < 5 {
			err = fmt.Errorf("none: %s", leader)
		}
		return err
	})
	return a
}

// dnsPort is the one that every resolver asks, where that may be had.
func dnsPort() string {
	if os.Getuid() == 0 {
		return "53"
	}
	return "8600"
}

// run runs a program until the test ends; what it wrote is shown if the test fails.
func run(t *testing.T, dir, path string, args ...string) {
	t.Helper()
	name := filepath.Base(path)
	log, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		_ = cmd.Wait()
		if t.Failed() {
			text, err := os.ReadFile(log.Name())
			t.Logf("log of %s: %v\n%s", name, err, text[max(0, len(text)-8000):])
		}
	})
}

func (a agent) ask(method, path, body string) (string, error) {
	req, err := http.NewRequestWithContext(a.t.Context(), method, "http://"+a.addr+":8500"+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s: %s", method, path, res.Status, text)
	}
	return string(text), err
}

func (a agent) must(method, path, body string) string {
	a.t.Helper()
	text, err := a.ask(method, path, body)
	if err != nil {
		a.t.Fatal(err)
	}
	return text
}
