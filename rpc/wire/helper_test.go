package wire_test

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"consul.internal/internal/tlsx"
	"consul.internal/rpc/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const clusterA, clusterB = "aaaaaaaa-0000-0000-0000-000000000000", "bbbbbbbb-0000-0000-0000-000000000000"

// open starts a Mux on loopback.
func open(t *testing.T, cfg wire.Config, deps wire.Deps) *wire.Mux {
	t.Helper()
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	m, err := wire.New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// dialer makes a Mux that listens nowhere.
func dialer(t *testing.T, deps wire.Deps) *wire.Mux {
	t.Helper()
	m, err := wire.New(wire.DefaultConfig(), deps)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// echo serves a side of a Mux: what comes in goes back.
func echo(t *testing.T, l net.Listener) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
}

// speak says a word and wants it back.
func speak(c net.Conn) error {
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "word"); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 4))
	return err
}

func cluster(id string) func() string { return func() string { return id } }

// pki makes certificates in a directory.
type pki struct {
	t   *testing.T
	dir string
}

func (p pki) write(name string, data []byte) string {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		p.t.Fatal(err)
	}
	return path
}

func (p pki) authority(name string) (*tlsx.Authority, string) {
	p.t.Helper()
	pair, err := tlsx.MintAuthority(tlsx.AuthorityRequest{CommonName: name, Domain: "consul", NotBefore: time.Now().Add(-9 * time.Hour), NotAfter: time.Now().Add(9 * time.Hour)})
	if err != nil {
		p.t.Fatal(err)
	}
	a, err := tlsx.ReadAuthority(pair)
	if err != nil {
		p.t.Fatal(err)
	}
	return a, p.write(name+".pem", pair.Cert)
}

func (p pki) cert(a *tlsx.Authority, name string, role tlsx.Role, dc string, from, to time.Duration) tlsx.Part {
	p.t.Helper()
	pair, err := a.Mint(tlsx.Request{Role: role, Datacenter: dc, Domain: "consul", NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(to)})
	if err != nil {
		p.t.Fatal(err)
	}
	return tlsx.Part{CertFile: p.write(name+".pem", pair.Cert), KeyFile: p.write(name+"-key.pem", pair.Key)}
}

func (p pki) door(part tlsx.Part) *tlsx.Door {
	p.t.Helper()
	s, err := tlsx.New(tlsx.Config{Datacenter: "dc1", Domain: "consul", Server: true, InternalRPC: part})
	if err != nil {
		p.t.Fatal(err)
	}
	return s.InternalRPC
}

// within bounds what a test waits for; nothing is expected to last so long.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}
