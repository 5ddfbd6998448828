//go:build linux

package lab

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// hubAway is one way between the hub and a datacenter around it.
const hubAway = 10 * time.Millisecond

// TestWANHub: four datacenters see each other only through two servers of a
// fifth. No member flaps, every pair resolves and writes, and either of the two
// may die.
func TestWANHub(t *testing.T) {
	spoke := site{servers: 1, clients: 1}
	w := newWAN(t, hubAway, site{servers: 3, clients: 1}, spoke, spoke, spoke, spoke)
	w.run()
	for i, one := range w.dcs[1:] {
		for _, a := range one.agents() {
			for _, other := range w.dcs[i+2:] {
				for _, b := range other.agents() {
					w.net.Cut(a.host, b.host)
				}
			}
			w.net.Cut(a.host, w.dcs[0].servers[2].host) // the hub's third server reaches nobody outside
		}
	}
	took, err := await(w.ctx, surely, func(ctx context.Context) error { return w.allPairs(ctx, "a", nil) })
	if err != nil {
		t.Fatalf("not every pair resolves and writes: %v", err)
	}
	figures(t, "hub and spokes: every pair writes and resolves", []time.Duration{took}, "")
	flaps := w.failures()
	streams := w.askAll("a")
	pause(w.ctx, span(15*time.Second, 10*time.Minute))
	w.endAll("hub and spokes", streams, w.failures()-flaps)

	dead := w.dcs[0].servers[rounds(0, 1)]
	streams = w.askAll("a")
	pause(w.ctx, time.Second)
	dead.kill()
	took, err = await(w.ctx, surely, func(ctx context.Context) error { return w.allPairs(ctx, "b", dead) })
	if err != nil {
		t.Errorf("without %s not every pair resolves and writes: %v", dead.name, err)
	}
	figures(t, "hub and spokes: one hub server killed, every pair writes and resolves something new", []time.Duration{took}, "")
	pause(w.ctx, span(2*time.Second, time.Minute))
	w.endAll("hub and spokes, one hub server killed", streams, 0)
	for _, a := range w.agents() {
		for line := range strings.Lines(a.logs()) {
			if strings.Contains(line, "member-failed") && !strings.Contains(line, dead.name+".dc1") {
				t.Errorf("%s: %s", a.name, line)
			}
		}
	}
}

func hubName(what string, from, to int) string { return fmt.Sprintf("%s-%d-%d", what, from+1, to+1) }

func hubAddr(from, to int) string { return fmt.Sprintf("10.7.%d.%d", from+1, to+1) }

// asks is who writes and asks in a datacenter: its client.
func (w *wan) asks(dc int) *agent { return w.dcs[dc].clients[0] }

// allPairs has each datacenter write a service into each other one, and ask for it.
func (w *wan) allPairs(ctx context.Context, what string, dead *agent) error {
	for from := range w.dcs {
		for to := range w.dcs {
			if from == to {
				continue
			}
			name, addr, dc := hubName(what, from, to), hubAddr(from, to), fmt.Sprintf("dc%d", to+1)
			begin := time.Now()
			if err := w.asks(from).place(ctx, dc, name, addr); err != nil {
				return err
			}
			wrote := time.Since(begin)
			if _, err := await(ctx, 2*time.Second, func(ctx context.Context) error {
				return w.asks(from).answers(ctx, name+".service."+dc+".consul.", addr)
			}); err != nil {
				return err
			}
			if all := time.Since(begin); all > time.Second && dead != nil {
				w.t.Logf("dc%d to dc%d: wrote after %v, answered after %v", from+1, to+1, wrote, all)
			}
		}
	}
	return nil
}

// askAll has each datacenter ask for a name in each other one, again and again.
func (w *wan) askAll(what string) (out []*stream) {
	for from := range w.dcs {
		var names []string
		for to := range w.dcs {
			if from != to {
				names = append(names, fmt.Sprintf("%s.service.dc%d.consul.", hubName(what, from, to), to+1))
			}
		}
		out = append(out, w.asks(from).stream(asInFaultRuns, func(i int) string { return names[i%len(names)] }))
	}
	return out
}

func (w *wan) endAll(what string, streams []*stream, flaps int) {
	w.t.Helper()
	var all []reply
	for _, s := range streams {
		s.stop()
	}
	for _, s := range streams {
		all = append(all, s.end()...)
	}
	stale := 0
	each(w.t, what, all, func(r reply) bool {
		var from, to int
		_, err := fmt.Sscanf(r.name, "a-%d-%d.", &from, &to)
		if r.stale {
			stale++
		}
		return err == nil && r.right(hubAddr(from-1, to-1))
	})
	figures(w.t, what, nil, "flaps=%d stale=%d of %d", flaps, stale, len(all))
	if flaps > 0 {
		w.t.Errorf("%s: %d times a server that lives was taken for failed", what, flaps)
	}
	if *full && stale > len(all)/1000 || stale > len(all)/50 {
		w.t.Errorf("%s: %d of %d answers were stale", what, stale, len(all))
	}
}

// failures counts how often any agent took a server of another datacenter for failed.
func (w *wan) failures() (n int) {
	for _, a := range w.agents() {
		n += strings.Count(a.logs(), "member-failed")
	}
	return n
}
