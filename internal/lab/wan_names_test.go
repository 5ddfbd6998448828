//go:build linux

package lab

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"consul.internal/internal/rig"
)

const (
	knownNames = 20
	// firstBar: two round trips, and 20 ms.
	firstBar = 2*2*farAway + 20*time.Millisecond
)

func farName(i int) string   { return fmt.Sprintf("far-%d.service.dc2.consul.", i) }
func farAddr(i int) string   { return fmt.Sprintf("10.8.%d.%d", i/250, i%250+1) }
func plainFar(i int) string  { return fmt.Sprintf("far-%d", i) }
func absentFar(i int) string { return fmt.Sprintf("absent-%d.service.dc2.consul.", i) }

// wanNames is two datacenters far apart, of which the second has many services.
type wanNames struct {
	*wan
	c    *agent
	next int // first name of dc2 that nobody has asked for

	stalls *stalls
}

// TestWANNames: the names of another datacenter are answered after one round
// trip, from memory from then on, stale while it is cut off, and by its other
// servers when one is frozen.
func TestWANNames(t *testing.T) {
	w := &wanNames{wan: newWAN(t, farAway, site{servers: 3, clients: 1}, site{servers: 3, clients: 1})}
	w.run()
	w.c = w.dcs[0].clients[0]
	w.dcs[1].clients[0].fill(rounds(600, 4000), plainFar, farAddr)
	if _, err := await(w.ctx, surely, func(ctx context.Context) error {
		for _, addr := range webAddrs {
			if err := w.c.place(ctx, "", "web", addr); err != nil {
				return err
			}
		}
		return w.c.answers(ctx, webName, webAddrs...)
	}); err != nil {
		t.Fatal(err)
	}
	w.stalls = watchStalls(w.ctx)
	defer w.stalls.end()
	w.first()
	w.fromMemory()
	w.cut()
	w.heals(rounds(0, 20))
	for range rounds(1, 3) {
		w.frozen()
	}
}

// fresh is a name that nobody has asked for.
func (w *wanNames) fresh() int {
	w.next++
	return w.next - 1
}

// first asks for names for the first time: the very first makes the client look
// for the other datacenter at all.
func (w *wanNames) first() {
	w.t.Helper()
	q := w.c.asker()
	one := q.ask(farName(w.fresh()))
	figures(w.t, "the first question about another datacenter", []time.Duration{one.took}, "")
	var rs []reply
	for range knownNames - 1 {
		rs = append(rs, q.ask(farName(w.fresh())))
	}
	i := 0
	each(w.t, "first question for a name of another datacenter", rs, func(r reply) bool { i++; return r.right(farAddr(i)) && !r.stale })
	judge(w.t, "first question for a name of another datacenter", times(append(rs, one)), firstBar, firstBar)
	if !one.right(farAddr(0)) {
		w.t.Errorf("the first of all: %v", one)
	}
}

// fromMemory compares known names of the other datacenter with those of the own
// one, asked in turn, and counts what crosses the link.
func (w *wanNames) fromMemory() {
	w.t.Helper()
	q := w.c.asker()
	var near, far []reply
	n := rounds(4000, 20000)
	for i := range n {
		near = append(near, q.ask(webName))
		far = append(far, q.ask(farName(i%knownNames)))
	}
	each(w.t, "local name", near, func(r reply) bool { return r.right(webAddrs...) && !r.stale })
	i := 0
	each(w.t, "known remote name", far, func(r reply) bool { i++; return r.right(farAddr((i-1)%knownNames)) && !r.stale })
	a, b := rig.Summarize(times(near)), rig.Summarize(times(far))
	figures(w.t, "local name against known remote name", nil, "median %v and %v, p99 %v and %v",
		a.Median.Round(time.Microsecond), b.Median.Round(time.Microsecond), a.P99.Round(time.Microsecond), b.P99.Round(time.Microsecond))
	if b.Median > 2*a.Median || *full && b.P99 > 2*a.P99 {
		w.t.Errorf("remote names: median %v, p99 %v; local ones: %v, %v; the bar is twice that", b.Median, b.P99, a.Median, a.P99)
	}

	quiet := w.during(span(2*time.Second, 20*time.Second), func() {})
	asked := 0
	busy := w.during(span(2*time.Second, 20*time.Second), func() {
		far := q.ask(farName(asked % knownNames))
		asked++
		if far.rcode != dns.RcodeSuccess {
			w.t.Errorf("%v", far)
		}
	})
	figures(w.t, "packets between the datacenters", nil, "without questions=%d with %d questions=%d bytes=%d and %d",
		quiet.Packets, asked, busy.Packets, quiet.Bytes, busy.Bytes)
	if extra := busy.Packets - quiet.Packets; extra > asked/20 { // gossip comes and goes
		w.t.Errorf("%d packets more crossed the link with %d questions than without", extra, asked)
	}
}

