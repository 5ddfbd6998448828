package daemon_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"consul.internal/internal/tlsx"
	"github.com/hashicorp/consul/api"
)

// configured opens an agent whose configuration is in a file, and gives what changes
// that file and has the agent reload it.
func configured(t *testing.T, token, config string, args ...string) (*node, func(string)) {
	t.Helper()
	path := write(t, filepath.Join(t.TempDir(), "a.hcl"), config)
	n := launch(t, freeAddr(t), token, append(args, "-config-file="+path)...)
	n.await(t, "the servers", func() bool {
		leader, err := n.client.Status().Leader()
		return err == nil && leader != ""
	})
	return n, func(config string) {
		t.Helper()
		write(t, path, config)
		if err := n.client.Agent().Reload(); err != nil {
			t.Fatal(err)
		}
	}
}

// untilRefused asks the same thing again and again until it is refused, and gives what
// was said; nil if it never was. A rate of a few a second is passed by any machine.
func untilRefused(ask func() error) error {
	for range 2000 {
		if err := ask(); err != nil {
			return err
		}
	}
	return nil
}

func puts(n *node) func() error {
	return func() error {
		_, err := n.client.KV().Put(&api.KVPair{Key: "k", Value: []byte("v")}, nil)
		return err
	}
}

func gets(n *node, how api.QueryOptions) func() error {
	return func() error {
		_, _, err := n.client.KV().Get("k", &how)
		return err
	}
}

const (
	tooManyAnywhere = "rate limit exceeded, try again later or against a different server"
	tooManyAtLeader = "rate limit exceeded for operation that can only be performed by the leader, try again later"
)

func requestLimits(mode string, reads, writes float64) string {
	return fmt.Sprintf(`limits { request_limits { mode = %q read_rate = %g write_rate = %g } }`, mode, reads, writes)
}

// TestRequestLimits: above its rates a server tells of requests in one mode and refuses
// them in the other, whether they come from its own edge or from a client agent. A reload
// changes both.
func TestRequestLimits(t *testing.T) {
	server, reload := configured(t, "", requestLimits("permissive", 2, 2), "-dev", "-node=s")
	client := launch(t, freeAddr(t), "", "-node=c", "-data-dir="+t.TempDir(), "-retry-join="+server.addr, "-hcl=performance { rpc_hold_timeout = \"300ms\" }")
	client.await(t, "the servers", func() bool { return puts(client)() == nil })
	for range 20 {
		for _, n := range []*node{server, client} {
			if err := errors.Join(puts(n)(), gets(n, api.QueryOptions{})(), gets(n, api.QueryOptions{AllowStale: true})()); err != nil {
				t.Fatalf("permissive: %v", err)
			}
		}
	}
	figures, err := server.client.Agent().Metrics()
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"global/read", "global/write"} {
		if !slices.ContainsFunc(figures.Counters, func(c api.SampledValue) bool {
			return strings.HasSuffix(c.Name, "rpc.rate_limit.exceeded") && c.Labels["limit_type"] == kind && c.Labels["mode"] == "permissive" && c.Count > 0
		}) {
			t.Errorf("permissive: nothing was counted for %s", kind)
		}
	}

	reload(requestLimits("enforcing", -1, 2))
	for name, n := range map[string]*node{"server": server, "client": client} {
		err := untilRefused(puts(n))
		if err == nil {
			t.Errorf("%s: no write was refused", name)
			continue
		}
		refused(t, err, http.StatusServiceUnavailable, tooManyAtLeader)
		if err := gets(n, api.QueryOptions{})(); err != nil {
			t.Errorf("%s: reads have no limit, but: %v", name, err)
		}
	}
	reload(requestLimits("enforcing", 2, -1))
	for name, n := range map[string]*node{"server": server, "client": client} {
		for _, one := range []struct {
			how    api.QueryOptions
			status int
			text   string
		}{
			{api.QueryOptions{}, http.StatusServiceUnavailable, tooManyAtLeader},
			{api.QueryOptions{AllowStale: true}, http.StatusTooManyRequests, tooManyAnywhere},
		} {
			if err := untilRefused(gets(n, one.how)); err == nil {
				t.Errorf("%s: no read was refused (stale %v)", name, one.how.AllowStale)
			} else {
				refused(t, err, one.status, one.text)
			}
		}
	}
	reload(requestLimits("disabled", 1, 1))
	for range 20 {
		if err := errors.Join(puts(server)(), gets(client, api.QueryOptions{})()); err != nil {
			t.Fatalf("disabled: %v", err)
		}
	}
}

