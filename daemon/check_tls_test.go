package daemon_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"consul.internal/internal/tlsx"
	"github.com/hashicorp/consul/api"
)

// demanding is a service that lets nobody in without a certificate of its authority.
type demanding struct {
	*httptest.Server
	mu   sync.Mutex
	seen string // serial of the last certificate that it was shown
}

func (d *demanding) last() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seen
}

func newDemanding(t *testing.T, own tls.Certificate, callers *x509.CertPool) *demanding {
	d := &demanding{Server: httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "well") }))}
	d.EnableHTTP2 = true
	d.Config.ErrorLog = log.New(io.Discard, "", 0) // of checks without a certificate
	d.TLS = &tls.Config{
		Certificates: []tls.Certificate{own}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: callers,
		// In TLS 1.3 a connection stands before the service has looked at the certificate.
		MaxVersion: tls.VersionTLS12,
		VerifyConnection: func(cs tls.ConnectionState) error {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.seen = cs.PeerCertificates[0].SerialNumber.String()
			return nil
		},
	}
	d.StartTLS()
	t.Cleanup(d.Close)
	return d
}

// TestAgentTLSForChecks: services that demand a certificate are critical for an agent
// that shows none to them, and pass with enable_agent_tls_for_checks; a reload has the
// checks show a new certificate.
func TestAgentTLSForChecks(t *testing.T) {
	dir := t.TempDir()
	ca, caPEM := authority(t)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(caPEM)
	caFile := write(t, filepath.Join(dir, "ca.pem"), string(caPEM))
	service := newDemanding(t, mint(t, filepath.Join(dir, "service"), ca, tlsx.Server, "dc1", "127.0.0.1"), pool)
	at := service.Listener.Addr().String()
	addr, own := freeAddr(t), filepath.Join(dir, "own")
	mint(t, own, ca, tlsx.Server, "dc1", addr)
	write(t, filepath.Join(dir, "conf", "agent.hcl"), fmt.Sprintf(`
service { name = "web" port = 443 }
checks = [
  { id = "http", name = "http", service_id = "web", http = "https://%[1]s/", interval = "1s" },
  { id = "http-any", name = "http-any", service_id = "web", http = "https://%[1]s/", interval = "1s", tls_skip_verify = true },
  { id = "tcp", name = "tcp", service_id = "web", tcp = "%[1]s", tcp_use_tls = true, interval = "1s" },
  { id = "h2ping-any", name = "h2ping-any", service_id = "web", h2ping = "%[1]s", interval = "1s", tls_skip_verify = true },
]
tls {
  defaults { ca_file = "none.pem" cert_file = "none.pem" key_file = "none.pem" }
  internal_rpc { ca_file = %[2]q cert_file = %[3]q key_file = %[4]q }
  https { ca_file = %[2]q cert_file = %[3]q key_file = %[4]q }
}`, at, caFile, filepath.Join(own, "cert.pem"), filepath.Join(own, "key.pem")))
	args := []string{"-server", "-bootstrap", "-data-dir=" + filepath.Join(dir, "data"), "-config-dir=" + filepath.Join(dir, "conf")}
	ids := []string{"http", "http-any", "tcp", "h2ping-any"}
	// judged is what came of the first runs.
	judged := func(n *node, status string) map[string]*api.AgentCheck {
		t.Helper()
		var all map[string]*api.AgentCheck
		n.await(t, "all checks "+status, func() bool {
			var err error
			if all, err = n.client.Agent().Checks(); err != nil {
				t.Fatal(err)
			}
			for _, id := range ids {
				if all[id] == nil || all[id].Output == "" || all[id].Status != status {
					return false
				}
			}
			return true
		})
		return all
	}

	n := start(t, addr, args...)
	for id, c := range judged(n, api.HealthCritical) {
		if !strings.Contains(c.Output, "certificate") && !strings.Contains(c.Output, "handshake failure") {
			t.Errorf("%s without the key: %q", id, c.Output)
		}
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}

	n = start(t, addr, append(args, "-hcl=enable_agent_tls_for_checks = true")...)
	judged(n, api.HealthPassing)
	first := service.last()
	renewed := mint(t, own, ca, tlsx.Server, "dc1", addr).Leaf.SerialNumber.String()
	if first == "" || first == renewed {
		t.Fatalf("the service was shown %q", first)
	}
	if err := n.client.Agent().Reload(); err != nil {
		t.Fatal(err)
	}
	n.await(t, "a check with the new certificate", func() bool { return service.last() == renewed })
	judged(n, api.HealthPassing)
}
