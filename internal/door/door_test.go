package door_test

import (
	"io"
	"net"
	"net/netip"
	"testing"

	"consul.internal/internal/door"
)

func TestLimit(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := make(chan netip.Addr, 1)
	l := door.Limit(inner, door.Limits{PerAddress: 1}, func(a netip.Addr) { refused <- a })
	accepted := make(chan net.Conn)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- c
		}
	}()
	first := dial(t, l)
	server := <-accepted
	second := dial(t, l)
	if a := <-refused; a != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("refused %v", a)
	}
	if _, err := second.Read(make([]byte, 1)); err == nil {
		t.Error("the second connection was served")
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if _, err := first.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("read after close: %v", err)
	}
	_ = server.Close() // closing twice must not give two places back
	dial(t, l)
	<-accepted
	dial(t, l)
	<-refused
	_ = l.Close()
	if _, open := <-accepted; open {
		t.Error("a connection after Close")
	}
}

func dial(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
