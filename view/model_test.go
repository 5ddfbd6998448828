package view_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/catalog"
	"consul.internal/view"
)

var modelRuns = flag.Int("model.runs", 30, "how many random histories TestModel tries")

// model is a random catalog and all that each name ever was.
type model struct {
	r      *rand.Rand
	writer *view.Directory // every batch, at once
	index  uint64

	mu      sync.Mutex
	history map[string][]string // by what is asked; the states in their order
	latest  map[string]int      // by what was asked: the place of what was last seen
}

const modelNames, modelNodes = 6, 4

func modelAddr(i int) string { return fmt.Sprintf("192.0.2.%d", i) }

// states says what a directory or mirror knows of everything.
func stateOf(s *view.Service, n *view.Node, a *view.Address) string {
	var out []string
	inst := func(i *catalog.Instance) string {
		return fmt.Sprintf("%s/%s=%s:%d@%s", i.Node.Name, i.Service.ID, i.Service.Name, i.Service.Port, i.Service.Address)
	}
	if s != nil {
		for _, i := range s.Instances {
			out = append(out, inst(i))
		}
		if s.Rules != nil {
			out = append(out, s.Rules.Service+" is "+s.Rules.DefaultSubset)
		}
	}
	if n != nil {
		out = append(out, fmt.Sprint(n.Node.Name, n.Node.Address, n.Node.Meta))
	}
	if a != nil {
		for _, n := range a.Nodes {
			out = append(out, fmt.Sprint(n.Name, n.Address, n.Meta))
		}
		for _, i := range a.Services {
			out = append(out, inst(i))
		}
	}
	return strings.Join(out, " ")
}

// each calls visit with every question and its answer.
func (x *model) each(service func(string) *view.Service, node func(string) *view.Node, addr func(netip.Addr) *view.Address, visit func(q, state string)) {
	for i := range modelNames {
		q := fmt.Sprintf("s%d", i)
		visit(q, stateOf(service(q), nil, nil))
	}
	for i := range modelNodes {
		q := fmt.Sprintf("n%d", i)
		visit(q, stateOf(nil, node(q), nil))
		a := netip.MustParseAddr(modelAddr(i))
		visit(a.String(), stateOf(nil, nil, addr(a)))
	}
}

func (x *model) record() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.each(x.writer.Service, x.writer.Node, x.writer.Address, func(q, state string) {
		h := x.history[q]
		if len(h) == 0 || h[len(h)-1] != state {
			x.history[q] = append(h, state)
		}
	})
}

// batch makes a random batch. Ports and metadata number the versions, so that no
// two states of an instance are equal.
func (x *model) batch() catalog.Batch {
	x.index += 1 + x.r.Uint64N(3)
	b := catalog.Batch{Index: x.index}
	for range 1 + x.r.IntN(4) {
		nodeName, id := fmt.Sprintf("n%d", x.r.IntN(modelNodes)), fmt.Sprint(x.r.IntN(3))
		switch x.r.IntN(12) {
		case 0:
			b.Changes = append(b.Changes, goneNode(nodeName))
		case 1, 2:
			c := setNode(nodeName, modelAddr(x.r.IntN(modelNodes)))
			c.Node.Meta = map[string]string{"v": fmt.Sprint(x.index, len(b.Changes))}
			b.Changes = append(b.Changes, c)
		case 3, 4, 5:
			b.Changes = append(b.Changes, gone(nodeName, id))
		case 10:
			r := &catalog.Resolver{Service: fmt.Sprintf("S%d", x.r.IntN(modelNames)), DefaultSubset: fmt.Sprint(x.index, len(b.Changes))}
			b.Changes = append(b.Changes, catalog.Change{Op: catalog.ResolverSet, Resolver: r})
		case 11:
			r := &catalog.Resolver{Service: fmt.Sprintf("s%d", x.r.IntN(modelNames))}
			b.Changes = append(b.Changes, catalog.Change{Op: catalog.ResolverGone, Resolver: r})
		default:
			c := set(nodeName, id, fmt.Sprintf("s%d", x.r.IntN(modelNames)), "")
			if x.r.IntN(2) == 0 {
				c.Instance.Service.Address = modelAddr(x.r.IntN(modelNodes))
			}
			c.Instance.Service.Port = int(x.index)*10 + len(b.Changes)
			b.Changes = append(b.Changes, c)
		}
	}
	return b
}

