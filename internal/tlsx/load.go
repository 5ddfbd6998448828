package tlsx

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"consul.internal/internal/fault"
)

// kind of a door, for what differs between them.
type kind struct {
	block string // where users find its settings
	// anyName lets certificates of others pass whatever their name: between
	// agents the authority alone counts, unless verify_server_hostname is on.
	anyName bool
	// asks for a certificate also where none is needed: raft wants one. At HTTPS
	// that would make browsers ask people.
	asks bool
}

// loaded is one door's settings, read and checked. It never changes.
type loaded struct {
	part     Part
	min      uint16
	suites   []uint16
	roots    *x509.CertPool   // nil without authorities
	cert     *tls.Certificate // nil without a certificate
	warnings []string
}

func load(k kind, cfg Config, part Part, now time.Time) (*loaded, error) {
	l := &loaded{part: part}
	l.part.VerifyOutgoing = part.VerifyOutgoing || part.VerifyServerHostname
	var weak []string
	var err error
	if l.min, err = version(part.MinVersion); err != nil {
		return nil, fmt.Errorf("%s: %w", k.block, err)
	}
	if l.suites, weak, err = suites(part.CipherSuites); err != nil {
		return nil, fmt.Errorf("%s: %w", k.block, err)
	}
	if l.roots, err = authorities(part, now); err != nil {
		return nil, fmt.Errorf("%s: %w", k.block, err)
	}
	if l.cert, err = certificate(part); err != nil {
		return nil, fmt.Errorf("%s: %w", k.block, err)
	}
	if err := l.switches(); err != nil {
		return nil, fmt.Errorf("%s: %w", k.block, err)
	}
	l.warn(k, cfg, weak, now)
	return l, nil
}

// switches refuses those that cannot do what they promise.
func (l *loaded) switches() error {
	switch {
	case l.part.VerifyIncoming && l.roots == nil:
		return fault.Newf(fault.Invalid, "verify_incoming needs authorities to verify with; set ca_file or ca_path")
	case l.part.VerifyIncoming && l.cert == nil:
		return fault.Newf(fault.Invalid, "verify_incoming needs a certificate of this agent's own; set cert_file and key_file")
	case l.part.VerifyOutgoing && l.roots == nil:
		name := "verify_outgoing"
		if l.part.VerifyServerHostname {
			name = "verify_server_hostname"
		}
		return fault.Newf(fault.Invalid, "%s needs authorities to verify with; set ca_file or ca_path", name)
	}
	return nil
}

// authorities reads ca_file and ca_path. A bundle may hold old ones beside the
// new, so that only a set without any valid authority is refused.
func authorities(part Part, now time.Time) (*x509.CertPool, error) {
	var files []string
	if part.CAFile != "" {
		files = append(files, part.CAFile)
	}
	if part.CAPath != "" {
		entries, err := os.ReadDir(part.CAPath)
		if err != nil {
			return nil, fault.Newf(fault.Invalid, "ca_path: %w", err)
		}
		for _, e := range entries {
			if path := filepath.Join(part.CAPath, e.Name()); isFile(path) {
				files = append(files, path)
			}
		}
	}
	if part.CAFile == "" && part.CAPath == "" {
		return nil, nil
	}
	pool := x509.NewCertPool()
	valid := false
	var expired *x509.Certificate
	var expiredFile string
	for _, file := range files {
		certs, err := readCertificates(file)
		if err != nil {
			return nil, err
		}
		if len(certs) == 0 && file == part.CAFile {
			return nil, fault.Newf(fault.Invalid, "ca_file %s holds no certificate in PEM form", file)
		}
		for _, c := range certs {
			pool.AddCert(c)
			if now.After(c.NotAfter) {
				expired, expiredFile = c, file
			} else {
				valid = true
			}
		}
	}
	switch {
	case !valid && expired != nil:
		return nil, fault.Newf(fault.Invalid, "the certificate authority %q in %s expired on %s; make a new one, and certificates signed by it",
			expired.Subject.CommonName, expiredFile, day(expired.NotAfter))
	case !valid:
		return nil, fault.Newf(fault.Invalid, "ca_path %s holds no certificate in PEM form", part.CAPath)
	}
	return pool, nil
}

