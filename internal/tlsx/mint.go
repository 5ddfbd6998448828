package tlsx

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"consul.internal/internal/fault"
)

// Pair is a certificate and its key, both in PEM form.
type Pair struct{ Cert, Key []byte }

// Authority signs certificates.
type Authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// AuthorityRequest describes an authority to mint.
type AuthorityRequest struct {
	CommonName string // "" = "Consul Agent CA" and a number
	Domain     string
	ClusterID  string // of the SPIFFE ID; "" = none
	NotBefore  time.Time
	NotAfter   time.Time
	// Constrain limits what it may sign for: localhost, Domain and Permitted.
	Constrain bool
	Permitted []string
}

// MintAuthority makes an authority that signed itself.
func MintAuthority(r AuthorityRequest) (Pair, error) {
	serial, err := serialNumber()
	if err != nil {
		return Pair{}, err
	}
	name := r.CommonName
	if name == "" {
		name = fmt.Sprintf("Consul Agent CA %d", serial)
	}
	t := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: name, Organization: []string{"Consul"}},
		NotBefore:             r.NotBefore,
		NotAfter:              r.NotAfter,
		BasicConstraintsValid: true,
		IsCA:                  true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
	}
	if r.ClusterID != "" {
		t.URIs = []*url.URL{{Scheme: "spiffe", Host: strings.ToLower(r.ClusterID + "." + r.Domain)}}
	}
	if r.Constrain {
		t.PermittedDNSDomainsCritical = true
		t.PermittedDNSDomains = append([]string{"localhost", r.Domain}, r.Permitted...)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, err
	}
	return sign(t, t, key, key)
}

// ReadAuthority takes an authority from PEM. The key may be one that others made.
func ReadAuthority(p Pair) (*Authority, error) {
	cb, _ := pem.Decode(p.Cert)
	if cb == nil || cb.Type != "CERTIFICATE" {
		return nil, fault.Newf(fault.Invalid, "the file of the CA holds no certificate in PEM form")
	}
	cert, err := x509.ParseCertificate(cb.Bytes)
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "the certificate of the CA cannot be read: %w", err)
	}
	if !cert.IsCA {
		return nil, fault.Newf(fault.Invalid, "the certificate of %q is not one of a CA", cert.Subject.CommonName)
	}
	key, err := readKey(p.Key)
	if err != nil {
		return nil, err
	}
	if pub, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(cert.PublicKey) {
		return nil, fault.Newf(fault.Invalid, "the key does not belong to the certificate of the CA")
	}
	return &Authority{cert: cert, key: key}, nil
}

func readKey(data []byte) (crypto.Signer, error) {
	for {
		var b *pem.Block
		if b, data = pem.Decode(data); b == nil {
			return nil, fault.Newf(fault.Invalid, "the file of the CA's key holds no private key in PEM form")
		}
		if !strings.HasSuffix(b.Type, "PRIVATE KEY") {
			continue // such as EC PARAMETERS, which openssl writes before the key
		}
		if k, err := x509.ParseECPrivateKey(b.Bytes); err == nil {
			return k, nil
		}
		if k, err := x509.ParsePKCS1PrivateKey(b.Bytes); err == nil {
			return k, nil
		}
		k, err := x509.ParsePKCS8PrivateKey(b.Bytes)
		if err != nil {
			return nil, fault.Newf(fault.Invalid, "the key of the CA cannot be read: %w", err)
		}
		signer, ok := k.(crypto.Signer)
		if !ok {
			return nil, fault.Newf(fault.Invalid, "the key of the CA cannot sign")
		}
		return signer, nil
	}
}

// Role of who holds a certificate; it is the first label of its name.
type Role string

const (
	// Server may become a server, and thereby see and change everything.
	Server Role = "server"
	// Client is an agent that is no server.
	Client Role = "client"
	// CLI is a person or program that only calls.
	CLI Role = "cli"
)

// Request describes a certificate to mint.
type Request struct {
	Role       Role
	Datacenter string
	Domain     string
	Node       string // adds the server's own name, NODE.server.DATACENTER.DOMAIN
	DNSNames   []string
	IPs        []net.IP
	NotBefore  time.Time
	NotAfter   time.Time
}

// Mint makes a certificate with a key of its own.
func (a *Authority) Mint(r Request) (Pair, error) {
	serial, err := serialNumber()
	if err != nil {
		return Pair{}, err
	}
	name := strings.ToLower(fmt.Sprintf("%s.%s.%s", r.Role, r.Datacenter, r.Domain))
	t := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             r.NotBefore,
		NotAfter:              r.NotAfter,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		DNSNames:              []string{name},
	}
	if r.Role != CLI {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageServerAuth) // a client serves HTTPS
		t.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	if r.Node != "" {
		t.DNSNames = append(t.DNSNames, strings.ToLower(r.Node)+"."+name)
	}
	t.DNSNames = append(t.DNSNames, "localhost")
	for _, n := range r.DNSNames {
		if !slices.Contains(t.DNSNames, n) {
			t.DNSNames = append(t.DNSNames, n)
		}
	}
	t.IPAddresses = append(t.IPAddresses, r.IPs...)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, err
	}
	p, err := sign(t, a.cert, key, a.key)
	if err != nil {
		return Pair{}, err
	}
	return p, a.check(p, r.NotBefore)
}

// check verifies what was minted, so that a name which the authority may not
// sign is refused here and not by everyone who meets the certificate.
func (a *Authority) check(p Pair, notBefore time.Time) error {
	b, _ := pem.Decode(p.Cert)
	c, err := x509.ParseCertificate(b.Bytes)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	at := notBefore
	if at.Before(a.cert.NotBefore) {
		at = a.cert.NotBefore
	}
	if _, err := c.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return fault.Newf(fault.Invalid, "this CA cannot sign such a certificate: %w", err)
	}
	return nil
}

func sign(t, parent *x509.Certificate, key *ecdsa.PrivateKey, signer crypto.Signer) (Pair, error) {
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), signer)
	if err != nil {
		return Pair{}, fault.Newf(fault.Invalid, "cannot make the certificate: %w", err)
	}
	k, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return Pair{}, err
	}
	return Pair{
		Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: k}),
	}, nil
}

// serialNumber is random, so that two authorities of one name never collide.
func serialNumber() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)) // RFC 5280, 4.1.2.2: at most 20 octets
}
