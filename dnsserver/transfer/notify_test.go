package transfer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// listener is a secondary that notes when it is told what.
type listener struct {
	began time.Time
	mu    sync.Mutex
	heard []string
	reply func(n int, m *dns.Msg) *dns.Msg // nil is silence
}

// said is what it has heard.
func (l *listener) said() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprint(l.heard)
}

// dial leads to the listener, over a pipe that keeps messages apart.
func (l *listener) dial(context.Context, netip.Addr, netip.AddrPort) (net.Conn, error) {
	here, there := net.Pipe()
	go func() {
		defer func() { _ = there.Close() }()
		buf := make([]byte, 1500)
		n, err := there.Read(buf)
		if err != nil {
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		var m dns.Msg
		if err := dns.TsigVerify(slices.Clone(buf[:n]), secret, "", false); m.Unpack(buf[:n]) != nil || err != nil {
			l.heard = append(l.heard, "nonsense")
			return
		}
		l.heard = append(l.heard, fmt.Sprintf("%v:%d", time.Since(l.began).Truncate(time.Millisecond), m.Answer[0].(*dns.SOA).Serial))
		r := l.reply(len(l.heard), &m)
		if r == nil {
			l.mu.Unlock()
			_, _ = there.Read(buf) // until it is closed
			l.mu.Lock()
			return
		}
		r.SetTsig("second.", dns.HmacSHA256, 300, time.Now().Unix())
		wire, _, err := dns.TsigGenerate(r, secret, m.IsTsig().MAC, false)
		if err != nil {
			panic(err)
		}
		_, _ = there.Write(wire)
	}()
	return packetConn{here}, nil
}

// packetConn makes a pipe look like UDP to the library.
type packetConn struct{ net.Conn }

func (packetConn) ReadFrom([]byte) (int, net.Addr, error) { return 0, nil, errors.ErrUnsupported }
func (packetConn) WriteTo([]byte, net.Addr) (int, error)  { return 0, errors.ErrUnsupported }
func (c packetConn) LocalAddr() net.Addr                  { return &net.UDPAddr{} }

func notified(t *testing.T, reply func(n int, m *dns.Msg) *dns.Msg) (*state, *listener) {
	l := &listener{began: time.Now(), reply: reply}
	cfg := Config{
		Keys:   []Key{{"second", "hmac-sha256", secret}},
		Notify: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:53")},
	}
	return newState(t, cfg, func(s *Server) { s.deps.Dial = l.dial }), l
}

// TestNotify: a secondary is told at the start and of changes, at most once a second,
// and then of the newest.
func TestNotify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, l := notified(t, func(_ int, m *dns.Msg) *dns.Msg { return new(dns.Msg).SetReply(m) })
		synctest.Wait()
		for i := range 25 {
			st.apply(node("n", fmt.Sprintf("10.0.0.%d", i), nil))
			time.Sleep(90 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		st.apply(node("n", "10.0.0.24", nil)) // no record changes
		time.Sleep(time.Minute)
		if got, want := l.said(), "[0s:2 1s:26 2s:48 3s:52]"; got != want {
			t.Errorf("told %s, want %s", got, want)
		}
	})
}

// TestNotifyAgain: who does not answer is told again, ever more seldom.
func TestNotifyAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, l := notified(t, func(n int, m *dns.Msg) *dns.Msg {
			switch {
			case n < 4:
				return nil
			case n == 4:
				return new(dns.Msg).SetRcode(m, dns.RcodeRefused)
			}
			return new(dns.Msg).SetReply(m)
		})
		synctest.Wait()
		time.Sleep(6 * time.Second)
		st.apply(node("n", "10.0.0.1", nil))
		time.Sleep(time.Hour)
		// Three seconds of silence, then pauses of 1, 2 and 4 s; 8 s after the refusal.
		if got, want := l.said(), "[0s:2 4s:2 9s:4 16s:4 24s:4]"; got != want {
			t.Errorf("told %s, want %s", got, want)
		}
		if c := st.s.Counts(); c.Told != 1 || c.Untold != 4 {
			t.Errorf("%+v", c)
		}
	})
}
