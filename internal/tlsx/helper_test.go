package tlsx_test

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"consul.internal/internal/tlsx"
)

// files makes authorities and certificates in a directory.
type files struct {
	t   *testing.T
	dir string
}

func newFiles(t *testing.T) files { return files{t, t.TempDir()} }

func (f files) write(name string, data []byte) string {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		f.t.Fatal(err)
	}
	return path
}

type authority struct {
	*tlsx.Authority
	file string
}

func (f files) authority(name string, from, to time.Duration) authority {
	f.t.Helper()
	p, err := tlsx.MintAuthority(tlsx.AuthorityRequest{
		CommonName: name, Domain: "consul", NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(to),
	})
	if err != nil {
		f.t.Fatal(err)
	}
	a, err := tlsx.ReadAuthority(p)
	if err != nil {
		f.t.Fatal(err)
	}
	return authority{a, f.write(name+".pem", p.Cert)}
}

// cert makes NAME.pem and NAME-key.pem and a part that uses them.
func (f files) cert(a authority, name string, r tlsx.Request) tlsx.Part {
	f.t.Helper()
	if r.NotBefore.IsZero() {
		r.NotBefore, r.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	if r.Role == "" {
		r.Role = tlsx.Server
	}
	if r.Datacenter == "" {
		r.Datacenter = "dc1"
	}
	r.Domain = "consul"
	p, err := a.Mint(r)
	if err != nil {
		f.t.Fatal(err)
	}
	return tlsx.Part{CAFile: a.file, CertFile: f.write(name+".pem", p.Cert), KeyFile: f.write(name+"-key.pem", p.Key)}
}

func config(p tlsx.Part) tlsx.Config {
	return tlsx.Config{Datacenter: "dc1", Domain: "consul.", Server: true, InternalRPC: p}
}

func settings(t *testing.T, cfg tlsx.Config) *tlsx.Settings {
	t.Helper()
	s, err := tlsx.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// shake lets two sides shake hands and exchange a byte each way, since with TLS
// 1.3 a client learns of a refusal only then.
func shake(t *testing.T, server, client *tls.Config) (in tls.ConnectionState, clientErr, serverErr error) {
	t.Helper()
	a, b := sockets(t)
	s, c := tls.Server(a, server), tls.Client(b, client)
	done := make(chan error, 1)
	go func() {
		_, err := s.Write([]byte{1})
		if err == nil {
			_, err = s.Read(make([]byte, 1))
		}
		_ = a.Close()
		done <- err
	}()
	_, clientErr = c.Read(make([]byte, 1))
	if clientErr == nil {
		_, clientErr = c.Write([]byte{1})
	}
	_ = b.Close()
	serverErr = <-done
	return s.ConnectionState(), clientErr, serverErr
}

// sockets are the two ends of a connection that buffers: in TLS both sides may
// write at once.
func sockets(t *testing.T) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if b, err = net.Dial("tcp", l.Addr().String()); err == nil {
		a, err = l.Accept()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _, _ = a.Close(), b.Close(), l.Close() })
	return a, b
}