func isFile(path string) bool {
	info, err := os.Stat(path) // follows the links that such directories are full of
	return err == nil && info.Mode().IsRegular()
}

func readCertificates(file string) ([]*x509.Certificate, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "certificate authorities: %w", err)
	}
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return certs, nil
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fault.Newf(fault.Invalid, "a certificate in %s cannot be read: %w", file, err)
		}
		certs = append(certs, c)
	}
}

func certificate(part Part) (*tls.Certificate, error) {
	switch {
	case part.CertFile == "" && part.KeyFile == "":
		return nil, nil
	case part.KeyFile == "":
		return nil, fault.Newf(fault.Invalid, "cert_file %s has no key; set key_file", part.CertFile)
	case part.CertFile == "":
		return nil, fault.Newf(fault.Invalid, "key_file %s has no certificate; set cert_file", part.KeyFile)
	}
	certPEM, err := os.ReadFile(part.CertFile)
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "cert_file: %w", err)
	}
	keyPEM, err := os.ReadFile(part.KeyFile)
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "key_file: %w", err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "cert_file %s with key_file %s: %w", part.CertFile, part.KeyFile, err)
	}
	return &pair, nil
}

// warn collects what works, but not as its owner will think.
func (l *loaded) warn(k kind, cfg Config, weak []string, now time.Time) {
	say := func(format string, args ...any) {
		l.warnings = append(l.warnings, k.block+": "+fmt.Sprintf(format, args...))
	}
	if len(weak) > 0 {
		say("tls_cipher_suites names suites that are no longer safe: %s", strings.Join(weak, ", "))
	}
	if l.min < tls.VersionTLS12 {
		say("tls_min_version %s permits versions of TLS that are no longer safe", l.part.MinVersion)
	}
	if l.cert != nil {
		leaf := l.cert.Leaf
		switch err := l.verify(l.cert.Certificate, "", x509.ExtKeyUsageAny, now); {
		case now.After(leaf.NotAfter):
			say("cert_file %s expired on %s; everyone who verifies refuses it", l.part.CertFile, day(leaf.NotAfter))
		case now.Before(leaf.NotBefore):
			say("cert_file %s is not valid before %s; is the clock right?", l.part.CertFile, day(leaf.NotBefore))
		case l.roots != nil && err != nil:
			say("cert_file %s does not come from an authority of ca_file or ca_path; who trusts these will refuse it: %v", l.part.CertFile, err)
		}
		if info, err := os.Stat(l.part.KeyFile); err == nil && info.Mode().Perm()&0o007 != 0 {
			say("key_file %s can be read or changed by everyone on this machine; chmod 600 it", l.part.KeyFile)
		}
	}
	if !k.anyName {
		return
	}
	if name := cfg.serverName(cfg.Datacenter); cfg.Server && l.cert != nil && l.cert.Leaf.VerifyHostname(name) != nil {
		say("cert_file %s does not carry the name %s; servers that use TLS will not let this one into raft", l.part.CertFile, name)
	}
	if l.cert != nil && !l.part.VerifyIncoming {
		say("verify_incoming is off: anyone who reaches the port may call")
	}
	if l.part.VerifyOutgoing && !l.part.VerifyServerHostname {
		say("verify_server_hostname is off: any certificate of the authority passes for a server")
	}
}

// verify holds a peer's certificate, and those it sent with it, against the
// authorities; name "" lets any name pass.
func (l *loaded) verify(chain [][]byte, name string, usage x509.ExtKeyUsage, now time.Time) error {
	if len(chain) == 0 {
		return fault.Newf(fault.Denied, "no certificate was shown")
	}
	if l.roots == nil {
		return fault.Newf(fault.Denied, "there are no authorities to verify a certificate with; set ca_file or ca_path")
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return fault.With(fault.Denied, err)
	}
	between := x509.NewCertPool()
	for _, raw := range chain[1:] {
		if c, err := x509.ParseCertificate(raw); err == nil {
			between.AddCert(c)
		}
	}
	_, err = leaf.Verify(x509.VerifyOptions{
		Roots: l.roots, Intermediates: between, DNSName: name, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage},
	})
	return fault.With(fault.Denied, err)
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
