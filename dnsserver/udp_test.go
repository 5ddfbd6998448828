package dnsserver

import (
	"context"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"consul.internal/view"
)

// Replies leave from the address that was asked, whichever path makes them and
// however many addresses the socket stands for: a connected socket takes no others.
func TestWildcard(t *testing.T) {
	for listen, ask := range map[string][]string{
		"0.0.0.0:0": {"127.0.0.1", "127.0.0.2", "127.1.2.3"},
		"[::]:0":    {"127.0.0.1", "127.0.0.2", "::1"}, // IPv4 as well, since nothing else serves it
	} {
		t.Run(listen, func(t *testing.T) {
			if l, err := net.Listen("tcp6", "[::1]:0"); err == nil {
				_ = l.Close() // only tried
			} else if listen == "[::]:0" {
				t.Skipf("this machine has no IPv6: %v", err)
			}
			s, addr := opened(t, webSource(3), func(c *Config) { c.Addrs = []string{listen} })
			port := netip.MustParseAddrPort(addr).Port()
			for _, host := range ask {
				to := net.JoinHostPort(host, strconv.Itoa(int(port)))
				// Of each pair the second reply to the first name is a packed one; the
				// other name always takes the full path.
				for _, name := range []string{"web.service.consul.", "web.service.consul.", "wEb.sErvice.cOnsul."} {
					c := &dns.Client{Timeout: 2 * time.Second}
					r, _, err := c.Exchange(question(name, dns.TypeSRV), to)
					if err != nil || len(r.Answer) != 3 {
						t.Errorf("%s at %s: %v %v", name, to, r, err)
					}
				}
			}
			if s.Stats().Panics != 0 {
				t.Error("panics")
			}
		})
	}
}

// However many UDP queries are under way and wait, who comes by TCP is answered.
func TestTCPNotStarved(t *testing.T) {
	const most = 2
	src, gate, entered := webSource(1), make(chan struct{}), make(chan struct{}, most)
	var held atomic.Int32
	src.fails = func(context.Context) (view.State, error) {
		if held.Add(1) <= most {
			entered <- struct{}{}
			<-gate
		}
		return view.State{}, nil
	}
	s, addr := opened(t, src, func(c *Config) { c.Limits.UDPInFlight = most })
	udp, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	b := frame(t, question("web.service.consul.", dns.TypeA))
	for range 4 * most {
		if _, err := udp.Write(b[2:]); err != nil {
			t.Fatal(err)
		}
	}
	for range most {
		<-entered
	}
	c := &dns.Client{Net: "tcp", Timeout: 10 * time.Second}
	if r, _, err := c.Exchange(question("web.service.consul.", dns.TypeA), addr); err != nil || len(r.Answer) != 1 {
		t.Errorf("TCP: %v %v", r, err)
	}
	for late := time.Now().Add(10 * time.Second); s.Stats().Dropped < 2*most && time.Now().Before(late); {
		runtime.Gosched() // until all have been read
	}
	close(gate)
	in := make([]byte, 512)
	_ = udp.SetReadDeadline(time.Now().Add(10 * time.Second))
	for i := range 2 * most { // those under way, and the last that came
		if _, err := udp.Read(in); err != nil {
			t.Fatalf("reply %d: %v", i, err)
		}
	}
	if got := s.Stats().Dropped; got != 2*most {
		t.Errorf("%d dropped", got)
	}
}
