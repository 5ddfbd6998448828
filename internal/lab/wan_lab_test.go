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
	"testing"
	"time"

	"github.com/miekg/dns"

	"consul.internal/internal/rig"
)

const (
	// farAway is one way between datacenters: across an ocean.
	farAway = 50 * time.Millisecond
	// remotePromise is what a question about another datacenter may take at most.
	remotePromise = 500 * time.Millisecond
)

// site is one datacenter of a lab of several.
type site struct {
	servers, clients int
	args             []string
}

// wan is several datacenters in one rig: dc1, dc2 and so on, with hosts d1s1, d1c1.
// The lab that it embeds has all agents.
type wan struct {
	*lab
	dcs []*lab
}

// newWAN makes the datacenters and starts nothing. All join the first one.
func newWAN(t *testing.T, delay time.Duration, sites ...site) *wan {
	t.Helper()
	w := &wan{lab: newLab(t, shape{})}
	for i, s := range sites {
		dc := &lab{t: t, ctx: w.ctx, rig: w.rig, net: w.net, rand: w.rand}
		all := append([]string{fmt.Sprintf("-datacenter=dc%d", i+1), fmt.Sprintf("-retry-join=d%ds1", i+1)}, s.args...)
		for k := range s.servers + s.clients {
			if k >= s.servers {
				a := w.add(fmt.Sprintf("d%dc%d", i+1, k-s.servers+1), false, 0)
				a.args = all
				dc.clients = append(dc.clients, a)
				continue
			}
			a := w.add(fmt.Sprintf("d%ds%d", i+1, k+1), true, 0)
			a.args = slices.Clone(all)
			if k == 0 {
				a.args = append(a.args, fmt.Sprintf("-bootstrap-expect=%d", s.servers))
			}
			if i > 0 {
				a.args = append(a.args, "-retry-join-wan=d1s1", "-retry-join-wan=d1s2")
			}
			dc.servers = append(dc.servers, a)
		}
		w.dcs = append(w.dcs, dc)
	}
	w.between(func(a, b *rig.Host) { w.net.Delay(a, b, delay, 0) })
	return w
}

// between does something for each pair of hosts of different datacenters.
func (w *wan) between(do func(a, b *rig.Host)) {
	for i, one := range w.dcs {
		for _, other := range w.dcs[i+1:] {
			for _, a := range one.agents() {
				for _, b := range other.agents() {
					do(a.host, b.host)
				}
			}
		}
	}
}

// crossed is what has been sent between datacenters.
func (w *wan) crossed() (sum rig.Counters) {
	w.between(func(a, b *rig.Host) {
		for _, c := range []rig.Counters{w.net.Counters(a, b), w.net.Counters(b, a)} {
			sum.Packets += c.Packets
			sum.Bytes += c.Bytes
		}
	})
	return sum
}

// run starts all agents and waits until every server knows all others.
func (w *wan) run() {
	w.t.Helper()
	for _, a := range w.agents() {
		a.start()
	}
	for _, dc := range w.dcs {
		dc.formed()
	}
	w.joined()
}

func (w *wan) joined() {
	w.t.Helper()
	if _, err := await(w.ctx, surely, func(ctx context.Context) error {
		for _, a := range w.servers {
			if names, err := a.everywhere(ctx); err != nil || len(names) != len(w.servers) {
				return errors.Join(err, fmt.Errorf("%s sees alive %v", a.name, names))
			}
		}
		for _, a := range w.agents() {
			var dcs []string
			if err := a.get(ctx, "/v1/catalog/datacenters", &dcs); err != nil || len(dcs) != len(w.dcs) {
				return errors.Join(err, fmt.Errorf("%s knows the datacenters %v", a.name, dcs))
			}
		}
		return nil
	}); err != nil {
		w.t.Fatalf("the datacenters did not find each other: %v", err)
	}
}

// everywhere are the servers of all datacenters that the agent believes alive.
func (a *agent) everywhere(ctx context.Context) ([]string, error) {
	var members []struct {
		Name   string
		Status int
	}
	if err := a.get(ctx, "/v1/agent/members?wan=1", &members); err != nil {
		return nil, err
	}
	var names []string
	for _, m := range members {
		if m.Status == 1 {
			names = append(names, m.Name)
		}
	}
	return names, nil
}

