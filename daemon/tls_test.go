package daemon_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"consul.internal/configs"
	"consul.internal/daemon"
	"consul.internal/internal/logx"
	"consul.internal/internal/tlsx"
	"github.com/hashicorp/consul/api"
)

// mint writes an authority's certificate and one for a role into dir, under the
// names that "consul tls" gives.
func mint(t *testing.T, dir string, ca *tlsx.Authority, role tlsx.Role, dc, ip string) tls.Certificate {
	t.Helper()
	now := time.Now()
	p, err := ca.Mint(tlsx.Request{
		Role: role, Datacenter: dc, Domain: "consul", IPs: []net.IP{net.ParseIP(ip)}, NotBefore: now.Add(-time.Minute), NotAfter: now.Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "cert.pem"), string(p.Cert))
	write(t, filepath.Join(dir, "key.pem"), string(p.Key))
	c, err := tls.X509KeyPair(p.Cert, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func authority(t *testing.T) (*tlsx.Authority, []byte) {
	t.Helper()
	now := time.Now()
	p, err := tlsx.MintAuthority(tlsx.AuthorityRequest{Domain: "consul", NotBefore: now.Add(-time.Minute), NotAfter: now.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	ca, err := tlsx.ReadAuthority(p)
	if err != nil {
		t.Fatal(err)
	}
	return ca, p.Cert
}

// agent opens an agent that belongs to others; it waits for nothing.
func agentOf(t *testing.T, addr string, args ...string) *node {
	t.Helper()
	settings, _, err := configs.Load(append([]string{"-bind=" + addr, "-client=" + addr}, args...), configs.SystemHost())
	if err != nil {
		t.Fatal(err)
	}
	log, err := logx.New(logx.Config{Level: "INFO", Name: "agent"}, testWriter{t})
	if err != nil {
		t.Fatal(err)
	}
	n := &node{addr: addr, args: args}
	if n.Daemon, err = daemon.New(settings, daemon.Options{Logger: log.Logger}); err != nil {
		t.Fatal(err)
	}
	if err := n.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		_ = log.Close() // only lines that a failed test did not want to see
	})
	if n.client, err = api.NewClient(&api.Config{Address: addr + ":8500"}); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestTLS: a client agent with a certificate is served over mutual TLS and one
// without gets nothing; HTTPS asks for certificates; new files are taken by a
// reload, without a restart.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	ca, caPEM := authority(t)
	caFile := write(t, filepath.Join(dir, "ca.pem"), string(caPEM))
	settings := func(name string) string {
		return fmt.Sprintf(`tls { defaults { ca_file = %q cert_file = %q key_file = %q verify_incoming = true verify_outgoing = true }
internal_rpc { verify_server_hostname = true } } ports { https = 8501 }`, caFile, filepath.Join(dir, name, "cert.pem"), filepath.Join(dir, name, "key.pem"))
	}
	addr := freeAddr(t)
	mint(t, filepath.Join(dir, "server"), ca, tlsx.Server, "dc1", addr)
	server := start(t, addr, "-server", "-bootstrap", "-data-dir="+filepath.Join(dir, "s"), "-hcl="+settings("server"))

	clientAddr := freeAddr(t)
	own := mint(t, filepath.Join(dir, "client"), ca, tlsx.Client, "dc1", clientAddr)
	client := agentOf(t, clientAddr, "-node=client", "-data-dir="+filepath.Join(dir, "c"), "-retry-join="+addr, "-hcl="+settings("client"))
	client.await(t, "the client in the catalog", func() bool {
		n, _, err := client.client.Catalog().Node("client", nil)
		return err == nil && n != nil
	})

	plainAddr := freeAddr(t)
	plain := agentOf(t, plainAddr, "-node=plain", "-data-dir="+filepath.Join(dir, "p"), "-retry-join="+addr, "-hcl=performance { rpc_hold_timeout = \"1s\" }")
	plain.await(t, "the plain agent in the pool", func() bool {
		m, err := plain.client.Agent().Members(false)
		return err == nil && len(m) == 3
	})
	if nodes, _, err := plain.client.Catalog().Nodes(nil); err == nil {
		t.Errorf("an agent without a certificate was told %v", nodes)
	}

	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(caPEM)
	get := func(certs ...tls.Certificate) (*x509.Certificate, error) {
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: certs}}
		defer tr.CloseIdleConnections()
		r, err := (&http.Client{Transport: tr, Timeout: 10 * time.Second}).Get("https://" + netip.MustParseAddr(addr).String() + ":8501/v1/status/leader")
		if err != nil {
			return nil, err
		}
		if err := r.Body.Close(); err != nil {
			return nil, err
		}
		return r.TLS.PeerCertificates[0], nil
	}
	if _, err := get(); err == nil {
		t.Error("HTTPS let somebody in without a certificate")
	}
	first, err := get(own)
	if err != nil {
		t.Fatal(err)
	}
	renewed := mint(t, filepath.Join(dir, "server"), ca, tlsx.Server, "dc1", addr)
	if err := server.client.Agent().Reload(); err != nil {
		t.Fatal(err)
	}
	second, err := get(own)
	if err != nil {
		t.Fatal(err)
	}
	want, err := x509.ParseCertificate(renewed.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	if second.Equal(first) || !second.Equal(want) {
		t.Error("the reload did not take the new certificate")
	}
	// A file that is none is refused, and what was there stays.
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("no")})
	if err := os.WriteFile(filepath.Join(dir, "server", "cert.pem"), block, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := server.client.Agent().Reload(); err == nil {
		t.Error("a broken certificate was taken")
	}
	if third, err := get(own); err != nil || !third.Equal(second) {
		t.Errorf("after a refused reload: %v", err)
	}
}
