//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"consul.internal/internal/rig"
)

// side is one of several agents on one machine.
type side struct {
	dc   string
	host *rig.Host
	proc *rig.Process
	http int
	dns  int
	web  *http.Client
}

// unitCommand is what systemd runs for consul@NAME.service, below another root.
func unitCommand(t *testing.T, root, name string) []string {
	t.Helper()
	text, err := os.ReadFile("../../systemd/consul@.service")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		command, ok := strings.CutPrefix(strings.TrimSpace(line), "ExecStart=")
		if !ok {
			continue
		}
		var args []string
		for _, arg := range strings.Fields(strings.ReplaceAll(command, "%i", name)) {
			key, path, isFlag := strings.Cut(arg, "=")
			if isFlag && filepath.IsAbs(path) {
				arg = key + "=" + filepath.Join(root, path)
				if err := os.MkdirAll(filepath.Join(root, path), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			args = append(args, arg)
		}
		args[0] = binary
		return args
	}
	t.Fatal("the unit has no ExecStart")
	return nil
}

// TestWANSideBySide: two agents of two datacenters run on one machine, started by
// the command of consul@NAME.service, with ports of their own.
func TestWANSideBySide(t *testing.T) {
	l := newLab(t, shape{})
	host, err := l.rig.Host("both")
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(l.rig.Dir(), "root")
	var sides []*side
	for i, name := range []string{"east", "west"} {
		s := &side{dc: name, host: host, http: httpPort + 1000*i, dns: dnsPort + 1000*i, web: host.HTTPClient(patience)}
		args := unitCommand(t, root, name)
		config := map[string]any{
			"datacenter": name, "node_name": "both-" + name, "server": true, "bootstrap_expect": 1, "bind_addr": host.Addr().String(),
			"disable_host_node_id": true,
			"ports": map[string]int{
				"http": s.http, "dns": s.dns, "server": rpcPort + 1000*i, "serf_lan": serfPort + 1000*i, "serf_wan": serfPort + 1 + 1000*i,
			},
			"retry_join_wan": []string{fmt.Sprintf("%v:%d", host.Addr(), serfPort+1)},
		}
		text, err := json.Marshal(config)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "etc", "consul@"+name+".d", "agent.json"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		if s.proc, err = host.Start(args...); err != nil {
			t.Fatal(err)
		}
		sides = append(sides, s)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, s := range sides {
				t.Logf("%s:\n%s", s.dc, s.proc.Tail(tail))
			}
		}
		for _, s := range sides {
			s.web.CloseIdleConnections()
		}
	})
	took, err := await(l.ctx, surely, func(ctx context.Context) error { return look(ctx, sides) })
	if err != nil {
		t.Fatal(err)
	}
	figures(t, "two datacenters on one machine: each writes into the other and resolves it", []time.Duration{took}, "")
	// One goes and comes back beside the other.
	if err := sides[1].proc.Kill(); err != nil {
		t.Fatal(err)
	}
	if r, err := sides[0].ask(l.ctx, "from-east.service.west.consul."); err != nil || len(addresses(r)) != 1 {
		t.Errorf("after the other one's death: %v, %v", r, err)
	}
	if sides[1].proc, err = host.Start(unitCommand(t, root, "west")...); err != nil {
		t.Fatal(err)
	}
	if took, err = await(l.ctx, surely, func(ctx context.Context) error { return look(ctx, sides) }); err != nil {
		t.Error(err)
	}
	figures(t, "two datacenters on one machine: one restarted", []time.Duration{took}, "")
	for _, s := range sides {
		if !s.proc.Alive() {
			t.Errorf("%s has ended", s.dc)
		}
		for _, dir := range []string{"raft", "serf"} {
			if _, err := os.Stat(filepath.Join(root, "var/lib/consul@"+s.dc, dir)); err != nil {
				t.Errorf("%s has no data of its own: %v", s.dc, err)
			}
		}
	}
}

// look says nil when each side has written into the other and resolves it, fresh.
func look(ctx context.Context, sides []*side) error {
	for i, s := range sides {
		other := sides[1-i]
		addr := fmt.Sprintf("10.5.0.%d", i+1)
		if err := s.put(ctx, "/v1/catalog/register?dc="+other.dc, map[string]any{
			"Node": "host-" + s.dc, "Address": addr, "Service": map[string]any{"Service": "from-" + s.dc, "Port": 80},
		}); err != nil {
			return err
		}
		for _, at := range sides {
			m, err := at.ask(ctx, "from-"+s.dc+".service."+other.dc+".consul.")
			if err != nil {
				return err
			}
			if got := addresses(m); len(got) != 1 || got[0] != addr || stale(m) {
				return fmt.Errorf("%s says of from-%s in %s: %v", at.dc, s.dc, other.dc, m)
			}
		}
	}
	return nil
}

func (s *side) put(ctx context.Context, path string, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, fmt.Sprintf("http://127.0.0.1:%d%s", s.http, path), strings.NewReader(string(text)))
	if err != nil {
		return err
	}
	resp, err := s.web.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%w %d: %s", errStatus, resp.StatusCode, out)
	}
	return err
}

func (s *side) ask(ctx context.Context, name string) (*dns.Msg, error) {
	c, err := s.host.DialContext(ctx, "udp", fmt.Sprintf("127.0.0.1:%d", s.dns))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	conn := &dns.Conn{Conn: c}
	if err := c.SetDeadline(time.Now().Add(tooLate)); err != nil {
		return nil, err
	}
	if err := conn.WriteMsg(question(name, dns.Id())); err != nil {
		return nil, err
	}
	return conn.ReadMsg()
}