// during does something again and again for some time and tells what crossed the link.
func (w *wanNames) during(d time.Duration, do func()) rig.Counters {
	before := w.crossed()
	for until := time.Now().Add(d); time.Now().Before(until); {
		do()
		pause(w.ctx, time.Millisecond)
	}
	after := w.crossed()
	return rig.Counters{Packets: after.Packets - before.Packets, Bytes: after.Bytes - before.Bytes}
}

// asking is all that is asked while something is harmed.
type asking struct{ local, known, unknown, absent *stream }

func (w *wanNames) ask() asking {
	first := w.next
	w.next += rounds(250, 900) // more than are asked for in one go
	return asking{
		local:   w.c.stream(10*time.Millisecond, func(int) string { return webName }),
		known:   w.c.stream(10*time.Millisecond, func(i int) string { return farName(i % knownNames) }),
		unknown: w.c.stream(100*time.Millisecond, func(i int) string { return farName(first + i) }),
		absent:  w.c.stream(100*time.Millisecond, absentFar),
	}
}

// end stops asking.
func (a asking) end() (local, known, unknown, absent []reply) {
	for _, s := range []*stream{a.local, a.known, a.unknown, a.absent} {
		s.stop() // all, before the first is waited for
	}
	return a.local.end(), a.known.end(), a.unknown.end(), a.absent.end()
}

// rightFar tells whether a name of the other datacenter was answered rightly.
func rightFar(r reply) bool {
	var i int
	_, err := fmt.Sscanf(r.name, "far-%d.service.dc2.consul.", &i)
	return err == nil && r.right(farAddr(i))
}

// cut cuts the link between the datacenters.
func (w *wanNames) cut() {
	w.t.Helper()
	first := w.next
	a := w.ask()
	pause(w.ctx, time.Second)
	began := time.Now()
	w.between(w.net.Cut)
	pause(w.ctx, span(10*time.Second, time.Minute))
	healed := time.Now()
	w.between(w.net.Heal)
	pause(w.ctx, span(4*time.Second, 10*time.Second))
	local, known, unknown, absent := a.end()
	if len(unknown) > w.next-first {
		w.t.Fatalf("%d names were asked for, of %d", len(unknown), w.next-first)
	}
	end := time.Now()
	each(w.t, "cut: local name", local, func(r reply) bool { return r.right(webAddrs...) && !r.stale })
	each(w.t, "cut: known remote name", known, rightFar)
	// From two seconds on they are stale; a packet under way and a heartbeat come on top.
	each(w.t, "cut: known remote name, said to be stale", within(known, began.Add(3*time.Second), healed), func(r reply) bool { return r.stale })
	servfail := func(r reply) bool { return r.rcode == dns.RcodeServerFailure }
	each(w.t, "cut: unknown remote name", within(unknown, began.Add(farAway), healed.Add(-remotePromise)), servfail)
	each(w.t, "cut: absent remote name", within(absent, began.Add(3*time.Second), healed.Add(-remotePromise)), servfail)
	w.prompt("cut: all remote names", slices.Concat(known, unknown, absent))
	back := healed.Add(2 * time.Second)
	each(w.t, "healed 2 s ago: remote name", within(slices.Concat(known, unknown), back, end), func(r reply) bool { return rightFar(r) && !r.stale })
	each(w.t, "healed 2 s ago: absent remote name", within(absent, back, end), func(r reply) bool { return r.rcode == dns.RcodeNameError })
	var fresh time.Duration
	for _, r := range within(known, healed, end) {
		if r.stale {
			fresh = r.at.Add(r.took).Sub(healed)
		}
	}
	figures(w.t, "healed: all known names are fresh again", []time.Duration{fresh}, "")
}