// TestRequestLimitsOfASource: one address that asks too much is refused alone.
func TestRequestLimitsOfASource(t *testing.T) {
	server, _ := configured(t, "", `limits { request_limits { mode = "enforcing" source_write_rate = 2 } }`, "-dev")
	err := untilRefused(puts(server))
	if err == nil {
		t.Fatal("no write was refused")
	}
	refused(t, err, http.StatusServiceUnavailable, tooManyAtLeader)
	from := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, at string) (net.Conn, error) { return fromIP("127.202.0.1").Dial(ctx, at) }}}
	defer from.CloseIdleConnections()
	other, err := api.NewClient(&api.Config{Address: server.addr + ":8500", HttpClient: from})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.KV().Put(&api.KVPair{Key: "k"}, nil); err != nil {
		t.Errorf("another address: %v", err)
	}
}

// TestRPCRate: an agent asks its servers no more often than it was told, and a reload
// changes that.
func TestRPCRate(t *testing.T) {
	server := start(t, freeAddr(t), "-dev", "-node=s")
	client, reload := configured(t, "", `limits { rpc_rate = 2 rpc_max_burst = 5 }`, "-node=c", "-data-dir="+t.TempDir(), "-retry-join="+server.addr)
	for name, ask := range map[string]func() error{"reads": gets(client, api.QueryOptions{}), "writes": puts(client)} {
		if err := untilRefused(ask); err == nil {
			t.Errorf("%s: none was refused", name)
		} else {
			refused(t, err, http.StatusTooManyRequests, "RPC rate limit exceeded")
		}
	}
	if err := gets(server, api.QueryOptions{})(); err != nil {
		t.Errorf("the server has no such limit: %v", err)
	}
	reload(`limits { rpc_rate = -1 }`)
	for range 50 {
		if err := gets(client, api.QueryOptions{})(); err != nil {
			t.Fatalf("no limit: %v", err)
		}
	}
}