// place registers an instance of a service in a datacenter.
func (a *agent) place(ctx context.Context, dc, service, addr string) error {
	path := "/v1/catalog/register"
	if dc != "" {
		path += "?dc=" + dc
	}
	return a.put(ctx, path, map[string]any{
		"Node": "host-" + strings.ReplaceAll(addr, ".", "-"), "Address": addr,
		"Service": map[string]any{"ID": service, "Service": service, "Port": 80},
		"Check":   map[string]any{"CheckID": "up-" + service, "ServiceID": service, "Status": "passing"},
	})
}

// fill registers services at an agent, several at a time: name(i) has one
// instance, at addr(i).
func (a *agent) fill(n int, name, addr func(int) string) {
	a.lab.t.Helper()
	const writers = 16
	var wg sync.WaitGroup
	failed := make([]error, writers)
	for k := range writers {
		wg.Go(func() {
			for i := k; i < n && failed[k] == nil; i += writers {
				_, failed[k] = await(a.lab.ctx, surely, func(ctx context.Context) error { return a.place(ctx, "", name(i), addr(i)) })
			}
		})
	}
	wg.Wait()
	if err := errors.Join(failed...); err != nil {
		a.lab.t.Fatal(err)
	}
}

// reply is what became of one question.
type reply struct {
	name  string
	at    time.Time // of the question
	took  time.Duration
	rcode int // -1: nobody answered
	addrs []string
	stale bool
}

func (r reply) right(want ...string) bool {
	return r.rcode == dns.RcodeSuccess && slices.Equal(r.addrs, want)
}

func (r reply) String() string {
	rcode := "no answer"
	if r.rcode >= 0 {
		rcode = dns.RcodeToString[r.rcode]
	}
	return fmt.Sprintf("%s %s: %s %v stale=%v after %v", r.at.UTC().Format(clock), r.name, rcode, r.addrs, r.stale, r.took.Round(time.Millisecond))
}

// stream asks one agent again and again, without waiting for answers, and keeps
// what became of each question.
type stream struct {
	agent *agent
	name  func(i int) string
	conn  net.Conn
	stop  context.CancelFunc
	done  sync.WaitGroup

	mu      sync.Mutex
	replies []reply
	open    map[uint16]int
}

// stream begins to ask for name(0), name(1) and so on.
func (a *agent) stream(every time.Duration, name func(i int) string) *stream {
	a.lab.t.Helper()
	ctx, cancel := context.WithCancel(a.lab.ctx)
	c, err := a.host.DialContext(ctx, "udp", fmt.Sprintf("127.0.0.1:%d", dnsPort))
	if err != nil {
		a.lab.t.Fatal(err)
	}
	s := &stream{agent: a, name: name, conn: c, stop: cancel, open: map[uint16]int{}}
	s.done.Go(func() { s.send(ctx, every) })
	s.done.Go(s.receive)
	return s
}

func (s *stream) send(ctx context.Context, every time.Duration) {
	defer s.conn.Close()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			pause(context.Background(), tooLate) // the last answers come in
			return
		case <-tick.C:
		}
		raw, err := question(s.name(i), uint16(i)).Pack()
		if err != nil {
			continue // it counts as not answered
		}
		s.mu.Lock()
		s.open[uint16(i)] = len(s.replies)
		s.replies = append(s.replies, reply{name: s.name(i), at: time.Now(), rcode: -1})
		s.mu.Unlock()
		_, _ = s.conn.Write(raw) // what is not sent is not answered
	}
}

func (s *stream) receive() {
	buf := make([]byte, dns.MaxMsgSize)
	for {
		n, err := s.conn.Read(buf)
		now := time.Now()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		m := new(dns.Msg)
		if err != nil || m.Unpack(buf[:n]) != nil {
			continue
		}
		s.mu.Lock()
		if i, ok := s.open[m.Id]; ok {
			delete(s.open, m.Id)
			r := &s.replies[i]
			r.took, r.rcode, r.addrs, r.stale = now.Sub(r.at), m.Rcode, addresses(m), stale(m)
		}
		s.mu.Unlock()
	}
}

// end stops asking and returns all there was.
func (s *stream) end() []reply {
	s.stop()
	s.done.Wait()
	return s.replies
}

// stalls are the times in which this machine did not even run this process: what
// was asked then says nothing of the agents.
type stalls struct {
	stop context.CancelFunc
	done sync.WaitGroup

	mu    sync.Mutex
	times [][2]time.Time
}

const (
	stallTick = 10 * time.Millisecond
	// stallMost is by how much a tick may be late: a tenth of what a local name may take.
	stallMost = 10 * time.Millisecond
)