// heals cuts the link again and again, for times that keep no step with anything,
// and measures how soon the names are fresh at every agent of dc1 once it is back.
func (w *wanNames) heals(n int) {
	w.t.Helper()
	var took []time.Duration
	for _, a := range w.dcs[0].agents() {
		q := a.asker()
		for i := range knownNames {
			q.ask(farName(i))
		}
	}
	for range n {
		var streams []*stream
		for _, a := range w.dcs[0].agents() {
			streams = append(streams, a.stream(asInFaultRuns, func(i int) string { return farName(i % knownNames) }))
		}
		w.between(w.net.Cut)
		pause(w.ctx, 3*time.Second+w.jitter(6*time.Second))
		healed := time.Now()
		w.between(w.net.Heal)
		pause(w.ctx, 4*time.Second)
		for _, s := range streams {
			s.stop()
		}
		var fresh time.Duration
		for _, s := range streams {
			var last time.Duration
			rs := s.end()
			each(w.t, "healed at "+s.agent.name, rs, rightFar)
			for _, r := range within(rs, healed, time.Now()) {
				if r.stale {
					last = r.at.Add(r.took).Sub(healed)
				}
			}
			w.t.Logf("%s is fresh %v after the link is back at %s", s.agent.name, last, healed.UTC().Format(clock))
			fresh = max(fresh, last)
		}
		took = append(took, fresh)
	}
	if n > 0 {
		judge(w.t, "healed: all known names are fresh at every agent", took, 2*time.Second, 2*time.Second)
	}
}

// contact is the server of dc2 at which the client's server follows names, or the
// one that it sends most to.
func (w *wanNames) contact() *agent {
	w.t.Helper()
	most := func(from *agent, to []*agent) *agent {
		sent := make([]int, len(to))
		for k, s := range to {
			sent[k] = -w.net.Counters(from.host, s.host).Packets
		}
		pause(w.ctx, time.Second)
		best := 0
		for k, s := range to {
			if sent[k] += w.net.Counters(from.host, s.host).Packets; sent[k] > sent[best] {
				best = k
			}
		}
		return to[best]
	}
	return most(most(w.c, w.dcs[0].servers), w.dcs[1].servers)
}

// prompt judges how long questions about the other datacenter took.
func (w *wanNames) prompt(what string, rs []reply) {
	w.t.Helper()
	prompt(w.t, what, w.stalls.calm(what, rs), remotePromise)
}

// frozen stops the server of dc2 that the client's server is in touch with.
func (w *wanNames) frozen() {
	w.t.Helper()
	victim := w.contact()
	a := w.ask()
	pause(w.ctx, time.Second)
	began := time.Now()
	if err := victim.process().Stop(); err != nil {
		w.t.Fatal(err)
	}
	pause(w.ctx, span(5*time.Second, 20*time.Second))
	end := time.Now()
	local, known, unknown, absent := a.end()
	if err := victim.process().Cont(); err != nil {
		w.t.Fatal(err)
	}
	each(w.t, "frozen: local name", local, func(r reply) bool { return r.right(webAddrs...) && !r.stale })
	each(w.t, "frozen: known remote name", known, func(r reply) bool { return rightFar(r) && !r.stale })
	w.prompt("frozen: all remote names", slices.Concat(known, unknown, absent))
	later := w.stalls.calm("frozen 1 s ago", within(unknown, began.Add(time.Second), end))
	each(w.t, "frozen 1 s ago: remote name asked for the first time", later, func(r reply) bool { return rightFar(r) && !r.stale })
	var blind time.Duration
	for _, r := range within(unknown, began, end) {
		if !rightFar(r) {
			blind = r.at.Sub(began)
		}
	}
	figures(w.t, "frozen: last name asked in vain", []time.Duration{blind}, "")
	w.dcs[1].settle()
	w.joined()
}
