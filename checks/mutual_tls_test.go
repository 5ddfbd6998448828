package checks

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"consul.internal/catalog"
	"consul.internal/internal/tlsx"
)

// papers are what an agent has for TLS.
type papers struct {
	ca   *tlsx.Authority
	part tlsx.Part // files of the agent
	peer tls.Certificate
	pool *x509.CertPool
}

// pair writes a certificate of the authority and its key.
func pair(t *testing.T, dir string, ca *tlsx.Authority, role tlsx.Role) tls.Certificate {
	t.Helper()
	p, err := ca.Mint(tlsx.Request{
		Role: role, Datacenter: "dc1", Domain: "consul", IPs: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "cert.pem"), p.Cert)
	put(t, filepath.Join(dir, "key.pem"), p.Key)
	c, err := tls.X509KeyPair(p.Cert, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func put(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func newPapers(t *testing.T) papers {
	t.Helper()
	p, err := tlsx.MintAuthority(tlsx.AuthorityRequest{Domain: "consul", NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	ca, err := tlsx.ReadAuthority(p)
	if err != nil {
		t.Fatal(err)
	}
	dir, pool := t.TempDir(), x509.NewCertPool()
	pool.AppendCertsFromPEM(p.Cert)
	file := func(name string) string { return filepath.Join(dir, name) }
	put(t, file("ca.pem"), p.Cert)
	pair(t, dir, ca, tlsx.Client)
	return papers{ca, tlsx.Part{CAFile: file("ca.pem"), CertFile: file("cert.pem"), KeyFile: file("key.pem")}, pair(t, t.TempDir(), ca, tlsx.Server), pool}
}

func loadTLS(t *testing.T, p tlsx.Part) *tlsx.Settings {
	t.Helper()
	s, err := tlsx.New(tlsx.Config{Datacenter: "dc1", Domain: "consul", InternalRPC: p})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// caller is one who was let in.
type caller struct{ serial, name string }

// demanding makes a server that lets nobody in without a certificate of the authority.
func (p papers) demanding(t *testing.T, version uint16) (addr string, callers <-chan caller) {
	in := make(chan caller, 100)
	s := newTLSServerOf(t, &tls.Config{
		Certificates: []tls.Certificate{p.peer}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: p.pool,
		MinVersion: version, MaxVersion: version,
		SessionTicketsDisabled: true, // nothing is on its way to a client that only connects
		VerifyConnection: func(cs tls.ConnectionState) error {
			in <- caller{cs.PeerCertificates[0].SerialNumber.String(), cs.ServerName}
			return nil
		},
	})
	return s.Listener.Addr().String(), in
}

func serial(t *testing.T, file string) string {
	t.Helper()
	c, err := tls.LoadX509KeyPair(file, filepath.Join(filepath.Dir(file), "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return c.Leaf.SerialNumber.String()
}

// prepared is a check's probe with what the agent has for TLS.
func prepared(t *testing.T, d Definition, own TLSFunc) func() (catalog.Status, string) {
	t.Helper()
	d.Interval = time.Second
	if err := d.Validate(); err != nil {
		t.Fatal(err)
	}
	r := newTestRunner(t, newRecord(), func(_ *Config, deps *Deps) { deps.TLS = own })
	c := &check{id: "x", def: &d, kind: d.Kind(), maxSize: r.maxSize(&d), slots: r.probes}
	if err := r.prepare(c); err != nil {
		t.Fatal(err)
	}
	return func() (catalog.Status, string) { return probeWithin(t, c.probe, c.timeout) }
}

func overTLS(addr string) map[string]Definition {
	return map[string]Definition{
		"http": {HTTP: "https://" + addr + "/"}, "tcp": {TCP: addr, TCPUseTLS: true},
		"grpc": {GRPC: addr, GRPCUseTLS: true}, "h2ping": {H2PING: addr, H2PINGUseTLS: true},
	}
}

// TestMutualTLS: a service that demands a certificate is shown the agent's, where it
// has one for checks, and must come from the agent's authority, unless nothing is verified.
func TestMutualTLS(t *testing.T) {
	const named = "server.dc1.consul" // stands in the service's certificate
	ours, theirs := newPapers(t), newPapers(t)
	mine, strange := loadTLS(t, ours.part).InternalRPC, loadTLS(t, theirs.part).InternalRPC
	bare := loadTLS(t, tlsx.Part{CAFile: ours.part.CAFile}).InternalRPC
	with := func(d *tlsx.Door, name string) TLSFunc {
		return func() *tls.Config { c := d.Service(); c.ServerName = name; return c }
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		addr, callers := ours.demanding(t, version)
		for _, tt := range []struct {
			name     string
			own      TLSFunc
			expects  string // tls_server_name
			skip     bool
			in       bool
			sni      string
			unshown  bool // what fails is that no good certificate is shown
			expected string
		}{
			{name: "off", own: nil, expected: "certificate"},
			{name: "off, nothing verified", own: nil, skip: true, unshown: true},
			{name: "no certificate, only authorities", own: with(bare, ""), unshown: true},
			{name: "on", own: with(mine, ""), in: true},
			{name: "on, nothing verified", own: with(mine, ""), skip: true, in: true},
			{name: "on, the check names the service", own: with(mine, ""), expects: named, in: true, sni: named},
			{name: "on, the check names another", own: with(mine, ""), expects: "web.example", expected: "web.example"},
			{name: "on, server_name", own: with(mine, named), in: true, sni: named},
			{name: "on, another server_name", own: with(mine, "web.example"), expected: "web.example"},
			{name: "on, the check knows better", own: with(mine, "web.example"), expects: named, in: true, sni: named},
			{name: "of another authority", own: with(strange, ""), expected: "unknown authority"},
			{name: "of another authority, nothing verified", own: with(strange, ""), skip: true, unshown: true},
		} {
			for kind, def := range overTLS(addr) {
				if tt.unshown && kind == "tcp" && version == tls.VersionTLS13 {
					continue // the connection stands before the service looks at the certificate
				}
				t.Run(fmt.Sprintf("%s/%s/%s", tls.VersionName(version), tt.name, kind), func(t *testing.T) {
					def.TLSServerName, def.TLSSkipVerify = tt.expects, tt.skip
					status, output := prepared(t, def, tt.own)()
					if !tt.in {
						if status != catalog.Critical || !strings.Contains(output, tt.expected) {
							t.Errorf("%s %q", status, output)
						}
						return
					}
					if status != catalog.Passing {
						t.Fatalf("%s %q", status, output)
					}
					if got, want := <-callers, (caller{serial(t, ours.part.CertFile), tt.sni}); got != want {
						t.Errorf("let in %+v, want %+v", got, want)
					}
				})
			}
		}
	}
}

// TestNewCertificates: a check that runs shows a new certificate, and trusts new authorities,
// from the reload on.
func TestNewCertificates(t *testing.T) {
	before, after := newPapers(t), newPapers(t)
	settings := loadTLS(t, before.part)
	addr, callers := before.demanding(t, tls.VersionTLS13)
	moved, newCallers := after.demanding(t, tls.VersionTLS13)
	for kind, def := range overTLS(addr) {
		probe, next := prepared(t, def, settings.InternalRPC.Service), prepared(t, overTLS(moved)[kind], settings.InternalRPC.Service)
		reload := func(p tlsx.Part) {
			t.Helper()
			if err := settings.Reload(tlsx.Config{Datacenter: "dc1", Domain: "consul", InternalRPC: p}); err != nil {
				t.Fatal(err)
			}
		}
		shown := func(callers <-chan caller, probe func() (catalog.Status, string)) string {
			t.Helper()
			if status, output := probe(); status != catalog.Passing {
				t.Fatalf("%s: %s %q", kind, status, output)
			}
			return (<-callers).serial
		}
		reload(before.part)
		first := shown(callers, probe)
		pair(t, filepath.Dir(before.part.CertFile), before.ca, tlsx.Client)
		reload(before.part)
		if second := shown(callers, probe); second == first || second != serial(t, before.part.CertFile) {
			t.Errorf("%s: shows %s after %s", kind, second, first)
		}
		if status, output := next(); status != catalog.Critical || !strings.Contains(output, "unknown authority") {
			t.Errorf("%s of an authority to come: %s %q", kind, status, output)
		}
		reload(after.part)
		shown(newCallers, next)
		if status, _ := probe(); status != catalog.Critical {
			t.Errorf("%s of an authority that is gone: %s", kind, status)
		}
	}
}
