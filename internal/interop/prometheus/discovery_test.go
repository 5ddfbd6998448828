package prometheus

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/go-kit/log"
	"github.com/hashicorp/consul/api"
	client "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery"
	sd "github.com/prometheus/prometheus/discovery/consul"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"gopkg.in/yaml.v2"
)

// config is a scrape configuration as people write it: targets are the passing
// instances of services that carry a tag, on nodes of one kind.
const config = `
consul_sd_configs:
  - server: "%s:8500"
    tags: [metrics]
    node_meta: {kind: app}
    refresh_interval: 100ms
relabel_configs:
  - source_labels: [__meta_consul_health]
    regex: passing
    action: keep
  - source_labels: [__meta_consul_service]
    target_label: job
`

type scrape struct {
	SD      []*sd.SDConfig    `yaml:"consul_sd_configs"`
	Relabel []*relabel.Config `yaml:"relabel_configs"`
}

// TestConsulSD: a service is discovered, leaves the targets when its check turns
// critical, comes back, and goes with its deregistration.
func TestConsulSD(t *testing.T) {
	addr, consul := agent(t)
	targets := discover(t, fmt.Sprintf(config, addr))

	register := func(node, kind, service, status string, tags ...string) {
		t.Helper()
		if _, err := consul.Catalog().Register(&api.CatalogRegistration{
			Node: node, Address: "10.0.0.9", NodeMeta: map[string]string{"kind": kind},
			Service: &api.AgentService{Service: service, Port: 9100, Tags: tags},
			Checks:  api.HealthChecks{{CheckID: service, Name: service, ServiceID: service, Status: status}},
		}, nil); err != nil {
			t.Fatal(err)
		}
	}
	register("app-1", "app", "web", api.HealthPassing, "metrics", "v1")
	register("app-1", "app", "untagged", api.HealthPassing)
	register("db-1", "db", "elsewhere", api.HealthPassing, "metrics")
	targets.await("the passing service", "web 10.0.0.9:9100")
	register("app-1", "app", "web", api.HealthCritical, "metrics", "v1")
	targets.await("nothing once its check is critical")
	register("app-1", "app", "web", api.HealthPassing, "metrics", "v1")
	register("app-1", "app", "late", api.HealthPassing, "metrics")
	targets.await("both when it passes again", "late 10.0.0.9:9100", "web 10.0.0.9:9100")
	if _, err := consul.Catalog().Deregister(&api.CatalogDeregistration{Node: "app-1", ServiceID: "web"}, nil); err != nil {
		t.Fatal(err)
	}
	targets.await("the other one once it is deregistered", "late 10.0.0.9:9100")
}

// agent runs the real binary, built from this tree.
func agent(t *testing.T) (addr string, consul *api.Client) {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "consul")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./cmd/consul")
	build.Dir = filepath.Join("..", "..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	addr = fmt.Sprintf("127.%d.%d.%d", 64+rand.IntN(64), 1+rand.IntN(254), 1+rand.IntN(254))
	logs, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), bin, "agent", "-dev", "-bind="+addr, "-client="+addr)
	cmd.Stdout, cmd.Stderr = logs, logs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended with the context
		_ = cmd.Wait()
		if t.Failed() {
			text, err := os.ReadFile(logs.Name())
			t.Logf("log of the agent: %v\n%s", err, text)
		}
	})
	if consul, err = api.NewClient(&api.Config{Address: addr + ":8500"}); err != nil {
		t.Fatal(err)
	}
	poll(t, "a leader", func() bool {
		leader, err := consul.Status().Leader()
		return err == nil && leader != ""
	})
	return addr, consul
}

// watch is what Prometheus would scrape.
type watch struct {
	t       *testing.T
	updates chan []*targetgroup.Group
	relabel []*relabel.Config
	groups  map[string]*targetgroup.Group
}

// discover runs Prometheus's discovery by a configuration.
func discover(t *testing.T, text string) *watch {
	t.Helper()
	var cfg scrape
	if err := yaml.UnmarshalStrict([]byte(text), &cfg); err != nil {
		t.Fatal(err)
	}
	if len(cfg.SD) != 1 {
		t.Fatalf("%d discovery configurations", len(cfg.SD))
	}
	registry := client.NewRegistry()
	metrics := cfg.SD[0].NewDiscovererMetrics(registry, discovery.NewRefreshMetrics(registry))
	d, err := cfg.SD[0].NewDiscoverer(discovery.DiscovererOptions{Logger: log.NewLogfmtLogger(os.Stderr), Metrics: metrics})
	if err != nil {
		t.Fatal(err)
	}
	w := &watch{t: t, updates: make(chan []*targetgroup.Group), relabel: cfg.Relabel, groups: map[string]*targetgroup.Group{}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.Run(ctx, w.updates)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return w
}

// await takes updates until the targets are the wanted ones.
func (w *watch) await(what string, want ...string) {
	w.t.Helper()
	deadline := time.After(20 * time.Second) // far more than any machine needs
	for {
		if got := w.targets(); slices.Equal(got, want) && len(w.groups) > 0 {
			return
		}
		select {
		case groups := <-w.updates:
			for _, g := range groups {
				w.groups[g.Source] = g
			}
		case <-deadline:
			w.t.Fatalf("waited in vain for %s: targets are %v, want %v", what, w.targets(), want)
		}
	}
}

// targets are what is left after relabelling, as "job address".
func (w *watch) targets() (out []string) {
	for _, g := range w.groups {
		for _, t := range g.Targets {
			b := labels.NewBuilder(labels.EmptyLabels())
			for _, set := range []model.LabelSet{g.Labels, t} {
				for name, value := range set {
					b.Set(string(name), string(value))
				}
			}
			if relabel.ProcessBuilder(b, w.relabel...) {
				out = append(out, b.Get("job")+" "+b.Get("__address__"))
			}
		}
	}
	slices.Sort(out)
	return out
}

func poll(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
