//go:build linux

package lab

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"consul.internal/internal/rig"
)

const (
	// callers work on the catalog at once: half of them through clients.
	callers = 4
	// callLimit is a caller's patience with one operation: short, so that in an
	// outage calls end unknown.
	callLimit = 2 * time.Second
	// keysAtOnce are worked on together, for keyLife; then others are. So none
	// collects so many unknown writes that nobody can tell what was possible.
	keysAtOnce = 10
	keyLife    = 15 * time.Second
	// checkLimit bounds the checker's work on one key.
	checkLimit = time.Minute
)

// TestTorture: work on the catalog, on keys, locks, transactions and sessions while
// random harm is done. What all callers saw must be explained by one order, also by
// reads without ?consistent, and no lock has two holders.
func TestTorture(t *testing.T) {
	need(t)
	for _, servers := range []int{3, 5} {
		t.Run(fmt.Sprintf("%d servers", servers), func(t *testing.T) {
			l := started(t, shape{servers: servers, clients: 2, diskMB: 256})
			l.backends()
			h := rig.NewHistory()
			ctx, stop := context.WithCancel(l.ctx)
			var work sync.WaitGroup
			keys := newLocks(l, h)
			keys.run(ctx, &work)
			for i := range callers {
				c := &caller{lab: l, history: h, id: i + 1, rand: rand.New(rand.NewPCG(l.rand.Uint64(), uint64(i)))}
				work.Go(func() { c.run(ctx) })
			}
			probe := l.clients[0].probeDNS(asInFaultRuns, webName, webAddrs...)
			m := mischief{lab: l, h: h, done: map[string]int{}}
			for until := time.Now().Add(tortureSpan()); time.Now().Before(until); {
				m.once()
			}
			m.heal()
			l.settle()
			pause(l.ctx, 2*time.Second)
			stop()
			work.Wait()
			ops := h.Ops()
			counts := map[rig.Outcome]int{}
			services := map[string]bool{}
			for _, op := range ops {
				counts[op.Outcome]++
				services[op.Key] = true
			}
			for key := range services { // what the servers have in the end belongs to it
				call := h.Begin(rig.Op{Client: callers + 1, Kind: rig.Read, Key: key})
				value, err := l.readKey(l.ctx, l.clients[0], key, "consistent")
				if err != nil {
					wrong(t, "the last read of %s: %v", key, err)
					call.Failed(rig.Unknown)
					continue
				}
				call.Read(value)
			}
			begin := time.Now()
			if err := rig.CheckLinearizable(h.Ops(), checkLimit); err != nil {
				wrong(t, "%v\n%s", err, explain(h.Ops()))
			}
			figures(t, t.Name(), nil, "operations=%d ok=%d unknown=%d not-done=%d keys=%d checked-in=%v harm=%v",
				len(ops), counts[rig.OK], counts[rig.Unknown], counts[rig.Fail], len(services), time.Since(begin).Round(time.Millisecond), m.done)
			if counts[rig.OK] < 100 {
				wrong(t, "only %d operations ended well", counts[rig.OK])
			}
			keys.judge()
			l.sameState()
			probe.end()
			if t.Failed() {
				t.Logf("harm:\n  %s", strings.Join(m.log, "\n  "))
			}
		})
	}
}

// tortureSpan is how long harm is done to each shape of cluster.
func tortureSpan() time.Duration {
	if *torture > 0 {
		return *torture
	}
	return span(30*time.Second, 10*time.Minute)
}

// caller works on the keys.
type caller struct {
	lab     *lab
	history *rig.History
	id      int
	rand    *rand.Rand
	n       int
}

func (c *caller) run(ctx context.Context) {
	for ctx.Err() == nil {
		at := c.lab.clients[c.id%len(c.lab.clients)]
		if c.id%2 == 0 {
			at = c.lab.servers[c.rand.IntN(len(c.lab.servers))]
		}
		key := fmt.Sprintf("r%d-%d", c.history.Now()/keyLife, c.rand.IntN(keysAtOnce))
		c.once(ctx, at, key)
		pause(ctx, time.Duration(c.rand.Int64N(int64(20*time.Millisecond))))
	}
}

func (c *caller) once(ctx context.Context, at *agent, key string) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	switch what := c.rand.IntN(10); {
	case what < 5:
		mode := ""
		if what < 2 {
			mode = "consistent"
		}
		call := c.history.Begin(rig.Op{Client: c.id, Kind: rig.Read, Key: key})
		value, err := c.lab.readKey(ctx, at, key, mode)
		if err != nil {
			call.Failed(rig.Unknown)
			return
		}
		call.Read(value)
	case what < 9:
		c.n++
		value := fmt.Sprintf("%d.%d", c.id, c.n)
		call := c.history.Begin(rig.Op{Client: c.id, Kind: rig.Write, Key: key, Value: value})
		call.Wrote(outcome(at.put(ctx, "/v1/catalog/register", entry(key, value))))
	default:
		call := c.history.Begin(rig.Op{Client: c.id, Kind: rig.Write, Key: key, Value: ""})
		call.Wrote(outcome(at.put(ctx, "/v1/catalog/deregister", map[string]any{"Node": "ext-" + key, "ServiceID": key})))
	}
}