// seen checks one answer: it was true once, and not before the last one seen.
func (x *model) seen(t *testing.T, who, q, state string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	h, from := x.history[q], x.latest[who+q]
	at := slices.Index(h[from:], state)
	if at < 0 {
		if slices.Contains(h, state) {
			t.Errorf("mirror %s: %s went back: %q after %q, %d of %d", who, q, state, h[from], from, len(h))
		} else {
			t.Errorf("%s was never %q", q, state)
		}
		return
	}
	x.latest[who+q] = from + at
}

// asked looks something up in a mirror; what cannot be known is passed over.
func (x *model) ask(t *testing.T, m *view.Mirror, who string) {
	ctx := context.Background()
	failed := false
	x.each(func(q string) *view.Service {
		s, _, err := m.Service(ctx, "", q)
		failed = err != nil
		return s
	}, func(q string) *view.Node {
		n, _, err := m.Node(ctx, "", q)
		failed = err != nil
		return n
	}, func(q netip.Addr) *view.Address {
		a, _, err := m.Address(ctx, "", q)
		failed = err != nil
		return a
	}, func(q, state string) {
		if !failed {
			x.seen(t, who, q, state)
		}
	})
}

// TestModel lets random batches reach two servers, one of them late, and a
// mirror whose sessions are lost, slow, and begin with either server. What the
// mirror shows was true once and never goes back; in the end it is the truth.
func TestModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	for run := range *modelRuns {
		seed := seed + uint64(run)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { modelRun(t, seed) })
		})
		if t.Failed() {
			return
		}
	}
}

func modelRun(t *testing.T, seed uint64) {
	x := &model{r: rand.New(rand.NewPCG(seed, 1)), writer: view.NewDirectory(), history: map[string][]string{}, latest: map[string]int{}}
	ring := func(c *view.FeedConfig) { c.RingBatches = 1 + x.r.IntN(40) }
	servers := []*server{newServer(ring), newServer(ring)}
	x.record()
	net := newNetwork(servers...)
	var mu sync.Mutex
	faults := rand.New(rand.NewPCG(seed, 2))
	random := func(n int) int { mu.Lock(); defer mu.Unlock(); return faults.IntN(n) }
	net.slow = func() time.Duration {
		if random(10) == 0 {
			return time.Duration(random(400)) * time.Millisecond
		}
		return time.Duration(random(3)) * time.Millisecond
	}
	late := make(chan catalog.Batch, 4096)
	var wg sync.WaitGroup
	wg.Go(func() { // the server that is behind
		for b := range late {
			time.Sleep(time.Duration(random(60)) * time.Millisecond)
			servers[1].feed.Apply(b)
		}
	})
	small := func(_ *view.MirrorConfig, d *view.MirrorDeps) {
		d.Budget = view.NewBudget(view.BudgetConfig{Follow: 4, Names: 6, Bytes: 1 << 20})
	}
	mirrors := []*view.Mirror{newMirror(t, net), newMirror(t, net, small)}
	stop := make(chan struct{})
	for i, m := range mirrors {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(1+random(40)) * time.Millisecond):
					x.ask(t, m, fmt.Sprint(i))
				}
			}
		})
	}
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(random(3000)) * time.Millisecond):
				net.drop()
			}
		}
	})
	for range 400 {
		time.Sleep(time.Duration(x.r.IntN(50)) * time.Millisecond)
		b := x.batch()
		// What may be seen is noted first.
		x.writer.Apply(b)
		x.record()
		servers[0].feed.Apply(b)
		late <- b
	}
	close(stop)
	close(late)
	wg.Wait()
	net.count(func() { net.slow = nil })
	time.Sleep(5 * time.Second)
	for i, m := range mirrors {
		x.ask(t, m, fmt.Sprint(i))
		x.each(x.writer.Service, x.writer.Node, x.writer.Address, func(q, state string) {
			if got := x.history[q][x.latest[fmt.Sprint(i)+q]]; got != state {
				t.Errorf("mirror %d ends with %s = %q, want %q", i, q, got, state)
			}
		})
	}
}
