package dns

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// binary is the agent, built from this tree once for all tests.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "interop-dns")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary = filepath.Join(dir, "consul")
	if given := os.Getenv("CONSUL_BINARY"); given != "" {
		binary = given
		return m.Run()
	}
	build := exec.Command("go", "build", "-o", binary, "./cmd/consul")
	build.Dir = filepath.Join("..", "..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// needs skips a test whose programs are not on this machine.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("NOT TESTED: %s is not installed (make interop-dns installs it on Debian, as root)", p)
		}
	}
}

// root skips a test that only root can run.
func root(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("NOT TESTED: needs root, for port 53 and a mount namespace")
	}
}

// loopback is an address that nobody else listens on.
func loopback() string {
	return fmt.Sprintf("127.%d.%d.%d", 64+mrand.IntN(64), 1+mrand.IntN(254), 1+mrand.IntN(254))
}

// place is where a program shall listen: BIND takes only addresses that an interface
// has as its own.
func place(t *testing.T, program string) (addr, port string) {
	t.Helper()
	if program != "named" {
		return loopback(), "53"
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err = net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return "127.0.0.1", port
}

// start runs a program until the test ends, and shows what it said if that failed.
func start(t *testing.T, name string, args ...string) (log string) {
	t.Helper()
	log = filepath.Join(t.TempDir(), "log")
	out, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
		_ = out.Close()
		if t.Failed() {
			t.Logf("what %s said:\n%s", filepath.Base(name), tail(log))
		}
	})
	return log
}

func tail(file string) []byte {
	text, err := os.ReadFile(file)
	if err != nil {
		return []byte(err.Error())
	}
	return text[max(0, len(text)-8<<10):]
}

// agent is a real one, a server by itself.
type agent struct {
	t    *testing.T
	addr string
	log  string
}

// newAgent runs an agent with port 53 (8600 without root), TLS and HTTPS.
func newAgent(t *testing.T, addr, config string) *agent {
	t.Helper()
	dir := t.TempDir()
	cert, key := certificate(t, addr)
	write(t, filepath.Join(dir, "cert.pem"), cert)
	write(t, filepath.Join(dir, "key.pem"), key)
	write(t, filepath.Join(dir, "agent.hcl"), fmt.Appendf(nil, `
node_name = "n1"
ports { dns = 53 dns_tls = 853 https = 8501 grpc = -1 serf_wan = -1 }
tls { https { cert_file = %q key_file = %q } }
%s`, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), config))
	a := &agent{t: t, addr: addr}
	a.log = start(t, binary, "agent", "-server", "-bootstrap-expect=1", "-data-dir="+filepath.Join(dir, "data"),
		"-bind="+addr, "-client="+addr, "-log-level=debug", "-config-file="+filepath.Join(dir, "agent.hcl"))
	poll(t, "the node in the catalog", func() string {
		return a.dig("n1.node.consul", "A")
	}, addr)
	return a
}

func write(t *testing.T, file string, text []byte) {
	t.Helper()
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// put is a request that must succeed.
func (a *agent) put(path, body string) {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.t.Context(), http.MethodPut, "http://"+a.addr+":8500"+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		a.t.Fatalf("%s: %s: %s", path, resp.Status, text)
	}
}

// register registers a service whose check passes.
func (a *agent) register(name, addr string) {
	a.t.Helper()
	a.put("/v1/agent/service/register", fmt.Sprintf(
		`{"Name": %q, "Address": %q, "Port": 8080, "Tags": ["v1"], "Check": {"CheckID": %q, "TTL": "1h", "Status": "passing"}}`, name, addr, name))
}

// fail turns the check of a service critical.
func (a *agent) fail(name string) {
	a.t.Helper()
	a.put("/v1/agent/check/fail/"+name, "")
}

func (a *agent) dig(args ...string) string {
	return dig(a.t, append([]string{"@" + a.addr}, args...)...)
}

// logged counts lines of the agent's log.
func (a *agent) logged(text string) int {
	a.t.Helper()
	log, err := os.ReadFile(a.log)
	if err != nil {
		a.t.Fatal(err)
	}
	return bytes.Count(log, []byte(text))
}

// dig gives the data of the answers, sorted; if there are none, the code.
func dig(t *testing.T, args ...string) string {
	t.Helper()
	out := output(t, "dig", append(args, "+time=1", "+tries=1", "+noall", "+comments", "+answer")...)
	var data []string
	code := "no reply"
	for line := range strings.Lines(out) {
		if _, after, ok := strings.Cut(line, "status: "); ok {
			code, _, _ = strings.Cut(after, ",")
		}
		if f := strings.Fields(line); len(f) > 4 && !strings.HasPrefix(line, ";") {
			data = append(data, strings.Join(f[4:], " "))
		}
	}
	if len(data) == 0 {
		return code
	}
	slices.Sort(data)
	return strings.Join(data, ", ")
}

// output is what a program writes; that it failed is for the caller to see from it.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%s: %v", out, err)
	}
	return string(out)
}

// poll asks until the answer is the one that must come.
func poll(t *testing.T, what string, ask func() string, want string) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second) // for a machine that does other things too
	got := ""
	for time.Now().Before(deadline) {
		if got = ask(); got == want {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%s: got %q, want %q", what, got, want)
}

// certificate is one that signs itself.
func certificate(t *testing.T, addr string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "n1"}, IPAddresses: []net.IP{net.ParseIP(addr)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}
