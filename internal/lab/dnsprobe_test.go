//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"consul.internal/internal/rig"
)

const (
	// asInFaultRuns is how often a fault run asks: 50 queries a second.
	asInFaultRuns = 20 * time.Millisecond
	// tooLate is when an answer no longer counts.
	tooLate = time.Second
	// maxBad wrong answers are shown.
	maxBad = 8
	// slow is what a name of the own datacenter never takes (an answer, a stale
	// answer or SERVFAIL within that time); counted, for the machine may be busy.
	slow = 100 * time.Millisecond
)

// question asks for the addresses of a service, with EDNS.
func question(name string, id uint16) *dns.Msg {
	q := new(dns.Msg)
	q.SetQuestion(name, dns.TypeA)
	q.Id = id
	q.SetEdns0(1232, false)
	return q
}

// addresses are those of the answer, sorted.
func addresses(m *dns.Msg) []string {
	var as []string
	for _, rr := range m.Answer {
		if a, ok := rr.(*dns.A); ok {
			as = append(as, a.A.String())
		}
	}
	slices.Sort(as)
	return as
}

// stale tells whether the answer says that it is (RFC 8914, error 3).
func stale(m *dns.Msg) bool {
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if e, ok := o.(*dns.EDNS0_EDE); ok && e.InfoCode == dns.ExtendedErrorCodeStaleAnswer {
				return true
			}
		}
	}
	return false
}

// ask asks the agent once.
func (a *agent) ask(ctx context.Context, name string) (*dns.Msg, error) {
	c, err := a.host.DialContext(ctx, "udp", fmt.Sprintf("127.0.0.1:%d", dnsPort))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return askOver(c, name)
}

// askOver asks over a connection to an agent's DNS door.
func askOver(c net.Conn, name string) (*dns.Msg, error) {
	if err := c.SetDeadline(time.Now().Add(tooLate)); err != nil {
		return nil, err
	}
	conn := &dns.Conn{Conn: c}
	q := question(name, dns.Id())
	if err := conn.WriteMsg(q); err != nil {
		return nil, err
	}
	for {
		m, err := conn.ReadMsg()
		if err != nil || m.Id == q.Id {
			return m, err
		}
	}
}

// answers says nil when the agent's answer is exactly want.
func (a *agent) answers(ctx context.Context, name string, want ...string) error {
	m, err := a.ask(ctx, name)
	if err != nil {
		return fmt.Errorf("%s: %w", a.name, err)
	}
	if got := addresses(m); !slices.Equal(got, want) {
		return fmt.Errorf("%s answers %s with %v %v, not %v", a.name, name, dns.RcodeToString[m.Rcode], got, want)
	}
	return nil
}

// dnsProbe asks one agent the same question again and again, without waiting for
// answers.
type dnsProbe struct {
	agent *agent
	name  string
	want  []string
	stop  context.CancelFunc
	done  sync.WaitGroup

	begun watch

	mu    sync.Mutex
	sent  map[uint16]watch // without an answer so far
	times []time.Duration
	asked int
	right int
	stale int
	slow  int
	bad   []string
	late  []string
}

// unanswered is how many questions are open.
func (p *dnsProbe) unanswered() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.sent)
}

// probeDNS begins to ask for name, whose addresses are want.
func (a *agent) probeDNS(every time.Duration, name string, want ...string) *dnsProbe {
	a.lab.t.Helper()
	ctx, cancel := context.WithCancel(a.lab.ctx)
	c, err := a.host.DialContext(ctx, "udp", fmt.Sprintf("127.0.0.1:%d", dnsPort))
	if err != nil {
		a.lab.t.Fatal(err)
	}
	p := &dnsProbe{agent: a, name: name, want: want, stop: cancel, begun: newWatch(), sent: map[uint16]watch{}}
	p.done.Go(func() { p.send(ctx, c, every) })
	p.done.Go(func() { p.receive(c) })
	return p
}

func (p *dnsProbe) send(ctx context.Context, c net.Conn, every time.Duration) {
	defer c.Close()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for id := uint16(1); ; id++ {
		select {
		case <-ctx.Done():
			for end := time.Now().Add(tooLate); p.unanswered() > 0 && time.Now().Before(end); { // the last answers come in
				pause(context.Background(), every)
			}
			return
		case <-tick.C:
		}
		raw, err := question(p.name, id).Pack()
		if err != nil {
			p.fault("pack: %v", err)
			return
		}
		p.mu.Lock()
		delete(p.sent, id) // of 65,536 queries ago, if it is still open
		p.sent[id] = newWatch()
		p.asked++
		p.mu.Unlock()
		if _, err := c.Write(raw); err != nil {
			p.fault("send: %v", err)
		}
	}
}

func (p *dnsProbe) receive(c net.Conn) {
	buf := make([]byte, dns.MaxMsgSize)
	for {
		n, err := c.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			p.fault("receive: %v", err)
			continue
		}
		m := new(dns.Msg)
		if err := m.Unpack(buf[:n]); err != nil {
			p.fault("unpack: %v", err)
			continue
		}
		p.take(m)
	}
}

func (p *dnsProbe) take(m *dns.Msg) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q, known := p.sent[m.Id]
	if !known {
		return
	}
	delete(p.sent, m.Id)
	began, took := q.began, q.fair()
	p.times = append(p.times, took)
	if took > slow {
		if p.slow++; len(p.late) < maxBad {
			p.late = append(p.late, fmt.Sprintf("%s after %v", began.UTC().Format("15:04:05.000"), took.Round(time.Millisecond)))
		}
	}
	got := addresses(m)
	switch {
	case !slices.Equal(got, p.want):
		p.note("%v %v", dns.RcodeToString[m.Rcode], got)
	case took > tooLate:
		p.note("right after %v", took)
	default:
		p.right++
		if stale(m) {
			p.stale++
		}
	}
}

func (p *dnsProbe) fault(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note(format, args...)
}

func (p *dnsProbe) note(format string, args ...any) {
	if len(p.bad) < maxBad {
		p.bad = append(p.bad, time.Now().UTC().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
	}
}

// end stops asking and judges: every question was answered rightly and in time.
func (p *dnsProbe) end() {
	p.stop()
	p.done.Wait()
	t := p.agent.lab.t
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	s := rig.Summarize(p.times)
	figures(t, fmt.Sprintf("%s: DNS at %s", t.Name(), p.agent.name), nil, "asked=%d right=%d stale=%d slow=%d median=%v worst=%v machine-stood=%v",
		p.asked, p.right, p.stale, p.slow, s.Median.Round(time.Microsecond), s.Worst.Round(time.Millisecond), (stoodBy(time.Now()) - p.begun.stood).Round(time.Millisecond))
	if p.slow > 0 {
		t.Logf("DNS at %s, slower than %v: %v", p.agent.name, slow, p.late)
	}
	if p.asked == 0 || p.right != p.asked {
		wrong(t, "DNS at %s: %d of %d queries for %s answered rightly; %d without an answer; others:\n  %s",
			p.agent.name, p.right, p.asked, p.name, len(p.sent), strings.Join(p.bad, "\n  "))
	}
}