// mischief harms a cluster, and mends what it did.
type mischief struct {
	lab  *lab
	h    *rig.History // its clock
	done map[string]int
	log  []string
}

func (m *mischief) note(format string, args ...any) {
	m.log = append(m.log, m.h.Now().Round(time.Millisecond).String()+" "+fmt.Sprintf(format, args...))
}

// once does one harm, waits, mends it, and waits again.
func (m *mischief) once() {
	l := m.lab
	victims := l.rand.Perm(len(l.servers))[:1+l.rand.IntN(len(l.servers)/2)]
	kinds := []string{"kill", "stop", "partition", "deaf", "bridge", "loss", "full disk", "hung disk", "kill all"}
	kind := kinds[l.rand.IntN(len(kinds))]
	m.done[kind]++
	m.note("%s %v", kind, victims)
	for _, i := range victims {
		m.harm(kind, l.servers[i])
	}
	if kind == "kill all" {
		for _, s := range l.servers {
			s.kill()
		}
	}
	pause(l.ctx, 500*time.Millisecond+l.jitter(4*time.Second))
	m.heal()
	m.note("healed")
	pause(l.ctx, l.jitter(4*time.Second))
}

func (m *mischief) harm(kind string, a *agent) {
	l := m.lab
	l.t.Helper()
	var err error
	switch kind {
	case "kill":
		a.kill()
	case "stop":
		err = a.process().Stop()
	case "partition":
		l.net.Isolate(a.host)
	case "deaf":
		for _, o := range l.agents() {
			if o != a {
				l.net.CutOneWay(o.host, a.host)
			}
		}
	case "bridge":
		for _, o := range l.servers {
			if o != a && l.rand.IntN(2) == 0 {
				l.net.Cut(a.host, o.host)
			}
		}
	case "loss":
		for _, o := range l.agents() {
			if o != a {
				l.net.Loss(a.host, o.host, 0.3)
			}
		}
	case "full disk":
		// One that is only starting ends, and says why: it has nowhere to write who it is.
		if _, starting := await(l.ctx, anyGap, func(ctx context.Context) error {
			var leader string
			if err := a.get(ctx, "/v1/status/leader", &leader); err != nil || leader == "" {
				return fmt.Errorf("no leader: %w", err)
			}
			return nil
		}); starting != nil {
			m.note("%s is only starting: %v", a.name, starting)
			return
		}
		err = a.disk.Fill()
	case "hung disk":
		err = a.disk.Freeze()
	}
	if err != nil {
		l.t.Fatalf("%s on %s: %v", kind, a.name, err)
	}
}

func (m *mischief) heal() {
	l := m.lab
	l.t.Helper()
	l.net.Reset()
	for _, s := range l.servers {
		for _, f := range []func() error{s.process().Cont, s.disk.Thaw, s.disk.Free} {
			if err := f(); err != nil {
				l.t.Fatalf("heal %s: %v", s.name, err)
			}
		}
		if !s.alive() {
			s.start()
		}
	}
}

// sameState: all servers hold the same, read whole and compared byte by byte, and
// by the hashes of all their tables.
func (l *lab) sameState() {
	l.t.Helper()
	if _, err := await(l.ctx, surely, func(ctx context.Context) error {
		if err := l.caughtUp(ctx); err != nil {
			return err
		}
		var first string
		for i, s := range l.servers {
			state, err := s.state(ctx)
			if err != nil {
				return err
			}
			if i == 0 {
				first = state
			}
			if state != first {
				return fmt.Errorf("%s and %s differ: %s", l.servers[0].name, s.name, difference(first, state))
			}
		}
		return nil
	}); err != nil {
		wrong(l.t, "THE SERVERS' STATES DIFFER: %v", err)
	}
	l.sameHashes()
}

// state is the whole catalog as this server has it.
func (a *agent) state(ctx context.Context) (string, error) {
	var b strings.Builder
	for _, path := range []string{"/v1/catalog/nodes", "/v1/catalog/services", "/v1/health/state/any"} {
		out, _, err := a.do(ctx, "GET", path+"?stale", nil)
		if err != nil {
			return "", err
		}
		b.Write(out)
		b.WriteByte('\n')
	}
	var names map[string][]string
	if err := a.get(ctx, "/v1/catalog/services?stale", &names); err != nil {
		return "", err
	}
	for _, name := range sortedKeys(names) {
		out, _, err := a.do(ctx, "GET", "/v1/catalog/service/"+name+"?stale", nil)
		if err != nil {
			return "", err
		}
		b.Write(out)
		b.WriteByte('\n')
	}
	return b.String(), nil
}

// difference is where two texts part.
func difference(a, b string) string {
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	around := func(s string) string { return s[max(0, min(i, len(s))-100):min(len(s), i+100)] }
	return fmt.Sprintf("\n  %s\n  %s", around(a), around(b))
}
