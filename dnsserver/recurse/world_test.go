package recurse

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is what an upstream says to a query: messages in turn, none being silence.
type server func(network string, q *dns.Msg) []*dns.Msg

// world is a network of upstreams in memory.
type world struct {
	servers map[string]server
	wg      sync.WaitGroup

	mu    sync.Mutex
	asked []string // "address network name", in turn
	seen  []*dns.Msg
}

func (w *world) dial(_ context.Context, network, address string) (net.Conn, error) {
	s := w.servers[address]
	if s == nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	mine, theirs := net.Pipe()
	w.wg.Go(func() {
		defer theirs.Close()
		buf := make([]byte, 65537)
		for {
			n, err := readOne(theirs, network, buf)
			if err != nil {
				return
			}
			q := new(dns.Msg)
			if err := q.Unpack(buf[:n]); err != nil {
				return
			}
			w.mu.Lock()
			w.asked = append(w.asked, address+" "+network)
			w.seen = append(w.seen, q)
			w.mu.Unlock()
			w.wg.Go(func() {
				for _, m := range s(network, q) {
					wire, err := m.Pack()
					if err != nil {
						return
					}
					if network == "tcp" {
						wire = append(binary.BigEndian.AppendUint16(nil, uint16(len(wire))), wire...)
					}
					if _, err := theirs.Write(wire); err != nil {
						return
					}
				}
			})
		}
	})
	return mine, nil
}

func readOne(c net.Conn, network string, buf []byte) (int, error) {
	if network == "udp" {
		return c.Read(buf)
	}
	if _, err := io.ReadFull(c, buf[:2]); err != nil {
		return 0, err
	}
	n := int(binary.BigEndian.Uint16(buf))
	return io.ReadFull(c, buf[:n])
}

func (w *world) log() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.asked...)
}

func (w *world) last() *dns.Msg {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[len(w.seen)-1]
}

// one and two are the addresses of the upstreams that most tests have.
const one, two, three = "10.0.0.1:53", "10.0.0.2:53", "10.0.0.3:53"

// newRecursor asks the upstreams named, in that order.
func newRecursor(t testing.TB, w *world, change func(*Config), upstreams ...string) *Recursor {
	t.Helper()
	cfg := DefaultConfig()
	for _, u := range upstreams {
		cfg.Upstreams = append(cfg.Upstreams, netip.MustParseAddrPort(u))
	}
	if change != nil {
		change(&cfg)
	}
	r, err := New(cfg, Deps{Logger: zaptest.NewLogger(t), Dial: w.dial})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		w.wg.Wait()
	})
	return r
}

func query(name string, qtype uint16) Query {
	return Query{Question: dns.Question{Name: name, Qtype: qtype, Qclass: dns.ClassINET}, RD: true}
}

// says makes a server that gives a code and records for every question.
func says(rcode int, records ...string) server {
	return func(_ string, q *dns.Msg) []*dns.Msg { return []*dns.Msg{replyTo(q, rcode, records...)} }
}

// replyTo makes a reply; SOA records go to the authority section.
func replyTo(q *dns.Msg, rcode int, records ...string) *dns.Msg {
	m := new(dns.Msg)
	m.SetRcode(q, rcode)
	m.RecursionAvailable = true
	m.Compress = true
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			panic(err)
		}
		if rr.Header().Rrtype == dns.TypeSOA {
			m.Ns = append(m.Ns, rr)
			continue
		}
		m.Answer = append(m.Answer, rr)
	}
	if q.IsEdns0() != nil {
		m.SetEdns0(4096, q.IsEdns0().Do())
	}
	return m
}

func silent(string, *dns.Msg) []*dns.Msg { return nil }

// texts are the records of an answer, with single blanks.
func texts(a Answer) []string {
	out := []string{}
	if a.Msg == nil {
		return out
	}
	for _, rr := range append(append([]dns.RR(nil), a.Msg.Answer...), a.Msg.Ns...) {
		b := []byte(rr.String())
		for i, c := range b {
			if c == '\t' {
				b[i] = ' '
			}
		}
		out = append(out, string(b))
	}
	return out
}

func since(start time.Time) time.Duration { return time.Since(start) }
