package door_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"consul.internal/internal/door"
	"consul.internal/internal/fault"
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

// pipeListener hands out the ends that it is given.
type pipeListener struct {
	net.Listener
	conns chan net.Conn
}

func (l pipeListener) Accept() (net.Conn, error) {
	if c, ok := <-l.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

// TestReplace: at the limit, who has waited longest gives way, and who works does not.
func TestReplace(t *testing.T) {
	refusals := 0
	d := door.New(door.Limits{Total: 2, Replace: true}, func(c net.Conn, _ netip.Addr) {
		refusals++
		_ = c.Close()
	})
	in := pipeListener{conns: make(chan net.Conn, 1)}
	l := d.Listen(in)
	come := func() (far net.Conn, near *door.Conn) {
		far, end := net.Pipe()
		t.Cleanup(func() { _ = far.Close() })
		in.conns <- end
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		return far, door.Of(c)
	}
	open := func(far net.Conn) bool {
		_ = far.SetReadDeadline(time.Now())
		_, err := far.Read(make([]byte, 1))
		return !errors.Is(err, io.EOF)
	}
	first, a := come()
	second, b := come()
	a.Busy()
	third, c := come() // the second gives way
	if !open(first) || open(second) || !open(third) {
		t.Fatalf("open: %v %v %v", open(first), open(second), open(third))
	}
	_ = b.Close() // its place has gone already
	a.Idle()
	fourth, e := come() // the third has waited longer than the first
	if !open(first) || open(third) || !open(fourth) {
		t.Fatalf("open: %v %v %v", open(first), open(third), open(fourth))
	}
	_ = c.Close()
	a.Busy()
	e.Busy()
	let := make(chan net.Conn)
	go func() {
		in, err := l.Accept()
		if err != nil {
			t.Error(err)
		}
		let <- in
	}()
	far, end := net.Pipe()
	in.conns <- end
	if _, err := far.Read(make([]byte, 1)); err != io.EOF || refusals != 1 {
		t.Errorf("a newcomer while all worked: %v, %d refused", err, refusals)
	}
	_ = a.Close()
	_, end = net.Pipe()
	in.conns <- end
	_ = (<-let).Close()
}

// TestWaitingBytes: connections that wait share what may be remembered of them,
// and whoever sends little is not hit.
func TestWaitingBytes(t *testing.T) {
	d := door.New(door.Limits{WaitingBytes: 20 << 10}, nil)
	in := pipeListener{conns: make(chan net.Conn, 1)}
	l := d.Listen(in)
	read := func(n int) (*door.Conn, error) {
		far, end := net.Pipe()
		t.Cleanup(func() { _ = far.Close() })
		in.conns <- end
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = far.Write(make([]byte, n)) }() // ends with the test's pipes
		_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{io.LimitReader(c, int64(n))}, make([]byte, 1<<10))
		return door.Of(c), err
	}
	big, err := read(15 << 10)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := read(15 << 10); !errors.Is(err, fault.RateLimited) {
		t.Errorf("past the limit: %v", err)
	}
	if _, err := read(4 << 10); err != nil {
		t.Errorf("one that sends little: %v", err)
	}
	big.Busy()
	if _, err := read(9 << 10); err != nil && !errors.Is(err, fault.RateLimited) {
		t.Errorf("after room was made: %v", err)
	}
}

// from is a connection that comes from an address.
type from struct {
	net.Conn
	addr net.Addr
}

func (c from) RemoteAddr() net.Addr { return c.addr }

// TestReplaceFairly: at the limit, places go from addresses that have many to those
// that have fewer, and a crowd does not take them from itself.
func TestReplaceFairly(t *testing.T) {
	const total, few = 40, 8
	refused, let := make(chan net.Conn), make(chan net.Conn)
	d := door.New(door.Limits{Total: total, Replace: true}, func(c net.Conn, _ netip.Addr) { refused <- c })
	in := pipeListener{conns: make(chan net.Conn)}
	l := d.Listen(in)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(in.conns)
	wg.Go(func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			let <- c
		}
	})
	// crowd has n come from an address, and returns how many were let in.
	crowd := func(addr string, n int) (came int) {
		for range n {
			_, end := net.Pipe()
			in.conns <- from{end, &net.TCPAddr{IP: net.ParseIP(addr), Port: 1}}
			select {
			case <-let:
				came++
			case <-refused:
			}
		}
		return came
	}
	if n := crowd("192.0.2.1", 100); n != total {
		t.Errorf("%d of one address were let in", n)
	}
	if n := crowd("192.0.2.2", 100); n < total/2-1 || n > total/2+1 {
		t.Errorf("%d of a second address were let in, there are %d places", n, total)
	}
	if n := crowd("192.0.2.1", 100); n > 2 {
		t.Errorf("%d of the first address were let in again", n)
	}
	if n := crowd("192.0.2.3", 3); n != 3 {
		t.Errorf("%d of 3 of a third address were let in", n)
	}
	// Those that are at work do not count.
	for range 2 * few {
		_, end := net.Pipe()
		in.conns <- from{end, &net.TCPAddr{IP: net.ParseIP("192.0.2.4"), Port: 1}}
		select {
		case c := <-let:
			door.Of(c).Busy()
		case <-refused:
			t.Error("who works was refused")
		}
	}
}
