//go:build linux

package lab

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"consul.internal/internal/rig"
)

const (
	// writeEvery is the pause of a writer: short against the gaps that are judged.
	writeEvery = 5 * time.Millisecond
	// anyGap bounds the wait for writes that may never come back.
	anyGap = 30 * time.Second
)

// underWrites starts a lab whose first client is written to and asked for a name
// until end, which judges the answers and the writes.
func underWrites(t *testing.T, s shape) (l *lab, c *agent, w *writers, end func()) {
	t.Helper()
	l = started(t, s)
	l.backends()
	c = l.clients[0]
	w = l.write(4, writeEvery, c)
	probe := c.probeDNS(asInFaultRuns, webName, webAddrs...)
	return l, c, w, func() {
		t.Helper()
		probe.end()
		w.end()
	}
}

// TestLeaderKilled: SIGKILL of the leader under writes, default settings.
func TestLeaderKilled(t *testing.T) {
	l, _, w, end := underWrites(t, shape{servers: 3, clients: 1})
	var gaps []time.Duration
	for range rounds(3, 20) {
		leader := l.leader()
		pause(l.ctx, l.jitter(time.Second))
		gaps = append(gaps, w.gapAround(anyGap, leader.kill))
		leader.start()
		l.settle()
	}
	judge(t, "leader killed, longest gap between writes at the client", gaps, 1200*time.Millisecond, 2500*time.Millisecond)
	end()
}

// jitter is a random time, so that harm does not keep step with timers.
func (l *lab) jitter(most time.Duration) time.Duration {
	return time.Duration(l.rand.Int64N(int64(most)))
}

// TestFollowerKilled: the death of a follower stops nobody.
func TestFollowerKilled(t *testing.T) {
	l, _, w, end := underWrites(t, shape{servers: 3, clients: 1})
	var gaps []time.Duration
	for range rounds(1, 20) {
		for i := range 2 { // one of them is the one that the client asks
			f := l.followers()[i]
			gaps = append(gaps, w.gapAround(anyGap, f.kill))
			f.start()
			l.settle()
		}
	}
	judge(t, "follower killed, longest gap between writes at the client", gaps, 200*time.Millisecond, 0)
	end()
}

// TestLeaderLeaves: the leader hands over before it goes.
func TestLeaderLeaves(t *testing.T) {
	l, _, w, end := underWrites(t, shape{servers: 3, clients: 1, expectAll: true})
	var gaps []time.Duration
	for range rounds(2, 20) {
		leader := l.leader()
		p := leader.mayEnd()
		gaps = append(gaps, w.gapAround(anyGap, func() {
			if out, err := leader.cli(l.ctx, "leave"); err != nil {
				t.Errorf("consul leave: %v\n%s", err, out)
			}
		}))
		ctx, cancel := context.WithTimeout(l.ctx, surely)
		if err := p.Wait(ctx); err != nil {
			t.Errorf("%s after consul leave: %v", leader.name, err)
		}
		cancel()
		leader.start()
		l.settle()
	}
	judge(t, "leader leaves, longest gap between writes at the client", gaps, 300*time.Millisecond, 0)
	end()
}

