package daemon_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"consul.internal/internal/tlsx"
	"consul.internal/rpc/wire"
	"github.com/hashicorp/consul/api"
)

// lasting is an authority whose certificates may have ended, or not begun.
func lasting(t *testing.T) (*tlsx.Authority, []byte) {
	t.Helper()
	now := time.Now()
	p, err := tlsx.MintAuthority(tlsx.AuthorityRequest{Domain: "consul", NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(24 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	ca, err := tlsx.ReadAuthority(p)
	if err != nil {
		t.Fatal(err)
	}
	return ca, p.Cert
}

// identity writes a certificate of an authority into dir.
func identity(t *testing.T, dir string, ca *tlsx.Authority, role tlsx.Role, dc string, from, to time.Duration) tls.Certificate {
	t.Helper()
	now := time.Now()
	p, err := ca.Mint(tlsx.Request{Role: role, Datacenter: dc, Domain: "consul", IPs: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: now.Add(from), NotAfter: now.Add(to)})
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

// fromIP dials from one address, so that the log tells who it was.
type fromIP string

func (f fromIP) Listen(context.Context, string) (net.Listener, error) {
	return nil, errors.ErrUnsupported
}

func (f fromIP) Dial(ctx context.Context, addr string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(string(f))}}
	return d.DialContext(ctx, "tcp", addr)
}

// gossipKey is one that strangers do not have.
const gossipKey = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="

// http2 is how a conversation of calls begins: the preface and empty settings. A
// server that listens answers with its own.
const http2 = "\xc2PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"

// TestStrangers: without the right certificate nobody reads or changes anything, at
// any port, nor does anybody without the gossip key; the log has a clear line of
// each, and no more than a few.
func TestStrangers(t *testing.T) {
	dir, addr := t.TempDir(), freeAddr(t)
	ca, caPEM := lasting(t)
	foreign, _ := lasting(t)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(caPEM)
	caFile := write(t, filepath.Join(dir, "ca.pem"), string(caPEM))
	mint(t, filepath.Join(dir, "server"), ca, tlsx.Server, "dc1", addr)
	p := spawn(t, build(t), addr, dir, "-encrypt="+gossipKey, "-hcl="+fmt.Sprintf(`
tls { defaults { ca_file = %q cert_file = %q key_file = %q verify_incoming = true verify_outgoing = true } internal_rpc { verify_server_hostname = true } }
ports { https = 8501 http = 8500 }`, caFile, filepath.Join(dir, "server", "cert.pem"), filepath.Join(dir, "server", "key.pem")))
	p.await(t, "a leader", func() bool {
		_, err := p.register("web")
		return err == nil
	})
	const hour = time.Hour
	own := identity(t, filepath.Join(dir, "own"), ca, tlsx.Server, "dc1", -hour, hour)
	strangers := []struct {
		name string
		ip   string
		cert []tls.Certificate
		let  bool // it is none
	}{
		{"nobody", "127.201.0.1", nil, false},
		{"of another authority", "127.201.0.2", []tls.Certificate{identity(t, filepath.Join(dir, "foreign"), foreign, tlsx.Server, "dc1", -hour, hour)}, false},
		{"expired", "127.201.0.3", []tls.Certificate{identity(t, filepath.Join(dir, "expired"), ca, tlsx.Server, "dc1", -2*hour, -hour)}, false},
		{"not yet valid", "127.201.0.4", []tls.Certificate{identity(t, filepath.Join(dir, "early"), ca, tlsx.Server, "dc1", hour, 2*hour)}, false},
		{"one of us", "127.201.0.9", []tls.Certificate{own}, true},
	}
	for _, s := range strangers {
		// the server's certificate is verified elsewhere: who comes in is looked at here
		cfg := &tls.Config{RootCAs: roots, InsecureSkipVerify: true}
		if len(s.cert) > 0 { // shown whether the server asks for such a one or not
			cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &s.cert[0], nil }
		}
		client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
			TLSClientConfig: cfg, DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, at string) (net.Conn, error) { return fromIP(s.ip).Dial(ctx, at) },
		}}
		for _, method := range []string{http.MethodGet, http.MethodPut} {
			req, err := http.NewRequest(method, "https://"+addr+":8501/v1/kv/secret", strings.NewReader("stolen"))
			if err != nil {
				t.Fatal(err)
			}
			if r, err := client.Do(req); (err == nil) != s.let {
				t.Errorf("%s over HTTPS: %s: %v %v", s.name, method, r, err)
			} else if err == nil {
				_ = r.Body.Close() // that it came is enough
			}
		}
		raw, err := fromIP(s.ip).Dial(t.Context(), addr+":8300")
		if err != nil {
			t.Fatal(err)
		}
		c := tls.Client(raw, cfg)
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = io.WriteString(c, http2) // what is wrong shows when it is read
		if n, err := c.Read(make([]byte, 1)); (n > 0) != s.let {
			t.Errorf("%s on 8300: read %d, %v", s.name, n, err)
		}
		_ = c.Close()
	}
	for ip, text := range map[string]string{"127.201.0.5": http2, "127.201.0.6": "\xc1\x01"} { // plain calls and raft
		c, err := fromIP(ip).Dial(t.Context(), addr+":8300")
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = io.WriteString(c, text)
		_ = c.(*net.TCPConn).CloseWrite()
		if b, err := io.ReadAll(c); len(b) > 1 { // a byte may say why not
			t.Errorf("without TLS on 8300: %q %v", b, err)
		}
		_ = c.Close()
	}
	// Certificates of the authority that are for another server name do not open raft.
	self, err := p.client.Agent().Self()
	if err != nil {
		t.Fatal(err)
	}
	id, _ := self["Config"]["NodeID"].(string)
	for ip, who := range map[string]struct {
		role tlsx.Role
		dc   string
	}{"127.201.0.7": {tlsx.Server, "dc2"}, "127.201.0.8": {tlsx.Client, "dc1"}} {
		at := filepath.Join(dir, ip)
		identity(t, at, ca, who.role, who.dc, -hour, hour)
		s, err := tlsx.New(tlsx.Config{Datacenter: "dc1", Domain: "consul", InternalRPC: tlsx.Part{
			CAFile: caFile, CertFile: filepath.Join(at, "cert.pem"), KeyFile: filepath.Join(at, "key.pem"), VerifyOutgoing: true,
		}})
		if err != nil {
			t.Fatal(err)
		}
		m, err := wire.New(wire.DefaultConfig(), wire.Deps{Network: fromIP(ip), TLS: s.InternalRPC, NodeID: "00000000-0000-4000-8000-000000000001"})
		if err != nil {
			t.Fatal(err)
		}
		var refused *wire.RefusedError
		if c, err := m.Raft().Dial(t.Context(), addr+":8300", id); !errors.As(err, &refused) || refused.Reason != wire.NotAServer {
			t.Errorf("raft with a certificate for %s of %s: %v %v", who.role, who.dc, c, err)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	// Without the gossip key nobody joins, in either direction.
	keyless := freeAddr(t)
	a := agentOf(t, keyless, "-node=keyless", "-data-dir="+filepath.Join(dir, "keyless"))
	if err := a.client.Agent().Join(addr, false); err == nil {
		t.Error("an agent without the gossip key joined")
	}
	members, err := p.client.Agent().Members(false)
	if err != nil || len(members) != 1 {
		t.Errorf("members %v %v", members, err)
	}
	nodes, _, err := p.client.Catalog().Nodes(&api.QueryOptions{Filter: `Node == "keyless"`})
	if err != nil || len(nodes) != 0 {
		t.Errorf("nodes %v %v", nodes, err)
	}
	pair, _, err := p.client.KV().Get("secret", nil)
	if err != nil || pair == nil || pair.Flags != 0 || pair.CreateIndex != pair.ModifyIndex {
		t.Errorf("only one of us wrote, once: %+v %v", pair, err)
	}
	for _, s := range []string{
		"from=127.201.0.5:", "from=127.201.0.6:", "from=127.201.0.7:", "from=127.201.0.8:", "remote state is not encrypted",
		"from 127.201.0.1:", "from 127.201.0.2:", "from 127.201.0.3:", "from 127.201.0.4:", // at HTTPS
		"from=127.201.0.1:", "from=127.201.0.2:", "from=127.201.0.3:", "from=127.201.0.4:",
	} {
		n := 0
		p.await(t, "a line with "+s, func() bool {
			text, err := os.ReadFile(p.log.Name())
			if err != nil {
				t.Fatal(err)
			}
			n = 0
			for line := range bytes.Lines(text) {
				if bytes.Contains(line, []byte(s)) {
					n++
				}
			}
			return n > 0
		})
		if n > 4 {
			t.Errorf("%d lines about %s", n, s)
		}
	}
}
