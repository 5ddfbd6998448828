//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"consul.internal/internal/rig"
)

const (
	appName = "app.service.consul."
	ttlID   = "service:app"
)

// register registers the service app with a TTL check at an agent and lets it pass.
func (a *agent) register(ctx context.Context) error {
	if err := a.put(ctx, "/v1/agent/service/register", map[string]any{
		"ID": "app", "Name": "app", "Port": 80, "Check": map[string]any{"CheckID": ttlID, "TTL": "1h"},
	}); err != nil {
		return err
	}
	return a.put(ctx, "/v1/agent/check/pass/"+ttlID, nil)
}

// everywhere waits until each agent but the one excepted answers appName with
// want, all of them asked at the same time, and tells when the last one did.
func (l *lab) everywhere(limit time.Duration, except *agent, want ...string) (time.Duration, error) {
	var wg sync.WaitGroup
	times, errs := make([]time.Duration, len(l.agents())), make([]error, len(l.agents()))
	for i, a := range l.agents() {
		if a != except && a.alive() {
			wg.Go(func() {
				times[i], errs[i] = await(l.ctx, limit, func(ctx context.Context) error { return a.answers(ctx, appName, want...) })
			})
		}
	}
	wg.Wait()
	return slices.Max(times), errors.Join(errs...)
}

// TestClientDies: the instances of a machine that dies, or leaves, leave every
// agent's DNS.
func TestClientDies(t *testing.T) {
	l := started(t, shape{servers: 3, clients: 3})
	victim := l.clients[2]
	var died, left []time.Duration
	back := func() {
		t.Helper()
		if _, err := await(l.ctx, surely, victim.register); err != nil {
			t.Fatal(err)
		}
		if _, err := l.everywhere(surely, nil, victim.host.Addr().String()); err != nil {
			t.Fatal(err)
		}
	}
	back()
	for range rounds(5, 20) {
		pause(l.ctx, l.jitter(time.Second))
		victim.kill()
		took, err := l.everywhere(surely, victim)
		if err != nil {
			t.Error(err)
		}
		died = append(died, took)
		victim.start()
		l.settle()
		back()
	}
	for range rounds(3, 20) {
		p := victim.mayEnd()
		begin := time.Now()
		out, err := victim.host.Start(binary, "leave")
		if err != nil {
			t.Fatal(err)
		}
		_, err = l.everywhere(surely, victim)
		if err != nil {
			t.Errorf("after consul leave: %v\n%s", err, out.Tail(tail))
		}
		left = append(left, time.Since(begin))
		ctx, cancel := context.WithTimeout(l.ctx, surely)
		if err := p.Wait(ctx); err != nil {
			t.Errorf("%s after consul leave: %v", victim.name, err)
		}
		cancel()
		victim.start()
		l.settle()
		back()
	}
	judge(t, "client machine killed, gone from every agent's DNS", died, 3*time.Second, 0)
	judge(t, "client leaves, gone from every agent's DNS", left, 400*time.Millisecond, 0)
	l.checkFlips(victim)
}

// checkFlips measures from a report that a check is critical, or passes, to the
// DNS of another agent, which is asked every millisecond.
func (l *lab) checkFlips(a *agent) {
	l.t.Helper()
	other := l.clients[0]
	c, err := other.host.DialContext(l.ctx, "udp", fmt.Sprintf("127.0.0.1:%d", dnsPort))
	if err != nil {
		l.t.Fatal(err)
	}
	defer c.Close()
	said := func(want []string) bool {
		m, err := askOver(c, appName)
		return err == nil && slices.Equal(addresses(m), want)
	}
	var times []time.Duration
	for i := range rounds(30, 200) {
		to, want := "fail", []string(nil)
		if i%2 == 1 {
			to, want = "pass", []string{a.host.Addr().String()}
		}
		begin := time.Now()
		if err := a.put(l.ctx, "/v1/agent/check/"+to+"/"+ttlID, nil); err != nil {
			l.t.Fatal(err)
		}
		for !said(want) {
			if time.Since(begin) > surely {
				l.t.Fatalf("%s never says %s", other.name, to)
			}
			pause(l.ctx, time.Millisecond)
		}
		if to == "fail" {
			times = append(times, time.Since(begin))
		}
		pause(l.ctx, 200*time.Millisecond)
	}
	judge(l.t, "check turns critical, seen in the DNS of another agent", times, 30*time.Millisecond, 0)
}