// TestLeaderHalfCut: the leader hears nobody, nobody hears it, it is cut from one
// follower only, from all servers, or stands still.
func TestLeaderHalfCut(t *testing.T) {
	l, _, w, end := underWrites(t, shape{servers: 3, clients: 1})
	for _, harm := range []struct {
		name string
		bar  time.Duration
		do   func(leader *agent, others []*agent)
	}{
		{"leader deaf to servers", 3 * time.Second, func(leader *agent, others []*agent) {
			for _, o := range others {
				l.net.CutOneWay(o.host, leader.host)
			}
		}},
		{"leader deaf to all", 3 * time.Second, func(leader *agent, others []*agent) {
			for _, o := range append(slices.Clone(others), l.clients...) {
				l.net.CutOneWay(o.host, leader.host)
			}
		}},
		{"leader mute", 3 * time.Second, func(leader *agent, others []*agent) {
			for _, o := range append(slices.Clone(others), l.clients...) {
				l.net.CutOneWay(leader.host, o.host)
			}
		}},
		{"leader and one follower cut", 3 * time.Second, func(leader *agent, others []*agent) {
			l.net.Cut(leader.host, others[l.rand.IntN(len(others))].host)
		}},
		{"leader cut from the servers", 4 * time.Second, func(leader *agent, others []*agent) {
			for _, o := range others {
				l.net.Cut(leader.host, o.host)
			}
		}},
		{"leader alone", 4 * time.Second, func(leader *agent, _ []*agent) { l.net.Isolate(leader.host) }},
		{"leader stopped", 3 * time.Second, func(leader *agent, _ []*agent) {
			if err := leader.process().Stop(); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		var gaps []time.Duration
		for range rounds(1, 10) {
			leader := l.leader()
			others := l.followers()
			gaps = append(gaps, w.gapAround(anyGap, func() { harm.do(leader, others) }))
			l.net.HealAll()
			if err := leader.process().Cont(); err != nil {
				t.Fatal(err)
			}
			l.settle()
		}
		judge(t, harm.name+", longest gap between writes at the client", gaps, harm.bar, harm.bar)
	}
	end()
}

// TestLeaderDiskHangs: writes to the leader's disk wait; another one leads.
func TestLeaderDiskHangs(t *testing.T) {
	l, _, w, end := underWrites(t, shape{servers: 3, clients: 1, diskMB: 256})
	hangs := span(12*time.Second, time.Minute)
	var gaps []time.Duration
	for range rounds(1, 5) {
		leader := l.leader()
		begin := time.Now()
		gaps = append(gaps, w.gapAround(hangs, func() {
			if err := leader.disk.Freeze(); err != nil {
				t.Fatal(err)
			}
		}))
		pause(l.ctx, hangs-time.Since(begin))
		if err := leader.disk.Thaw(); err != nil {
			t.Fatal(err)
		}
		l.settle()
	}
	judge(t, "leader's disk hangs, longest gap between writes at the client", gaps, 10*time.Second, 10*time.Second)
	end()
}

// TestLeaderDiskFull: writes go on elsewhere, and all is well when there is room
// again, without a restart.
func TestLeaderDiskFull(t *testing.T) {
	l, c, w, end := underWrites(t, shape{servers: 3, clients: 1, diskMB: 160})
	var gaps []time.Duration
	for range rounds(1, 10) {
		leader := l.leader()
		gaps = append(gaps, w.gapAround(anyGap, func() {
			if err := leader.disk.Fill(); err != nil {
				t.Fatal(err)
			}
			l.bulk(c, 70<<20) // past the log's segment, which has its room already
		}))
		if err := leader.disk.Free(); err != nil {
			t.Fatal(err)
		}
		l.settle()
	}
	judge(t, "leader's disk is full, longest gap between writes at the client", gaps, 5*time.Second, 5*time.Second)
	end()
}

// bulk writes about that many bytes of registrations; that some fail is expected.
func (l *lab) bulk(a *agent, total int) {
	l.t.Helper()
	const size = 400 << 10
	big := strings.Repeat("x", 500)
	failed := 0
	for i := range total/size + 1 {
		// A check's output is the largest thing that a registration may hold.
		var checks []map[string]any
		for j := range size / 4000 {
			checks = append(checks, map[string]any{"CheckID": fmt.Sprintf("c%d", j), "Name": "bulk", "Output": strings.Repeat(big, 8), "Notes": fmt.Sprint(i)})
		}
		if err := a.put(l.ctx, "/v1/catalog/register", map[string]any{"Node": "bulk", "Address": "10.9.9.8", "Checks": checks}); err != nil {
			if failed++; failed == 1 {
				l.t.Logf("bulk write %d: %v", i, err)
			}
		}
	}
	l.t.Logf("bulk: %d of %d failed", failed, total/size+1)
}

// TestRollingKills: each server in turn is killed, 5 s after the one before,
// without waiting for anything. The one before is started again at once.
func TestRollingKills(t *testing.T) {
	l, _, w, end := underWrites(t, shape{servers: 3, clients: 1})
	begin := w.now()
	last := begin
	kills := rounds(4, 20)
	fewest := len(l.servers)
	for i := range kills {
		s := l.servers[i%len(l.servers)]
		s.kill()
		last = w.now()
		// Down for a part of the time only, so that two are up whenever one is killed.
		pause(l.ctx, 500*time.Millisecond+l.jitter(time.Second))
		s.start()
		for until := last + 5*time.Second; w.now() < until; pause(l.ctx, 250*time.Millisecond) {
			ctx, cancel := context.WithTimeout(l.ctx, shortly)
			voters, _, err := l.servers[(i+1)%len(l.servers)].voters(ctx, "?stale")
			cancel()
			if err == nil && len(voters) < fewest {
				fewest = len(voters)
				t.Errorf("after kill %d the voters are %v", i+1, voters)
			}
		}
	}
	first, err := w.written(last, anyGap)
	if err != nil {
		t.Errorf("after the last kill: %v: %v", err, w.errors())
	}
	after := first - last
	l.settle()
	ops := w.history.Ops()
	gap := rig.LongestGap(ops, begin, w.now(), nil).Length()
	figures(t, "rolling kills", nil, "kills=%d longest-gap=%v writes-after-the-last=%v fewest-voters=%d",
		kills, gap.Round(time.Millisecond), after.Round(time.Millisecond), fewest)
	if after > 5*time.Second {
		t.Errorf("writes %v after the last kill", after)
	}
	if gap > 3*time.Second {
		t.Errorf("a gap of %v while two servers were up", gap)
	}
	end()
}
