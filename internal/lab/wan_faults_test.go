//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"consul.internal/internal/rig"
)

const (
	// fallName leads to dc2 by its resolver while dc1 has no instances of it.
	fallName = "fall.service.consul."
	fallFar  = "10.9.0.1"
	fallNear = "10.9.0.2"

	// wanBack is how soon names are fresh again and writes pass once servers of the
	// other datacenter can be reached and have a leader.
	wanBack = 5 * time.Second
)

// wanFaults is two datacenters, of which the first follows names of the second.
type wanFaults struct {
	*wan
	c *agent
}

// TestWANFaults: cuts in one direction, a datacenter without servers, and one that
// comes back with other addresses. Names, writes and the pool recover by themselves.
func TestWANFaults(t *testing.T) {
	w := &wanFaults{wan: newWAN(t, farAway, site{servers: 3, clients: 1}, site{servers: 3, clients: 1})}
	w.run()
	w.c = w.dcs[0].clients[0]
	w.dcs[1].clients[0].fill(rounds(100, 600), plainFar, farAddr)
	w.resolvers()
	for i := range knownNames {
		if _, err := await(w.ctx, surely, func(context.Context) error { return w.right(i) }); err != nil {
			t.Fatal(err)
		}
	}
	for range rounds(1, 3) {
		w.oneWay("cut from dc1 to dc2", func(a, b *rig.Host) { w.net.CutOneWay(a, b) })
		w.oneWay("cut from dc2 to dc1", func(a, b *rig.Host) { w.net.CutOneWay(b, a) })
	}
	for round := range rounds(1, 5) {
		w.dead("all servers dead", func() {})
		w.dead("all servers dead, back with new addresses", func() {
			for i, a := range w.dcs[1].servers {
				if err := a.host.Readdress(fmt.Sprintf("10.5.%d.%d", round, i+1)); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// right asks for a known name of dc2.
func (w *wanFaults) right(i int) error {
	if r := w.c.asker().ask(farName(i)); !rightFar(r) || r.stale {
		return errors.New(r.String())
	}
	return nil
}

// resolvers has a name of dc1 lead to dc2 while it has no instances of its own.
func (w *wanFaults) resolvers() {
	w.t.Helper()
	q := w.c.asker()
	entry := map[string]any{"Kind": "service-resolver", "Name": "fall", "Failover": map[string]any{"*": map[string]any{"Datacenters": []string{"dc2"}}}}
	if err := errors.Join(w.c.put(w.ctx, "/v1/config", entry), w.c.place(w.ctx, "dc2", "fall", fallFar)); err != nil {
		w.t.Fatal(err)
	}
	becomes := func(what, addr string) {
		w.t.Helper()
		took, err := await(w.ctx, surely, func(context.Context) error {
			if r := q.ask(fallName); !r.right(addr) || r.stale {
				return errors.New(r.String())
			}
			return nil
		})
		if err != nil {
			w.t.Fatalf("%s: %v", what, err)
		}
		figures(w.t, what, []time.Duration{took}, "")
	}
	becomes("a resolver leads to dc2", fallFar)
	if err := w.c.place(w.ctx, "", "fall", fallNear); err != nil {
		w.t.Fatal(err)
	}
	becomes("a resolver leads to dc2: there is an instance in dc1", fallNear)
	gone := map[string]any{"Node": "host-10-9-0-2"}
	if err := w.c.put(w.ctx, "/v1/catalog/deregister", gone); err != nil {
		w.t.Fatal(err)
	}
	becomes("a resolver leads to dc2: the instance in dc1 is gone", fallFar)
}

// streams ask for names of both datacenters.
func (w *wanFaults) streams() []*stream {
	return []*stream{
		w.dcs[1].clients[0].stream(20*time.Millisecond, func(i int) string { return plainFar(i%knownNames) + ".service.consul." }),
		w.c.stream(20*time.Millisecond, func(i int) string { return farName(i % knownNames) }),
		w.c.stream(100*time.Millisecond, func(int) string { return fallName }),
	}
}

func endAll(streams []*stream) (all [][]reply) {
	for _, s := range streams {
		s.stop()
	}
	for _, s := range streams {
		all = append(all, s.end())
	}
	return all
}

// oneWay cuts all lines in one direction.
func (w *wanFaults) oneWay(what string, cut func(a, b *rig.Host)) {
	w.t.Helper()
	streams := w.streams()
	pause(w.ctx, time.Second)
	w.between(cut)
	pause(w.ctx, span(3*time.Second, 20*time.Second))
	for i, dc := range w.dcs { // both do their own work
		name := fmt.Sprintf("own-%d", time.Now().UnixNano())
		if err := dc.clients[0].place(w.ctx, "", name, "10.6.2.1"); err != nil {
			w.t.Errorf("%s: write in dc%d: %v", what, i+1, err)
		}
	}
	pause(w.ctx, span(5*time.Second, 40*time.Second))
	w.between(w.net.Heal)
	w.recovers(what, time.Now(), streams)
}

// dead kills all servers of dc2 and starts them again.
func (w *wanFaults) dead(what string, meanwhile func()) {
	w.t.Helper()
	streams := w.streams()
	pause(w.ctx, time.Second)
	for _, a := range w.dcs[1].servers {
		a.kill()
	}
	killed := time.Now()
	pause(w.ctx, span(5*time.Second, 60*time.Second))
	for i := range knownNames { // from two seconds on they are stale, and a heartbeat
		if r := w.c.asker().ask(farName(i)); !rightFar(r) || !r.stale {
			w.t.Errorf("%s: %v after: %v", what, time.Since(killed).Round(time.Millisecond), r)
		}
	}
	if r := w.c.asker().ask(farName(w.never())); r.rcode != dns.RcodeServerFailure || r.took > remotePromise && *full {
		w.t.Errorf("%s: a name that nobody asked for: %v", what, r)
	}
	begin := time.Now()
	if err := w.c.place(w.ctx, "dc2", "in-vain", "10.6.2.2"); err == nil {
		w.t.Errorf("%s: a write is taken", what)
	}
	refused := time.Since(begin)
	meanwhile()
	for _, a := range w.dcs[1].servers {
		a.start()
	}
	if _, err := await(w.ctx, surely, func(ctx context.Context) error { // they have a leader
		return w.dcs[1].servers[0].place(ctx, "", "leads", "10.6.2.3")
	}); err != nil {
		w.t.Fatalf("%s: %v", what, err)
	}
	w.recovers(what, time.Now(), streams)
	figures(w.t, what+": a write to it is refused", []time.Duration{refused}, "")
	w.dcs[1].settle()
}

// never is a name of dc2 that exists and that nobody asks for but here.
func (w *wanFaults) never() int {
	return knownNames + int(time.Now().UnixNano()%int64(rounds(80, 580)))
}

// recovers judges what was asked since a fault, and what comes back after it.
func (w *wanFaults) recovers(what string, back time.Time, streams []*stream) {
	w.t.Helper()
	name := fmt.Sprintf("written-%d", back.UnixNano())
	wrote, err := await(w.ctx, surely, func(ctx context.Context) error { return w.c.place(ctx, "dc2", name, "10.6.2.4") })
	if err != nil {
		w.t.Errorf("%s: write to dc2: %v", what, err)
	}
	if _, err := await(w.ctx, surely, func(context.Context) error {
		if r := w.c.asker().ask(name + ".service.dc2.consul."); !r.right("10.6.2.4") {
			return errors.New(r.String())
		}
		return nil
	}); err != nil {
		w.t.Errorf("%s: what was written is not found: %v", what, err)
	}
	wrong, err := await(w.ctx, surely, func(ctx context.Context) error {
		return w.dcs[1].clients[0].place(ctx, "dc1", name, "10.6.2.5")
	})
	if err != nil {
		w.t.Errorf("%s: write from dc2 to dc1: %v", what, err)
	}
	w.joined()
	joined := time.Since(back)
	pause(w.ctx, time.Second)
	all := endAll(streams)
	own, far, fall := all[0], all[1], all[2]
	each(w.t, what+": names of dc2 in dc2", own, func(r reply) bool { return slices.Equal(r.addrs, []string{farAddr(plainIndex(r.name))}) })
	each(w.t, what+": known names of dc2 in dc1", far, rightFar)
	each(w.t, what+": a name that leads to dc2", fall, func(r reply) bool { return r.right(fallFar) })
	var fresh time.Duration
	for _, r := range within(slices.Concat(far, fall), back, time.Now()) {
		if r.stale {
			fresh = max(fresh, r.at.Add(r.took).Sub(back))
		}
	}
	figures(w.t, what+": back", nil, "names fresh %v, write to it %v, write from it %v, pool whole %v", fresh.Round(time.Millisecond),
		wrote.Round(time.Millisecond), wrong.Round(time.Millisecond), joined.Round(time.Millisecond))
	judge(w.t, what+": names are fresh", []time.Duration{fresh}, wanBack, wanBack)
	judge(w.t, what+": writes pass", []time.Duration{wrote, wrong}, wanBack, wanBack)
}

// plainIndex is the number in a name of dc2 as dc2 asks for it.
func plainIndex(name string) int {
	var i int
	if _, err := fmt.Sscanf(name, "far-%d.service.consul.", &i); err != nil {
		return -1
	}
	return i
}
