package dnsserver

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"consul.internal/internal/fault"
	"consul.internal/view"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func opened(t testing.TB, src *testSource, change func(*Config)) (*Server, string) {
	t.Helper()
	s := newServer(t, src, change)
	if err := s.Open(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, s.Addrs()[0].String()
}

func TestServe(t *testing.T) {
	s, _ := opened(t, webSource(3), func(c *Config) { c.Addrs = []string{"127.0.0.1:0", "127.0.0.2:0"} })
	if len(s.Addrs()) != 2 {
		t.Fatalf("addresses %v", s.Addrs())
	}
	for _, a := range s.Addrs() {
		for _, network := range []string{"udp", "tcp"} {
			c := &dns.Client{Net: network}
			r, _, err := c.Exchange(question("wEb.service.consul.", dns.TypeSRV), a.String())
			if err != nil {
				t.Errorf("%s %s: %v", a, network, err)
				continue
			}
			if len(r.Answer) != 3 || len(r.Extra) != 3 || !r.Authoritative || r.Question[0].Name != "wEb.service.consul." {
				t.Errorf("%s %s: %v", a, network, r)
			}
		}
	}
	st := s.Stats()
	if st.UDP != 2 || st.TCP != 2 || st.Rcodes[dns.RcodeSuccess] != 4 {
		t.Errorf("%+v", st)
	}
}

func TestAddressInUse(t *testing.T) {
	_, addr := opened(t, webSource(1), nil)
	s := newServer(t, webSource(1), func(c *Config) { c.Addrs = []string{"127.0.0.1:0", addr} })
	err := s.Open(t.Context())
	if !errors.Is(err, syscall.EADDRINUSE) || !errors.Is(err, fault.Conflict) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{addr, "ports.dns", "address already in use"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	if len(s.Addrs()) != 0 {
		t.Error("an address was kept")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// UDP taken by another program is found before anything is served.
func TestUDPInUse(t *testing.T) {
	u, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	s := newServer(t, webSource(1), func(c *Config) { c.Addrs = []string{u.LocalAddr().String()} })
	if err := s.Open(t.Context()); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "UDP") {
		t.Errorf("got %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func frame(t testing.TB, m *dns.Msg) []byte {
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
}

func readFrame(r io.Reader) (*dns.Msg, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	m := new(dns.Msg)
	return m, m.Unpack(b)
}

// Queries sent in one go are all answered, in order, also when the last is
// still on its way in pieces.
func TestPipelining(t *testing.T) {
	_, addr := opened(t, webSource(3), nil)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const n = 300
	var all []byte
	for i := range n {
		m := question("web.service.consul.", dns.TypeA)
		m.Id = uint16(i)
		all = append(all, frame(t, m)...)
	}
	if _, err := c.Write(all[:len(all)-5]); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if i == n-1 {
			if _, err := c.Write(all[len(all)-5:]); err != nil {
				t.Fatal(err)
			}
		}
		m, err := readFrame(c)
		if err != nil || m.Id != uint16(i) || len(m.Answer) != 3 {
			t.Fatalf("reply %d: %v %v", i, m, err)
		}
	}
}

func TestTCPBadFrames(t *testing.T) {
	_, addr := opened(t, webSource(1), nil)
	for name, b := range map[string][]byte{
		"nothing in it": {0, 0},
		"too short":     {0, 5, 1, 2, 3, 4, 5},
		"too long":      {0xFF, 0xFF},
	} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Errorf("%s: answered", name)
		}
		c.Close()
	}
}

func TestTCPIdle(t *testing.T) {
	_, addr := opened(t, webSource(1), func(c *Config) { c.Limits.TCPIdle = 20 * time.Millisecond })
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a silent connection: %v", err)
	}
}

func TestTCPLimit(t *testing.T) {
	s, addr := opened(t, webSource(1), func(c *Config) { c.Limits.TCPConnsPerAddr = 1 })
	first, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if _, err := first.Write(frame(t, question("web.service.consul.", dns.TypeA))); err != nil {
		t.Fatal(err)
	}
	if _, err := readFrame(first); err != nil {
		t.Fatal(err)
	}
	second, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if _, err := second.Read(make([]byte, 1)); err == nil {
		t.Error("the second connection was served")
	}
	if err := s.Close(); err != nil { // the count is complete when nothing runs any more
		t.Error(err)
	}
	if got := s.Stats().RefusedConns; got != 1 {
		t.Errorf("%d refused", got)
	}
}

// held answers only when it is let go.
func held(n int) (src *testSource, entered chan struct{}, free func()) {
	src = webSource(1)
	entered = make(chan struct{}, n)
	gate := make(chan struct{})
	src.fails = func(context.Context) (view.State, error) {
		entered <- struct{}{}
		<-gate
		return view.State{}, nil
	}
	return src, entered, sync.OnceFunc(func() { close(gate) })
}

// More queries than may be under way are dropped and counted; those under way
// are answered, also by a server that is closing.
func TestDropAndDrain(t *testing.T) {
	src, entered, free := held(2)
	s := newServer(t, src, func(c *Config) { c.Limits.UDPInFlight = 1 })
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	addr := s.Addrs()[0].String()
	udp, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	tcp, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	b := frame(t, question("web.service.consul.", dns.TypeA))
	if _, err := tcp.Write(b); err != nil {
		t.Fatal(err)
	}
	<-entered
	if _, err := udp.Write(b[2:]); err != nil {
		t.Fatal(err)
	}
	<-entered
	for range 2 { // the second takes the place of the first, which waits
		if _, err := udp.Write(b[2:]); err != nil {
			t.Fatal(err)
		}
	}
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	_ = udp.SetReadDeadline(time.Now().Add(10 * time.Second))
	_ = tcp.SetReadDeadline(time.Now().Add(10 * time.Second))
	// Close reads what had arrived before it waits for what is under way.
	s.readers.Wait()
	if got := s.Stats().Dropped; got != 1 {
		t.Errorf("%d dropped", got)
	}
	free()
	if m, err := readFrame(tcp); err != nil || len(m.Answer) != 1 {
		t.Errorf("TCP: %v %v", m, err)
	}
	in := make([]byte, 512)
	if n, err := udp.Read(in); err != nil || n < headerLen {
		t.Errorf("UDP: %d %v", n, err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

// A source that answers only when its context ends does not hold up Close for
// longer than the drain timeout.
func TestCloseByForce(t *testing.T) {
	src := webSource(1)
	entered := make(chan struct{}, 1)
	src.fails = func(ctx context.Context) (view.State, error) {
		entered <- struct{}{}
		<-ctx.Done()
		return view.State{}, context.Cause(ctx)
	}
	s := newServer(t, src, func(c *Config) {
		c.Limits.DrainTimeout = 10 * time.Millisecond
		c.Limits.QueryTimeout = time.Hour
	})
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("udp", s.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(frame(t, question("web.service.consul.", dns.TypeA))[2:]); err != nil {
		t.Fatal(err)
	}
	<-entered
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestOpenTwice(t *testing.T) {
	s, _ := opened(t, webSource(1), nil)
	if err := s.Open(t.Context()); !errors.Is(err, fault.Conflict) {
		t.Errorf("got %v", err)
	}
	closed := newServer(t, webSource(1), nil)
	if err := closed.Close(); err != nil {
		t.Error(err)
	}
	if err := closed.Open(t.Context()); !errors.Is(err, fault.Conflict) {
		t.Errorf("open after close: %v", err)
	}
}

func TestIPv6(t *testing.T) {
	s := newServer(t, webSource(1), func(c *Config) { c.Addrs = []string{"[::1]:0"} })
	err := s.Open(t.Context())
	if errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) {
		t.Skip("this machine has no IPv6 loopback")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if a := s.Addrs()[0]; a.Addr() != netip.IPv6Loopback() {
		t.Errorf("address %v", a)
	}
	r, err := dns.Exchange(question("web.service.consul.", dns.TypeA), s.Addrs()[0].String())
	if err != nil || len(r.Answer) != 1 {
		t.Errorf("%v %v", r, err)
	}
}
