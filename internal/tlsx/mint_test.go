package tlsx_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"consul.internal/internal/tlsx"
)

func parse(t *testing.T, data []byte) *x509.Certificate {
	t.Helper()
	b, rest := pem.Decode(data)
	if b == nil || len(rest) > 0 {
		t.Fatalf("not one PEM block: %q", data)
	}
	c, err := x509.ParseCertificate(b.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mintAuthority(t *testing.T, r tlsx.AuthorityRequest) (*tlsx.Authority, tlsx.Pair) {
	t.Helper()
	r.NotBefore, r.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	p, err := tlsx.MintAuthority(r)
	if err != nil {
		t.Fatal(err)
	}
	a, err := tlsx.ReadAuthority(p)
	if err != nil {
		t.Fatal(err)
	}
	return a, p
}

func TestMintAuthority(t *testing.T) {
	_, p := mintAuthority(t, tlsx.AuthorityRequest{Domain: "consul", ClusterID: "ABC"})
	c := parse(t, p.Cert)
	if !c.IsCA || !strings.HasPrefix(c.Subject.CommonName, "Consul Agent CA") || len(c.PermittedDNSDomains) > 0 {
		t.Errorf("authority %v, constraints %v", c.Subject, c.PermittedDNSDomains)
	}
	if len(c.URIs) != 1 || c.URIs[0].String() != "spiffe://abc.consul" {
		t.Errorf("URIs %v", c.URIs)
	}
	if err := c.CheckSignatureFrom(c); err != nil {
		t.Error(err)
	}
}

func TestMint(t *testing.T) {
	a, _ := mintAuthority(t, tlsx.AuthorityRequest{Domain: "consul"})
	from := time.Now().Add(-time.Minute)
	for _, tt := range []struct {
		req   tlsx.Request
		names []string
		ips   []string
		usage []x509.ExtKeyUsage
	}{
		{tlsx.Request{Role: tlsx.Server, Node: "N1"}, []string{"server.dc1.consul", "n1.server.dc1.consul", "localhost"}, []string{"127.0.0.1"},
			[]x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}},
		{tlsx.Request{Role: tlsx.Client, DNSNames: []string{"x.org", "localhost"}, IPs: []net.IP{net.IPv6loopback}}, []string{"client.dc1.consul", "localhost", "x.org"}, []string{"127.0.0.1", "::1"},
			[]x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}},
		{tlsx.Request{Role: tlsx.CLI}, []string{"cli.dc1.consul", "localhost"}, nil, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}},
	} {
		tt.req.Datacenter, tt.req.Domain, tt.req.NotBefore, tt.req.NotAfter = "dc1", "consul", from, from.AddDate(1, 0, 0)
		p, err := a.Mint(tt.req)
		if err != nil {
			t.Fatal(err)
		}
		c := parse(t, p.Cert)
		var ips []string
		for _, ip := range c.IPAddresses {
			ips = append(ips, ip.String())
		}
		if !slices.Equal(c.DNSNames, tt.names) || !slices.Equal(ips, tt.ips) || !slices.Equal(c.ExtKeyUsage, tt.usage) || c.IsCA {
			t.Errorf("%s: names %v, addresses %v, usage %v, authority %v", tt.req.Role, c.DNSNames, ips, c.ExtKeyUsage, c.IsCA)
		}
		if c.Subject.CommonName != tt.names[0] || !c.NotAfter.Equal(tt.req.NotAfter.Truncate(time.Second)) {
			t.Errorf("%s: %v until %v", tt.req.Role, c.Subject, c.NotAfter)
		}
	}
}

func TestConstraints(t *testing.T) {
	a, _ := mintAuthority(t, tlsx.AuthorityRequest{Domain: "consul", Constrain: true, Permitted: []string{"x.org"}})
	mint := func(names ...string) error {
		_, err := a.Mint(tlsx.Request{Role: tlsx.Server, Datacenter: "dc1", Domain: "consul", DNSNames: names, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)})
		return err
	}
	if err := mint("a.x.org"); err != nil {
		t.Error(err)
	}
	if err := mint("y.org"); err == nil || !strings.Contains(err.Error(), "y.org") {
		t.Errorf("a name outside the constraints: %v", err)
	}
}

func TestReadAuthority(t *testing.T) {
	_, good := mintAuthority(t, tlsx.AuthorityRequest{Domain: "consul"})
	_, other := mintAuthority(t, tlsx.AuthorityRequest{Domain: "consul"})
	a, _ := mintAuthority(t, tlsx.AuthorityRequest{Domain: "consul"})
	leaf, err := a.Mint(tlsx.Request{Role: tlsx.CLI, Datacenter: "dc1", Domain: "consul", NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	params := pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{1}})
	for _, tt := range []struct {
		name string
		pair tlsx.Pair
		want string // "" = taken
	}{
		{"good", good, ""},
		{"parameters before the key", tlsx.Pair{Cert: good.Cert, Key: append(params, good.Key...)}, ""},
		{"RSA, PKCS 1", rsaAuthority(t, false), ""},
		{"RSA, PKCS 8", rsaAuthority(t, true), ""},
		{"another's key", tlsx.Pair{Cert: good.Cert, Key: other.Key}, "does not belong"},
		{"no authority", leaf, "is not one of a CA"},
		{"empty", tlsx.Pair{}, "no certificate"},
		{"no key", tlsx.Pair{Cert: good.Cert, Key: good.Cert}, "no private key"},
		{"broken", tlsx.Pair{Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{1}})}, "cannot be read"},
		{"broken key", tlsx.Pair{Cert: good.Cert, Key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{1}})}, "cannot be read"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, err := tlsx.ReadAuthority(tt.pair)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %v, want %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := a.Mint(tlsx.Request{Role: tlsx.Server, Datacenter: "dc1", Domain: "consul", NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}); err != nil {
				t.Error(err)
			}
		})
	}
}

// rsaAuthority is one that another tool may have made.
func rsaAuthority(t *testing.T, pkcs8 bool) tlsx.Pair {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	if pkcs8 {
		block.Type = "PRIVATE KEY"
		if block.Bytes, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
			t.Fatal(err)
		}
	}
	return tlsx.Pair{Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), Key: pem.EncodeToMemory(block)}
}
