package daemon_test

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestNoSecretsShown gives an agent a marked secret under every key that holds one,
// works with it, and looks for the marks in everything that it says: its log, what
// it tells of itself, errors, figures, and the bundle that people send to others.
func TestNoSecretsShown(t *testing.T) {
	bin, dir, addr := build(t), t.TempDir(), freeAddr(t)
	const mark = "5ec4e7aa-5ec4-4e7a-8ec4"
	secret := func(n int) string { return fmt.Sprintf("%s-%012d", mark, n) }
	const key = "c2VjcmV0LWdvc3NpcC1rZXktMTIzNDU2Nzg5MGFiY2Q=" // 32 bytes, beginning with "secret-gossip"
	management := secret(1)
	config := write(t, filepath.Join(dir, "a.hcl"), fmt.Sprintf(`
log_level = "TRACE"
encrypt   = %q
acl {
  enabled        = true
  default_policy = "deny"
  enable_token_persistence = true
  tokens {
    initial_management = %q
    agent_recovery     = %q
    agent              = %q
    default            = %q
    dns                = %q
    replication        = %q
    config_file_service_registration = %q
  }
}
service {
  name  = "web"
  token = %q
  check {
    http     = "http://127.0.0.1:1/"
    interval = "1s"
    header   = { Authorization = ["Bearer %s"] }
  }
}
watches = [{ type = "services" token = %q handler_type = "script" args = ["/bin/true"] }]
audit {
  enabled = true
  sink "file" { type = "file" path = %q rotate_bytes = 1000000 }
}
`, key, management, secret(2), secret(3), secret(4), secret(5), secret(6), secret(7), secret(8), secret(9), secret(10), filepath.Join(dir, "audit.json")))
	p := spawn(t, bin, addr, dir, "-config-file="+config)
	p.client.AddHeader("X-Consul-Token", management)
	p.await(t, "an agent that obeys its management token", func() bool {
		_, err := p.register("ext")
		return err == nil
	})
	said := map[string]string{}
	ask := func(method, path, token, body string) {
		t.Helper()
		req, err := http.NewRequest(method, "http://"+addr+":8500"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			req.Header.Set("X-Consul-Token", token)
		}
		r, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		name := method + " " + path + " " + token
		said[name] = fmt.Sprint(r.Status, r.Header, string(text))
		if path == "/v1/agent/self" && r.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", name, said[name])
		}
	}
	unknown := secret(99)
	for _, token := range []string{management, unknown} {
		for _, path := range []string{
			"/v1/agent/self", "/v1/agent/host", "/v1/agent/metrics", "/v1/agent/metrics?format=prometheus", "/v1/agent/checks",
			"/v1/agent/members", "/v1/catalog/nodes", "/v1/health/state/any", "/v1/kv/none", "/v1/acl/info/" + unknown,
			"/v1/catalog/nodes?index=x&token=" + unknown, "/v1/catalog/nodes?filter=%zz&token=" + unknown,
		} {
			if token == management || path != "/v1/agent/self" {
				ask(http.MethodGet, path, token, "")
			}
		}
		ask(http.MethodPut, "/v1/catalog/register", token, `{"Node": 7}`)
		ask(http.MethodPut, "/v1/agent/token/default", token, `{"Token": "`+secret(11)+`"`)
		ask(http.MethodPut, "/v1/agent/reload", token, "")
	}
	ask(http.MethodPut, "/v1/agent/token/default", management, `{"Token": "`+secret(12)+`"}`)
	ask(http.MethodPut, "/v1/acl/login", "", `{"AuthMethod": "none", "BearerToken": "`+secret(13)+`"}`)

	bundle := filepath.Join(dir, "bundle")
	cmd := exec.CommandContext(t.Context(), bin, "debug", "-http-addr="+addr+":8500", "-duration=11s", "-interval=6s", "-capture=agent", "-capture=host", "-capture=members", "-capture=metrics", "-capture=logs", "-output="+bundle)
	cmd.Env = append(os.Environ(), "CONSUL_HTTP_TOKEN="+management)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("debug: %v\n%s", err, out)
	}
	said["consul debug"] = string(out)
	files := unpacked(t, bundle+".tar.gz")
	if len(files) < 4 {
		t.Errorf("the bundle holds only %d files", len(files))
	}
	for name, text := range files {
		said["bundle: "+name] = text
	}
	for _, name := range []string{"log", "audit.json"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || len(text) == 0 {
			t.Fatalf("%s: %d bytes, %v", name, len(text), err)
		}
		said["file: "+name] = string(text)
	}
	for name, text := range said {
		for _, bad := range []string{mark, key, "secret-gossip"} {
			if i := strings.Index(text, bad); i >= 0 {
				t.Errorf("%s shows %q: ...%s...", name, bad, text[max(0, i-200):min(len(text), i+100)])
			}
		}
	}
}

// unpacked reads a compressed archive.
func unpacked(t *testing.T, path string) map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = string(text)
	}
}