func watchStalls(ctx context.Context) *stalls {
	ctx, cancel := context.WithCancel(ctx)
	s := &stalls{stop: cancel}
	s.done.Go(func() {
		for last := time.Now(); ctx.Err() == nil; {
			pause(ctx, stallTick)
			now := time.Now()
			if now.Sub(last) > stallTick+stallMost {
				s.mu.Lock()
				s.times = append(s.times, [2]time.Time{last, now})
				s.mu.Unlock()
			}
			last = now
		}
	})
	return s
}

func (s *stalls) end() {
	s.stop()
	s.done.Wait()
}

// calm leaves out, in the short form, what was asked beside a stall.
func (s *stalls) calm(what string, rs []reply) []reply {
	if *full {
		return rs
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := slices.DeleteFunc(slices.Clone(rs), func(r reply) bool {
		return slices.ContainsFunc(s.times, func(t [2]time.Time) bool { return t[0].Before(r.at.Add(r.took)) && t[1].After(r.at) })
	})
	if len(out) < len(rs) {
		fmt.Printf("lab: %s: %d of %d left out: the machine stood still %d times\n", what, len(rs)-len(out), len(rs), len(s.times))
	}
	return out
}

// times are how long the answers took; who got none counts as too late.
func times(rs []reply) []time.Duration {
	var out []time.Duration
	for _, r := range rs {
		if r.rcode < 0 {
			r.took = tooLate
		}
		out = append(out, r.took)
	}
	return out
}

// within are the replies to questions of some time.
func within(rs []reply, from, to time.Time) (out []reply) {
	for _, r := range rs {
		if !r.at.Before(from) && r.at.Before(to) {
			out = append(out, r)
		}
	}
	return out
}

// each judges replies one by one and shows some that are wrong.
func each(t *testing.T, what string, rs []reply, ok func(reply) bool) {
	t.Helper()
	var bad []string
	n := 0
	for _, r := range rs {
		if !ok(r) {
			if n++; len(bad) < maxBad {
				bad = append(bad, r.String())
			}
		}
	}
	figures(t, what, times(rs), "wrong=%d", n)
	if n > 0 || len(rs) == 0 {
		t.Errorf("%s: %d of %d replies are wrong:\n  %s", what, n, len(rs), strings.Join(bad, "\n  "))
	}
}

// prompt judges how long replies took. In the short form a busy machine is
// allowed one in a hundred that is late, and none that is lost.
func prompt(t *testing.T, what string, rs []reply, bar time.Duration) {
	t.Helper()
	late := slices.DeleteFunc(slices.Clone(rs), func(r reply) bool { return r.rcode >= 0 && r.took <= bar })
	s := rig.Summarize(times(rs))
	figures(t, what, nil, "asked=%d later-than-%v=%d p99=%v worst=%v", len(rs), bar, len(late), s.P99.Round(time.Microsecond), s.Worst.Round(time.Millisecond))
	bad := len(late) > 0
	if !*full {
		bad = len(late) > len(rs)/100 || slices.ContainsFunc(late, func(r reply) bool { return r.rcode < 0 })
	}
	if bad {
		t.Errorf("%s: %d of %d replies took longer than %v, as %v", what, len(late), len(rs), bar, late[:min(len(late), maxBad)])
	}
}

// asker asks one agent question after question over one socket.
type asker struct {
	t    *testing.T
	conn *dns.Conn
	id   uint16
}

func (a *agent) asker() *asker {
	a.lab.t.Helper()
	c, err := a.host.DialContext(a.lab.ctx, "udp", fmt.Sprintf("127.0.0.1:%d", dnsPort))
	if err != nil {
		a.lab.t.Fatal(err)
	}
	a.lab.t.Cleanup(func() { _ = c.Close() }) // of no consequence
	return &asker{t: a.lab.t, conn: &dns.Conn{Conn: c}}
}

// ask waits for the answer to one question.
func (q *asker) ask(name string) reply {
	q.t.Helper()
	q.id++
	r := reply{name: name, at: time.Now(), rcode: -1}
	if err := errors.Join(q.conn.SetDeadline(r.at.Add(tooLate)), q.conn.WriteMsg(question(name, q.id))); err != nil {
		q.t.Fatal(err)
	}
	for {
		m, err := q.conn.ReadMsg()
		r.took = time.Since(r.at)
		if err != nil {
			return r
		}
		if m.Id == q.id {
			r.rcode, r.addrs, r.stale = m.Rcode, addresses(m), stale(m)
			return r
		}
	}
}
