//go:build linux

package lab

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// TestDNSOutlivesServers: a client's answers for a name that it knows are right
// while leader, any two and all servers die, and after its own restart without
// any server. A server that is started alone answers at once.
func TestDNSOutlivesServers(t *testing.T) {
	l := started(t, shape{servers: 3, clients: 1})
	l.backends()
	c := l.clients[0]
	w := l.write(2, 10*time.Millisecond, c)
	probe := c.probeDNS(10*time.Millisecond, webName, webAddrs...)
	dead := span(5*time.Second, 20*time.Second)
	restart := func(as ...*agent) {
		for _, a := range as {
			a.start()
		}
		l.settle()
	}
	for range rounds(1, 3) {
		leader := l.leader()
		leader.kill()
		pause(l.ctx, dead)
		restart(leader)

		two := []*agent{l.leader(), l.followers()[0]}
		for _, a := range two {
			a.kill()
		}
		pause(l.ctx, dead)
		restart(two...)
	}
	for _, a := range l.servers {
		a.kill()
	}
	pause(l.ctx, dead)
	probe.end()
	c.kill()
	c.start()
	var restarted []time.Duration
	took, err := await(l.ctx, 5*time.Second, func(ctx context.Context) error { return c.answers(ctx, webName, webAddrs...) })
	if err != nil {
		t.Errorf("after a restart without any server: %v", err)
	}
	restarted = append(restarted, took)
	if _, err := await(l.ctx, 4*time.Second, func(ctx context.Context) error {
		m, err := c.ask(ctx, webName)
		if err == nil && !stale(m) {
			err = fmt.Errorf("the answer has no Extended DNS Error 3:\n%v", m)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	probe = c.probeDNS(10*time.Millisecond, webName, webAddrs...)
	s := l.servers[1]
	s.start()
	took, err = await(l.ctx, 5*time.Second, func(ctx context.Context) error { return s.answers(ctx, webName, webAddrs...) })
	if err != nil {
		t.Errorf("a server that is started alone: %v", err)
	}
	figures(t, "DNS of a client restarted without servers", restarted, "")
	figures(t, "DNS of a server restarted alone", []time.Duration{took}, "")
	pause(l.ctx, time.Second)
	l.servers[0].start()
	l.servers[2].start()
	l.settle()
	probe.end()
	w.end()
}
