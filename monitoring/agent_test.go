package monitoring

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// patience bounds what is waited for on a slow machine.
const patience = time.Minute

// running is a real agent: libraries report to it as they do to no test inside a process.
type running struct{ addr, dir string }

// run starts a server with everything that shows a metric, and waits for its leader.
func run(t *testing.T) *running {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has many loopback addresses")
	}
	a := &running{dir: t.TempDir(), addr: fmt.Sprintf("127.%d.%d.%d", 64+rand.IntN(64), 1+rand.IntN(254), 1+rand.IntN(254))}
	program := filepath.Join(a.dir, "consul")
	command := func(dir, name string, args ...string) {
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
	}
	command("..", "go", "build", "-o", program, "./cmd/consul")
	command(a.dir, program, "tls", "ca", "create")
	command(a.dir, program, "tls", "cert", "create", "-server")
	log, err := os.Create(filepath.Join(a.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.CommandContext(t.Context(), program, "agent", "-server", "-bootstrap-expect=1", "-data-dir=data", "-bind="+a.addr, "-client="+a.addr, "-hcl",
		`telemetry { enable_host_metrics = true }
		 tls { defaults { ca_file = "consul-agent-ca.pem" cert_file = "dc1-server-consul-0.pem" key_file = "dc1-server-consul-0-key.pem" } }
		 encrypt = "5hRVgOTYI8jSI6ruQFRlWJyp6h2PvCPQxmIyXYU3zVQ="`)
	cmd.Dir, cmd.Stdout, cmd.Stderr = a.dir, log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second // then it is killed
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended with the context
		_ = cmd.Wait()
		if t.Failed() {
			text, err := os.ReadFile(log.Name())
			t.Logf("log of the agent: %v\n%s", err, text)
		}
	})
	a.eventually(t, "a leader", func(ctx context.Context) error {
		leader, err := a.ask(ctx, http.MethodGet, "/v1/status/leader", "")
		if err == nil && len(leader) < 5 {
			err = fmt.Errorf("none: %s", leader)
		}
		return err
	})
	return a
}

// eventually asks again until it is so, or the time is over.
func (a *running) eventually(t *testing.T, what string, ask func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask(ctx)
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

func (a *running) ask(ctx context.Context, method, path, body string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+a.addr+":8500"+path, strings.NewReader(body))
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

// use does with the agent what people do, so that it has something to show.
func (a *running) use(t *testing.T) {
	t.Helper()
	for _, r := range [][3]string{
		{http.MethodPut, "/v1/agent/service/register", `{"Name": "web", "Port": 80}`},
		{http.MethodPut, "/v1/catalog/register", `{"Node": "old", "Address": "10.0.0.1"}`},
		{http.MethodPut, "/v1/catalog/deregister", `{"Node": "old"}`},
		{http.MethodPut, "/v1/kv/a", "b"},
		{http.MethodPut, "/v1/txn", `[{"KV": {"Verb": "get", "Key": "a"}}]`},
		{http.MethodPut, "/v1/txn", `[{"KV": {"Verb": "set", "Key": "a", "Value": "Yg=="}}]`},
		{http.MethodPut, "/v1/session/create", `{"TTL": "10s"}`},
		{http.MethodPut, "/v1/event/fire/deploy", ""},
		{http.MethodPost, "/v1/query", `{"Name": "q", "Service": {"Service": "web"}}`},
		{http.MethodGet, "/v1/query/q/execute", ""},
		{http.MethodGet, "/v1/query/q/explain", ""},
		{http.MethodGet, "/v1/catalog/service/web", ""},
		{http.MethodGet, "/v1/health/service/web?consistent", ""},
	} {
		if _, err := a.ask(t.Context(), r[0], r[1], r[2]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.ask(t.Context(), http.MethodGet, "/v1/query/absent/execute", ""); err == nil {
		t.Fatal("a query that there is not can be executed")
	}
	names := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(a.addr, "8600"))
	}}
	a.eventually(t, "the service in DNS", func(ctx context.Context) error {
		_, err := names.LookupHost(ctx, "web.service.consul.")
		return err
	})
}

// metric is one name on the page.
type metric struct {
	kind   string
	labels map[string]bool // of any of its lines, but for quantile and le
}

// page reads Prometheus text.
func page(t *testing.T, text string) map[string]metric {
	t.Helper()
	all := map[string]metric{}
	for line := range bytes.Lines([]byte(text)) {
		f := strings.Fields(string(line))
		if len(f) < 2 {
			t.Fatalf("a line of another form: %q", line)
		}
		if f[0] == "#" {
			if f[1] == "TYPE" {
				all[f[2]] = metric{f[3], map[string]bool{}}
			}
			continue
		}
		found, ok := known(all, nameAt(string(line)))
		if !ok {
			t.Fatalf("no TYPE before %q", line)
		}
		for _, l := range labelsAt(string(line)) {
			if l != "quantile" && l != "le" {
				found.labels[l] = true
			}
		}
	}
	return all
}

// known finds what a name in a query stands for: a metric itself, or a part of one.
func known(all map[string]metric, name string) (metric, bool) {
	if m, ok := all[name]; ok {
		return m, true
	}
	for _, suffix := range []string{"_sum", "_count", "_bucket"} {
		base, cut := strings.CutSuffix(name, suffix)
		if m, ok := all[base]; cut && ok && (m.kind == "histogram" || m.kind == "summary" && suffix != "_bucket") {
			return m, true
		}
	}
	return metric{}, false
}
