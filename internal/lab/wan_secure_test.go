//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// wanPort is where the second datacenter gossips with the first: not where that does.
const wanPort = 9302

// TestWANSecure: datacenters with TLS that proves who is a server and with keys for
// their gossip, one of them with WAN addresses and a port of its own, find each
// other through one server, resolve and write, and change their key under way.
func TestWANSecure(t *testing.T) {
	w := newWAN(t, 20*time.Millisecond, site{servers: 3, clients: 1}, site{servers: 3})
	dir := filepath.Join(w.rig.Dir(), "tls")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	tool := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(w.ctx, binary, args...)
		cmd.Dir = dir
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("consul %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	tool("tls", "ca", "create")
	keys := []string{tool("keygen"), tool("keygen")}
	for i, dc := range w.dcs {
		name := fmt.Sprintf("dc%d", i+1)
		tool("tls", "cert", "create", "-server", "-dc", name)
		tool("tls", "cert", "create", "-client", "-dc", name)
		for _, a := range dc.agents() {
			a.secure(dir, name, keys[0])
		}
	}
	for k, a := range w.dcs[1].servers {
		a.twoFaced(t, fmt.Sprintf("10.3.0.%d", k+1), k == 0)
	}
	w.run()
	c := w.asks(0)
	took, err := await(w.ctx, surely, func(ctx context.Context) error { return c.place(ctx, "dc2", "safe", "10.4.0.1") })
	if err != nil {
		t.Fatal(err)
	}
	figures(t, "TLS and gossip keys over the WAN: the first write", []time.Duration{took}, "")
	const name = "safe.service.dc2.consul."
	if _, err := await(w.ctx, surely, func(ctx context.Context) error { return c.answers(ctx, name, "10.4.0.1") }); err != nil {
		t.Fatal(err)
	}

	s := c.stream(asInFaultRuns, func(int) string { return name })
	for _, step := range []string{"-install=" + keys[1], "-use=" + keys[1], "-remove=" + keys[0]} {
		if out, err := w.dcs[0].servers[0].cli(w.ctx, "keyring", step); err != nil {
			t.Errorf("consul keyring %s: %v\n%s", step, err, out)
		}
		if _, err := await(w.ctx, surely, w.allKnow); err != nil {
			t.Errorf("after consul keyring %s: %v", step, err)
		}
	}
	w.checkKeys(keys[1])
	pause(w.ctx, span(2*time.Second, time.Minute))
	each(t, "keys are changed: remote name", s.end(), func(r reply) bool { return r.right("10.4.0.1") && !r.stale })
	for _, a := range w.agents() {
		if n := strings.Count(a.logs(), "member-failed"); n > 0 {
			t.Errorf("%s: %d times a server was taken for failed", a.name, n)
		}
	}
}

// secure adds TLS that shows who is a server, and keys for gossip.
func (a *agent) secure(dir, dc, key string) {
	role := "client"
	if a.server {
		role = "server"
	}
	a.configure(map[string]any{
		"encrypt": key,
		"tls": map[string]any{
			"defaults": map[string]any{
				"ca_file": filepath.Join(dir, "consul-agent-ca.pem"), "verify_incoming": true, "verify_outgoing": true,
				"cert_file": filepath.Join(dir, dc+"-"+role+"-consul-0.pem"), "key_file": filepath.Join(dir, dc+"-"+role+"-consul-0-key.pem"),
			},
			"internal_rpc": map[string]any{"verify_server_hostname": true},
		},
	}, "security")
}

// configure gives the agent one more file with settings.
func (a *agent) configure(settings map[string]any, name string) {
	a.lab.t.Helper()
	text, err := json.Marshal(settings)
	if err != nil {
		a.lab.t.Fatal(err)
	}
	file := filepath.Join(a.lab.rig.Dir(), a.name+"-"+name+".json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		a.lab.t.Fatal(err)
	}
	a.args = append(slices.Clone(a.args), "-config-file="+file)
}

// twoFaced gives the agent an address of its own for the WAN, on which alone it
// gossips there. Only the first of its datacenter knows another one.
func (a *agent) twoFaced(t *testing.T, ip string, first bool) {
	t.Helper()
	if err := a.host.Also(ip); err != nil {
		t.Fatal(err)
	}
	inside := a.host.Addr().String()
	if !first {
		a.args = slices.DeleteFunc(slices.Clone(a.args), func(arg string) bool { return strings.HasPrefix(arg, "-retry-join-wan") })
	}
	a.args = append(slices.Clone(a.args), "-bind=0.0.0.0", "-advertise="+inside)
	a.configure(map[string]any{
		"advertise_addr_wan": ip, "serf_wan": ip, "serf_lan": inside, "ports": map[string]int{"serf_wan": wanPort},
	}, "addresses")
}

// allKnow says nil when every server sees all others alive.
func (w *wan) allKnow(ctx context.Context) error {
	for _, a := range w.servers {
		if names, err := a.everywhere(ctx); err != nil || len(names) != len(w.servers) {
			return fmt.Errorf("%s sees alive %v, %w", a.name, names, err)
		}
	}
	return nil
}

// checkKeys judges that every pool has the one key, at all its members.
func (w *wan) checkKeys(key string) {
	w.t.Helper()
	var pools []struct {
		WAN        bool
		Datacenter string
		Keys       map[string]int
		NumNodes   int
	}
	if err := w.dcs[0].servers[0].get(w.ctx, "/v1/operator/keyring", &pools); err != nil {
		w.t.Fatal(err)
	}
	if len(pools) != 3 {
		w.t.Errorf("pools: %+v", pools)
	}
	for _, p := range pools {
		if len(p.Keys) != 1 || p.Keys[key] != p.NumNodes {
			w.t.Errorf("pool of %s, WAN %v: %v of %d members", p.Datacenter, p.WAN, p.Keys, p.NumNodes)
		}
	}
}
