package httpapi

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "http.sock")
	open := func() *Server {
		t.Helper()
		s := newTestServer(t, &fakeCaller{}, func(c *Config) {
			c.Addrs, c.Sockets = nil, []Socket{{Path: path, Mode: "0600"}}
		})
		if err := s.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || info.Mode()&fs.ModeSocket == 0 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	r, err := client.Get("http://any/v1/status/leader")
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", r, err)
	}
	_ = r.Body.Close() // its status was all
	client.CloseIdleConnections()

	second := newTestServer(t, &fakeCaller{}, func(c *Config) { c.Addrs, c.Sockets = nil, []Socket{{Path: path}} })
	if err := second.Open(t.Context()); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("a socket in use was taken: %v", err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}

	// A socket that a killed process left behind is taken over, a file is not.
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := open().Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := second.Open(t.Context()); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("a file was taken for a socket: %v", err)
	}
	for _, k := range []Socket{{Path: path + "2", Mode: "rw"}, {Path: path + "3", User: "no-such-user"}, {Path: path + "4", Group: "no-such-group"}} {
		if l, err := k.listen(t.Context()); err == nil {
			t.Errorf("%+v was accepted", k)
			_ = l.Close() // the failure is reported above
		}
	}
}

// A socket whose owner has no time for more connections is left to it.
func TestSocketOfABusyProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "http.sock")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	for { // until nobody else is let in, which is soon: the queue has no place
		c, err := net.Dial("unix", path)
		if err != nil {
			break
		}
		defer c.Close()
	}
	k := Socket{Path: path}
	if l, err := k.listen(t.Context()); err == nil || !strings.Contains(err.Error(), "in the way") {
		t.Errorf("a living process's socket was taken: %v, %v", l, err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("it is gone: %v", err)
	}
}
