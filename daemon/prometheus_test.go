package daemon_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// TestPrometheusScrapes has the real Prometheus read the agent's metrics. (Debian's
// is built without consul_sd, so discovery is not asked of it here.)
func TestPrometheusScrapes(t *testing.T) {
	bin, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("no prometheus on this machine: install Debian's package to run this test")
	}
	n := start(t, freeAddr(t), "-dev")
	dir := t.TempDir()
	conf := write(t, filepath.Join(dir, "prometheus.yml"), fmt.Sprintf(`
scrape_configs:
  - job_name: agent
    scrape_interval: 1s
    metrics_path: /v1/agent/metrics
    params: {format: [prometheus]}
    static_configs:
      - targets: ["%s:8500"]
`, n.addr))
	l, err := net.Listen("tcp", n.addr+":0")
	if err != nil {
		t.Fatal(err)
	}
	listen := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(bin, "--config.file="+conf, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+listen)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // its status is that it was killed
		if t.Failed() {
			text, err := os.ReadFile(log.Name())
			t.Logf("log of prometheus: %v\n%s", err, text)
		}
	})
	type target struct {
		ScrapePool string
		ScrapeURL  string
		Health     string
	}
	targets := func(pool string) (found []target) {
		r, err := http.Get("http://" + listen + "/api/v1/targets?state=active")
		if err != nil {
			return nil // not up yet
		}
		defer r.Body.Close()
		var body struct {
			Data struct{ ActiveTargets []target }
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			return nil
		}
		for _, tg := range body.Data.ActiveTargets {
			if tg.ScrapePool == pool {
				found = append(found, tg)
			}
		}
		return found
	}
	n.await(t, "Prometheus to read the agent's metrics", func() bool {
		found := targets("agent")
		return len(found) == 1 && found[0].Health == "up"
	})
}