// TestConnectionsOfAnAddress: one address gets so many connections to HTTP and no more;
// others are not concerned, and a reload changes how many.
func TestConnectionsOfAnAddress(t *testing.T) {
	limit := func(n int) string { return fmt.Sprintf(`limits { http_max_conns_per_client = %d }`, n) }
	server, reload := configured(t, "", limit(50), "-dev")
	hold := func(ip string) int {
		t.Helper()
		c, err := fromIP(ip).Dial(t.Context(), server.addr+":8500")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		// Who is one too many is told so without having asked, and may find the door shut.
		_, _ = io.WriteString(c, "GET /v1/status/leader HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
		r, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode
	}
	reload(limit(2))
	const one, two = "127.203.0.1", "127.203.0.2"
	for i, want := range []int{200, 200, 429, 429} {
		if got := hold(one); got != want {
			t.Errorf("connection %d of one address: %d, want %d", i+1, got, want)
		}
	}
	if got := hold(two); got != 200 {
		t.Errorf("another address: %d", got)
	}
	reload(limit(3))
	for i, want := range []int{200, 429} {
		if got := hold(one); got != want {
			t.Errorf("connection %d after the reload: %d, want %d", i+3, got, want)
		}
	}
}

// TestHandshakeTimeouts: who connects and says nothing is sent away when the time of that
// door is over, and only then.
func TestHandshakeTimeouts(t *testing.T) {
	dir := t.TempDir()
	ca, caPEM := authority(t)
	caFile := write(t, filepath.Join(dir, "ca.pem"), string(caPEM))
	for _, c := range []struct {
		rpc, https string
		first      string // the port that closes
	}{{"100ms", "1h", "8300"}, {"1h", "100ms", "8501"}} {
		addr := freeAddr(t)
		of := filepath.Join(dir, c.first)
		mint(t, of, ca, tlsx.Server, "dc1", addr)
		start(t, addr, "-dev", "-hcl", fmt.Sprintf(`
			limits { rpc_handshake_timeout = %q https_handshake_timeout = %q }
			ports { https = 8501 }
			tls { https { ca_file = %q cert_file = %q key_file = %q } }`, c.rpc, c.https, caFile, filepath.Join(of, "cert.pem"), filepath.Join(of, "key.pem")))
		closed := make(chan string, 2)
		for _, port := range []string{"8300", "8501"} {
			conn, err := net.Dial("tcp", addr+":"+port)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			go func() {
				_, _ = conn.Read(make([]byte, 1)) // ends with the connection
				closed <- port
			}()
		}
		select {
		case port := <-closed:
			if port != c.first {
				t.Errorf("with %s for RPC and %s for HTTPS port %s closed", c.rpc, c.https, port)
			}
		case <-time.After(30 * time.Second):
			t.Errorf("with %s for RPC and %s for HTTPS nothing closed", c.rpc, c.https)
		}
	}
}

// TestAuditEndToEnd: each request stands in the log with the accessor of who made it; the
// file is changed when it is large, old ones go, and no secret is in any.
func TestAuditEndToEnd(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.json")
	n := closedServer(t, freeAddr(t), "-hcl", fmt.Sprintf(
		`audit { enabled = true sink "s" { type = "file" format = "json" path = %q rotate_bytes = 40000 rotate_max_files = 2 delivery_guarantee = "best-effort" } }`, path))
	reader := n.newToken(t, "reader", `key_prefix "" { policy = "read" }`)
	root, _, err := n.client.ACL().TokenReadSelf(nil)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(c *api.Client, key string) error {
		_, err := c.KV().Put(&api.KVPair{Key: key, Value: []byte("s3cret-value")}, nil)
		return err
	}
	if err := ask(n.client, "by-root"); err != nil {
		t.Fatal(err)
	}
	refused(t, ask(n.with(t, reader.SecretID), "by-reader"), 403, "Permission denied")
	refused(t, ask(n.with(t, nobodysToken), "by-nobody"), 403, "ACL not found")
	refused(t, ask(n.with(t, ""), "by-anybody"), 403, "Permission denied")
	entries := func() (all []entry, text string) {
		files, err := filepath.Glob(filepath.Join(dir, "audit*.json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			body, err := os.ReadFile(f)
			if errors.Is(err, os.ErrNotExist) {
				continue // an old one that has just gone
			}
			if err != nil {
				t.Fatal(err)
			}
			text += string(body)
			for line := range strings.Lines(string(body)) {
				var e entry
				if !strings.HasSuffix(line, "\n") {
					continue // it is being written
				}
				if err := json.Unmarshal([]byte(line), &e); err != nil {
					t.Fatalf("%s: %v", line, err)
				}
				all = append(all, e)
			}
		}
		return all, text
	}
	for key, want := range map[string][2]string{
		"by-root": {root.AccessorID, "200"}, "by-reader": {reader.AccessorID, "403"}, "by-nobody": {"", "403"}, "by-anybody": {"00000000-0000-0000-0000-000000000002", "403"},
	} {
		n.await(t, "the lines of "+key, func() bool {
			var stages []string
			all, _ := entries()
			for _, e := range all {
				p := e.Payload
				if p.Request.Endpoint != "/v1/kv/"+key || p.Auth.Accessor != want[0] || p.Request.Operation != "PUT" || !strings.HasPrefix(p.Request.RemoteAddr, "127.") {
					continue
				}
				stages = append(stages, p.Stage+p.Response.Status)
			}
			return slices.Equal(stages, []string{"OperationStart", "OperationComplete" + want[1]})
		})
	}
	count := func() int {
		files, err := filepath.Glob(filepath.Join(dir, "audit-*.json"))
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	done := func() bool {
		all, _ := entries()
		return !slices.ContainsFunc(all, func(e entry) bool { return e.Payload.Request.Endpoint == "/v1/kv/by-root" }) && count() == 2
	}
	n.await(t, "the first lines gone with the oldest file", func() bool {
		for i := range 20 {
			if err := ask(n.client, fmt.Sprint("filler", i)); err != nil {
				t.Fatal(err)
			}
		}
		if c := count(); c > 3 { // one may be on its way out
			t.Fatalf("%d old files", c)
		}
		return done()
	})
	_, text := entries()
	for _, bad := range []string{rootToken, reader.SecretID, nobodysToken, "s3cret-value"} {
		if strings.Contains(text, bad) {
			t.Errorf("the audit log holds the secret %s", bad)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// entry is a line of the audit log.
type entry struct {
	Payload struct {
		Stage string
		Auth  struct {
			Accessor string `json:"accessor_id"`
		}
		Request struct {
			Operation, Endpoint string
			RemoteAddr          string `json:"remote_addr"`
		}
		Response struct{ Status string }
	}
}
