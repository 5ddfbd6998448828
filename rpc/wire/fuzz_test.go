package wire

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"consul.internal/internal/tlsx"
)

// FuzzHello: what is read as a hello is what was written, and nothing else is
// read as one.
func FuzzHello(f *testing.F) {
	for _, h := range []hello{{}, {Cluster: "c", From: "f", To: "t"}} {
		b, err := h.append(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)-1])
	}
	f.Add([]byte{helloVersion, 0xff, 0xff})
	f.Add([]byte{helloVersion + 1, 0, 1, 9})
	f.Add([]byte{helloVersion, 0, 3, 65, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		h, reason, err := readHello(r)
		if err != nil || reason != Accepted {
			if h != (hello{}) {
				t.Errorf("a refused hello has content: %+v", h)
			}
			return
		}
		again, err := h.append(nil)
		if err != nil {
			t.Fatalf("%+v was read but cannot be written: %v", h, err)
		}
		if n := len(data) - r.Len(); !bytes.Equal(again, data[:n]) {
			t.Errorf("%x was read as %+v", data[:n], h)
		}
	})
}

// FuzzAnswer: a server's answer is read or refused, whatever it is.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte{0, 0})
	f.Add([]byte{1, 255, 1})
	f.Add(answer{reason: OtherCluster, id: "c"}.append(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := readAnswer(bytes.NewReader(data))
		if err != nil {
			return
		}
		if len(a.id) > maxID || (&RefusedError{Reason: a.reason, Theirs: a.id}).Error() == "" {
			t.Errorf("answer %+v", a)
		}
	})
}

// FuzzFirstBytes gives a connection's bytes to a server with TLS. It must end,
// closed, with nothing handed out: nobody takes anything here.
func FuzzFirstBytes(f *testing.F) {
	door := fuzzDoor(f)
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte{firstCalls})
	f.Add([]byte{firstRaft, helloVersion, 0, 3, 0, 0, 0})
	f.Add([]byte{firstTLS, 3, 1, 0, 5, 1, 0, 0, 1, 3})
	f.Add([]byte{firstTLS, 3, 3, 0xff, 0xff, 1, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := New(DefaultConfig(), Deps{TLS: door, NodeID: "one"})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = m.calls.Close(), m.raft.Close()
		c := &bytesConn{in: bytes.NewReader(data)}
		m.serve(c)
		if !c.closed || len(m.pending) > 0 || m.Stats().Handed > 0 || m.Stats().Refused != 1 {
			t.Errorf("closed %v, pending %d, %+v", c.closed, len(m.pending), m.Stats())
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
}

func fuzzDoor(f *testing.F) *tlsx.Door {
	from, to := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	ca, err := tlsx.MintAuthority(tlsx.AuthorityRequest{Domain: "consul", NotBefore: from, NotAfter: to})
	if err != nil {
		f.Fatal(err)
	}
	a, err := tlsx.ReadAuthority(ca)
	if err != nil {
		f.Fatal(err)
	}
	p, err := a.Mint(tlsx.Request{Role: tlsx.Server, Datacenter: "dc1", Domain: "consul", NotBefore: from, NotAfter: to})
	if err != nil {
		f.Fatal(err)
	}
	dir := f.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			f.Fatal(err)
		}
		return path
	}
	s, err := tlsx.New(tlsx.Config{Datacenter: "dc1", Domain: "consul", InternalRPC: tlsx.Part{
		CAFile: file("ca", ca.Cert), CertFile: file("cert", p.Cert), KeyFile: file("key", p.Key),
	}})
	if err != nil {
		f.Fatal(err)
	}
	return s.InternalRPC
}

// bytesConn says what it was given, and ends.
type bytesConn struct {
	in     io.Reader
	closed bool
}

func (c *bytesConn) Read(p []byte) (int, error)       { return c.in.Read(p) }
func (c *bytesConn) Write(p []byte) (int, error)      { return len(p), nil }
func (c *bytesConn) Close() error                     { c.closed = true; return nil }
func (c *bytesConn) LocalAddr() net.Addr              { return new(net.TCPAddr) }
func (c *bytesConn) RemoteAddr() net.Addr             { return new(net.TCPAddr) }
func (c *bytesConn) SetDeadline(time.Time) error      { return nil }
func (c *bytesConn) SetReadDeadline(time.Time) error  { return nil }
func (c *bytesConn) SetWriteDeadline(time.Time) error { return nil }