// TestLoss: 30 % of all packets are lost between all hosts. No node that lives is
// called critical, and local DNS knows nothing of it.
func TestLoss(t *testing.T) {
	l := started(t, shape{servers: 3, clients: 2})
	l.backends()
	c := l.clients[0]
	before := l.terms()
	for _, a := range l.agents() {
		for _, b := range l.agents() {
			if a != b {
				l.net.Loss(a.host, b.host, 0.3)
			}
		}
	}
	w := l.write(1, 100*time.Millisecond, c)
	probe := c.probeDNS(asInFaultRuns, webName, webAddrs...)
	var critical, looks, blind int
	for until := time.Now().Add(span(15*time.Second, 5*time.Minute)); time.Now().Before(until); pause(l.ctx, 250*time.Millisecond) {
		for _, s := range l.servers {
			// From the server's own state, within its own host: no packet is lost.
			ctx, cancel := context.WithTimeout(l.ctx, shortly)
			var checks []struct{ Node, CheckID, Output string }
			err := s.get(ctx, "/v1/health/state/critical?stale", &checks)
			cancel()
			looks++
			if err != nil {
				blind++
				continue
			}
			for _, c := range checks {
				if critical++; critical <= maxBad {
					t.Errorf("%s: the check %s of %s is critical: %s", s.name, c.CheckID, c.Node, c.Output)
				}
			}
		}
	}
	ops := w.history.Ops()
	l.net.Reset()
	l.settle()
	after := l.terms()
	done := 0
	for _, op := range ops {
		if op.Outcome == rig.OK {
			done++
		}
	}
	figures(t, "30 % loss", nil, "looks=%d blind=%d critical=%d writes=%d of %d elections=%d", looks, blind, critical, done, len(ops), after-before)
	if blind == looks {
		t.Error("no server answered")
	}
	if *full && after-before > 1 {
		t.Errorf("%d elections, the bar is 1 in five minutes", after-before)
	}
	probe.end()
	w.end()
}

// terms is the highest raft term.
func (l *lab) terms() uint64 {
	l.t.Helper()
	var most uint64
	for _, s := range l.servers {
		stats, err := s.raft(l.ctx)
		if err != nil {
			l.t.Fatal(err)
		}
		var n uint64
		if _, err := fmt.Sscan(stats["term"], &n); err != nil {
			l.t.Fatalf("term %q: %v", stats["term"], err)
		}
		most = max(most, n)
	}
	return most
}

// TestFar: 200 ms there and back between all hosts; later, a leader whose fsync is
// slow. Nobody is elected for it.
func TestFar(t *testing.T) {
	l := started(t, shape{servers: 3, clients: 1})
	l.backends()
	c := l.clients[0]
	before := l.terms()
	for _, a := range l.agents() {
		for _, b := range l.agents() {
			if a != b {
				l.net.Delay(a.host, b.host, 100*time.Millisecond, 0)
			}
		}
	}
	pause(l.ctx, 2*time.Second)
	moved, heard := l.terms(), newWatch()
	w := l.write(2, 50*time.Millisecond, c)
	probe := c.probeDNS(asInFaultRuns, webName, webAddrs...)
	pause(l.ctx, span(12*time.Second, 2*time.Minute))
	elections := l.terms() - moved
	figures(t, "200 ms there and back", w.history.Latencies(rig.Write), "(writes) elections=%d at-the-change=%d", elections, moved-before)
	if text := fmt.Sprintf("%d elections", elections); elections > 0 && !heard.unfit(t, text) {
		t.Error(text)
	}
	l.net.Reset()
	probe.end()
	w.end()
}

// TestSlowDisk: every fsync of a follower, then of the leader, takes 200 ms more.
func TestSlowDisk(t *testing.T) {
	l := started(t, shape{servers: 3, clients: 1})
	l.backends()
	c := l.clients[0]
	quick := l.write(2, 20*time.Millisecond, c)
	pause(l.ctx, time.Second)
	quick.end()
	figures(t, "all disks are quick: writes", quick.history.Latencies(rig.Write), "")
	slow := l.followers()[0]
	slow.kill()
	slow.wrap = slowSync
	slow.start()
	l.settle()
	probe := c.probeDNS(asInFaultRuns, webName, webAddrs...)
	for _, which := range []string{"follower", "leader"} {
		if which == "leader" {
			l.handTo(slow)
		}
		before := l.terms()
		w := l.write(2, 20*time.Millisecond, c)
		pause(l.ctx, span(6*time.Second, 5*time.Minute))
		elections := l.terms() - before
		figures(t, "fsync of the "+which+" takes 200 ms more: writes", w.history.Latencies(rig.Write), "elections=%d", elections)
		if elections > 0 {
			t.Errorf("%s: %d elections", which, elections)
		}
		if slow.leads(l.ctx) != (which == "leader") {
			t.Errorf("the slow %s is it no longer", which)
		}
		w.end()
	}
	probe.end()
}

// handTo makes a the leader.
func (l *lab) handTo(a *agent) {
	l.t.Helper()
	if _, err := await(l.ctx, surely, func(ctx context.Context) error {
		if a.leads(ctx) {
			return nil
		}
		var cfg struct{ Servers []struct{ ID, Node string } }
		if err := a.get(ctx, "/v1/operator/raft/configuration?stale", &cfg); err != nil {
			return err
		}
		for _, s := range cfg.Servers {
			if s.Node == a.name {
				if _, _, err := a.do(ctx, http.MethodPost, "/v1/operator/raft/transfer-leader?id="+s.ID, nil); err != nil {
					return err
				}
			}
		}
		return errors.New("asked to hand over")
	}); err != nil {
		l.t.Fatal(err)
	}
}
