package operate

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"consul.internal/internal/tlsx"
)

// must runs a command line that has to succeed, and returns its standard output.
func must(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errText := execute(t, args...)
	if code != 0 {
		t.Fatalf("%v: exit code %d: %s", args, code, errText)
	}
	return out
}

func readCert(t *testing.T, file string) *x509.Certificate {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := pem.Decode(data)
	if b == nil {
		t.Fatalf("%s holds no PEM", file)
	}
	c, err := x509.ParseCertificate(b.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTLSCreate(t *testing.T) {
	t.Chdir(t.TempDir())
	if out := must(t, "tls", "ca", "create"); out != "==> Saved consul-agent-ca.pem\n==> Saved consul-agent-ca-key.pem\n" {
		t.Errorf("output %q", out)
	}
	ca := readCert(t, "consul-agent-ca.pem")
	for _, tt := range []struct {
		args  string
		base  string
		names []string
	}{
		{"-server", "dc1-server-consul-0", []string{"server.dc1.consul", "localhost"}},
		{"-server", "dc1-server-consul-1", []string{"server.dc1.consul", "localhost"}},
		{"-server -dc=dc2 -node=n1 -additional-dnsname=x.org -additional-ipaddress=10.0.0.1", "dc2-server-consul-0", []string{"server.dc2.consul", "n1.server.dc2.consul", "localhost", "x.org"}},
		{"-client -days=7", "dc1-client-consul-0", []string{"client.dc1.consul", "localhost"}},
		{"-cli", "dc1-cli-consul-0", []string{"cli.dc1.consul", "localhost"}},
		{"-cli -domain=Example -ca=consul-agent-ca.pem -key=consul-agent-ca-key.pem", "dc1-cli-example-0", []string{"cli.dc1.example", "localhost"}},
	} {
		out := must(t, append([]string{"tls", "cert", "create"}, strings.Fields(tt.args)...)...)
		want := "==> Using consul-agent-ca.pem and consul-agent-ca-key.pem\n==> Saved " + tt.base + ".pem\n==> Saved " + tt.base + "-key.pem\n"
		if out != want {
			t.Errorf("%s: output %q, want %q", tt.args, out, want)
		}
		c := readCert(t, tt.base+".pem")
		if !slices.Equal(c.DNSNames, tt.names) {
			t.Errorf("%s: names %q, want %q", tt.args, c.DNSNames, tt.names)
		}
		if err := c.CheckSignatureFrom(ca); err != nil {
			t.Errorf("%s: %v", tt.args, err)
		}
		info, err := os.Stat(tt.base + "-key.pem")
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: the key has mode %v, %v", tt.args, info.Mode(), err)
		}
	}
	if days := time.Until(readCert(t, "dc1-client-consul-0.pem").NotAfter).Hours() / 24; days < 6 || days > 7.1 {
		t.Errorf("-days=7 gives %v days", days)
	}
	// An agent takes what was made.
	_, err := tlsx.New(tlsx.Config{Datacenter: "dc1", Domain: "consul", InternalRPC: tlsx.Part{
		CAFile: "consul-agent-ca.pem", CertFile: "dc1-server-consul-0.pem", KeyFile: "dc1-server-consul-0-key.pem", VerifyIncoming: true, VerifyServerHostname: true,
	}})
	if err != nil {
		t.Error(err)
	}
}

func TestTLSRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	must(t, "tls", "ca", "create", "-domain=example", "-days=30", "-name-constraint", "-additional-name-constraint=foo", "-common-name=Ours", "-cluster-id=c1")
	ca := readCert(t, "example-agent-ca.pem")
	if ca.Subject.CommonName != "Ours" || !slices.Equal(ca.PermittedDNSDomains, []string{"localhost", "example", "foo"}) || len(ca.URIs) != 1 {
		t.Errorf("CA %v, constraints %q, URIs %v", ca.Subject, ca.PermittedDNSDomains, ca.URIs)
	}
	before, err := os.ReadFile("example-agent-ca-key.pem")
	if err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"ca create -domain=example":                                  "example-agent-ca.pem already exists.\n",
		"ca create -days=0":                                          "-days must be more than 0\n",
		"ca create -domain=../x":                                     "-domain \"../x\" is no domain\n",
		"ca create -additional-name-constraint=x":                    "-additional-name-constraint requires -name-constraint\n",
		"ca create x":                                                "Too many arguments (expected 0, got 1)",
		"cert create":                                                "Please provide either -server, -client, or -cli\n",
		"cert create -server -client":                                "Please provide either -server, -client, or -cli\n",
		"cert create -server -client -cli":                           "Please provide either -server, -client, or -cli\n",
		"cert create -client -node=n1":                               "-node requires -server\n",
		"cert create -server":                                        "Error reading CA: open consul-agent-ca.pem: no such file or directory\n",
		"cert create -server -ca=example-agent-ca.pem":               "Error reading CA key: open consul-agent-ca-key.pem: no such file or directory\n",
		"cert create -server -domain=example -dc=a/b":                "-dc and -node must be names",
		"cert create -server -domain=example -days=-1":               "-days must be more than 0\n",
		"cert create -cli -additional-ipaddress=x":                   "-additional-ipaddress \"x\" is no IP address\n",
		"cert create -cli -domain=example -key=example-agent-ca.pem": "holds no private key",
		"cert create -cli -domain=other -ca=example-agent-ca.pem -key=example-agent-ca-key.pem": "this CA cannot sign",
	} {
		code, out, errText := execute(t, append([]string{"tls"}, strings.Fields(args)...)...)
		if code != 1 || out != "" || !strings.Contains(errText, want) {
			t.Errorf("%s: exit code %d, output %q, error %q, want %q", args, code, out, errText, want)
		}
	}
	after, err := os.ReadFile("example-agent-ca-key.pem")
	if err != nil || string(after) != string(before) {
		t.Errorf("the key of the CA was overwritten (%v)", err)
	}
	entries, err := os.ReadDir(".")
	if err != nil || len(entries) != 2 {
		t.Errorf("%d files are left, %v", len(entries), err)
	}
}
