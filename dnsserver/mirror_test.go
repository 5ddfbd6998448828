package dnsserver

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"consul.internal/catalog"
	"consul.internal/dnsserver/wire"
	"consul.internal/internal/fault"
	"consul.internal/view"
	"consul.internal/view/world"
)

// place is one datacenter's servers, as an agent elsewhere meets them.
type place struct {
	dir  *view.Directory
	feed *view.Feed

	mu       sync.Mutex
	cut      bool
	age      time.Duration // of the leader's last word
	sessions []view.Session
	asks     map[view.Subject]int // Asks less Stops
}

// newPlace serves what a directory of random content has.
func newPlace(r *rand.Rand) *place {
	p := &place{dir: view.NewDirectory(), asks: map[view.Subject]int{}}
	p.feed = view.NewFeed(view.DefaultFeedConfig(), view.FeedDeps{
		Origin:    func() (string, uint64) { return "cluster", 1 },
		LeaderAge: func() time.Duration { p.mu.Lock(); defer p.mu.Unlock(); return p.age },
	}, p.dir)
	b := shapes(r)
	b.Reset = false
	p.feed.Apply(b)
	p.dir.SetReady()
	return p
}

// change has an instance come, go or turn.
func (p *place) change(r *rand.Rand) {
	svc := p.dir.Service(catalog.Fold(shapeNames[r.IntN(len(shapeNames))]))
	if svc == nil || len(svc.Instances) == 0 {
		return
	}
	if r.IntN(8) == 0 {
		c := catalog.Change{Op: catalog.ResolverGone, Resolver: &catalog.Resolver{Service: svc.Name}}
		if rules := someRules(r, svc.Name); rules != nil {
			c = catalog.Change{Op: catalog.ResolverSet, Resolver: rules}
		}
		p.feed.Apply(catalog.Batch{Index: p.dir.Index() + 1, Changes: []catalog.Change{c}})
		return
	}
	i := *svc.Instances[r.IntN(len(svc.Instances))]
	i.Checks = []*catalog.Check{{Node: i.Node.Name, CheckID: "c", Status: []catalog.Status{catalog.Passing, catalog.Critical}[r.IntN(2)]}}
	op := catalog.InstanceSet
	if r.IntN(6) == 0 {
		op = catalog.InstanceGone
	}
	p.feed.Apply(catalog.Batch{Index: p.dir.Index() + 1, Changes: []catalog.Change{{Op: op, Instance: &i}}})
}

// reach cuts the servers off, or lets them be reached again.
func (p *place) reach(yes bool) {
	p.mu.Lock()
	p.cut = !yes
	all := p.sessions
	if p.cut {
		p.sessions = nil
	}
	p.mu.Unlock()
	if !yes {
		for _, s := range all {
			_ = s.Close() // has no errors
		}
	}
}

func (p *place) leaderless(age time.Duration) { p.mu.Lock(); p.age = age; p.mu.Unlock() }

func (p *place) follows(s view.Subject) bool { p.mu.Lock(); defer p.mu.Unlock(); return p.asks[s] > 0 }

// watched is a session whose Asks are counted.
type watched struct {
	view.Session
	p *place
}

func (w watched) Send(a view.Ask) error {
	w.p.mu.Lock()
	if a.Stop {
		w.p.asks[a.Subject]--
	} else {
		w.p.asks[a.Subject]++
	}
	w.p.mu.Unlock()
	return w.Session.Send(a)
}

// places are the servers of some datacenters, by name.
type places map[string]*place

// Session implements view.Source.
func (all places) Session(ctx context.Context, dc string) (view.Session, error) {
	p := all[dc]
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut {
		return nil, fault.Newf(fault.Unavailable, "the servers of %s are cut off", dc)
	}
	s, err := p.feed.Session(ctx)
	if err != nil {
		return nil, err
	}
	p.sessions = append(p.sessions, s)
	return watched{s, p}, nil
}

// client is the view of a client agent in dc1, which knows of dc2.
func client(t *testing.T, all places) *world.World {
	t.Helper()
	budget := view.NewBudget(view.DefaultBudgetConfig())
	log := zaptest.NewLogger(t, zaptest.Level(zap.ErrorLevel))
	own, err := view.NewMirror(view.DefaultMirrorConfig("dc1"), view.MirrorDeps{Source: all, Budget: budget, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	if err := own.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	w, err := world.New(world.Config{Datacenter: "dc1", Mirror: view.RemoteMirrorConfig}, world.Deps{
		Own: own, Source: all, Budget: budget, Logger: log,
		Known: func(_ context.Context, dc string) (bool, error) { return all[dc] != nil, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, c := range []interface{ Close() error }{w, own} {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return w
}

// sameNow is samePaths where what is known changes by itself: time passes while
// the full path waits for servers, and never while the fast one answers.
func sameNow(t *testing.T, s *Server, req []byte, from asker) bool {
	t.Helper()
	s.respond(req, make([]byte, udpBuffer), from) // packs the answer
	synctest.Wait()
	before := bytes.Clone(s.full(req, make([]byte, udpBuffer), from))
	fast := s.quick(req, make([]byte, udpBuffer), from)
	if fast == nil {
		return false
	}
	synctest.Wait()
	after := s.full(req, make([]byte, udpBuffer), from)
	if !bytes.Equal(fast, before) && !bytes.Equal(fast, after) {
		t.Errorf("question %x\n%v\nfast %v\nfull %v", req, unpacked(req), unpacked(fast), unpacked(before))
	}
	return true
}

// The two paths say the same at a client agent, of its own datacenter and of
// another: while names change, while servers are lost or have no leader, and once
// they are back.
func TestPathsAgreeFollowing(t *testing.T) {
	answered, asked, stale := 0, 0, uint64(0)
	for seed := range uint64(12) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 9))
			all := places{"dc1": newPlace(r), "dc2": newPlace(r)}
			s, err := New(shapeConfig(r, "127.0.0.1:0"), Deps{Source: client(t, all), Logger: zaptest.NewLogger(t, zaptest.Level(zap.ErrorLevel)), Shuffle: turned})
			if err != nil {
				t.Fatal(err)
			}
			for range 250 {
				p := all[[]string{"dc1", "dc2"}[r.IntN(2)]]
				switch n := r.IntN(60); {
				case n < 6:
					p.change(r)
				case n < 7:
					p.reach(false)
				case n < 12:
					p.reach(true)
				case n < 13:
					p.leaderless(time.Minute)
				case n < 18:
					p.leaderless(0)
				case n < 23:
					time.Sleep(time.Duration(r.IntN(5000)) * time.Millisecond)
				case n < 25:
					time.Sleep(time.Duration(r.IntN(15)) * time.Minute)
				}
				req := shapeQuestion(r)
				if r.IntN(3) == 0 {
					req = pack(t, shapeNames[r.IntN(5)]+[]string{".service.consul.", ".service.dc2.consul."}[r.IntN(2)], shapeTypes[r.IntN(3)])
				}
				if req != nil {
					asked++
					if sameNow(t, s, req, asker{addr: local, tcp: r.IntN(4) == 0}) {
						answered++
					}
				}
			}
			if st := s.Stats(); st.Panics != 0 {
				t.Fatalf("seed %d: %d panics", seed, st.Panics)
			}
			stale += s.Stats().Stale
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("the fast path answered %d of %d questions; %d answers were stale", answered, asked, stale)
	if answered < asked/5 || stale == 0 {
		t.Errorf("the fast path answered %d of %d questions; %d answers were stale", answered, asked, stale)
	}
}

func pack(t testing.TB, name string, qtype uint16) []byte {
	t.Helper()
	m := question(name, qtype)
	m.SetEdns0(1232, false)
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// steady is a place in which "web" has three instances.
func steady() *place {
	p := newPlace(rand.New(rand.NewPCG(1, 1)))
	for i := range 3 {
		n := &catalog.Node{Name: string(rune('a' + i)), Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}).String(), Datacenter: "dc"}
		s := &catalog.Service{ID: "steady", Name: "steady", Port: 80, Weights: catalog.DefaultWeights}
		p.feed.Apply(catalog.Batch{Index: p.dir.Index() + 1, Changes: []catalog.Change{
			{Op: catalog.NodeSet, Node: n}, {Op: catalog.InstanceSet, Instance: &catalog.Instance{Node: n, Service: s}},
		}})
	}
	return p
}

// A name that is asked for on the fast path alone stays followed; one that is not
// asked for any more does not.
func TestFastKeepsFollowing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := places{"dc1": steady(), "dc2": steady()}
		s, err := New(DefaultConfig(), Deps{Source: client(t, all), Logger: zap.NewNop()})
		if err != nil {
			t.Fatal(err)
		}
		subject := view.Subject{Kind: view.KindService, Name: "steady"}
		for dc, name := range map[string]string{"dc1": "steady.service.consul.", "dc2": "steady.service.dc2.consul."} {
			req := pack(t, name, dns.TypeA)
			from := asker{addr: local}
			s.respond(req, make([]byte, udpBuffer), from)
			var q wire.Query
			if !wire.Parse(req, &q) {
				t.Fatal(name)
			}
			full, renewed, last := 0, 0, entryOf(s, s.live.Load(), &q)
			for range 3600 { // an hour, six times what a name is kept for
				time.Sleep(time.Second)
				if s.quick(req, make([]byte, udpBuffer), from) == nil {
					full++
					s.respond(req, make([]byte, udpBuffer), from)
				}
				if e := entryOf(s, s.live.Load(), &q); e != last {
					renewed, last = renewed+1, e
				}
			}
			if !all[dc].follows(subject) {
				t.Errorf("%s is in use and not followed", name)
			}
			if renewed == 0 || renewed > 100 || full > 0 {
				t.Errorf("%s: %d of 3600 answers were packed anew; %d questions took the full path", name, renewed, full)
			}
			time.Sleep(15 * time.Minute)
			synctest.Wait()
			if all[dc].follows(subject) {
				t.Errorf("%s is followed for nobody", name)
			}
			if s.quick(req, make([]byte, udpBuffer), from) != nil {
				t.Errorf("%s is answered from what nobody keeps up to date", name)
			}
		}
	})
}

// A query on the fast path allocates nothing where names are followed, either.
func TestFastAllocatesFollowing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := places{"dc1": steady(), "dc2": steady()}
		s, err := New(DefaultConfig(), Deps{Source: client(t, all), Logger: zap.NewNop()})
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range []struct {
			name  string
			qtype uint16
		}{
			{"steady.service.consul.", dns.TypeA}, {"steady.service.consul.", dns.TypeSRV}, {"steady.service.consul.", dns.TypeAAAA},
			{"steady.service.dc2.consul.", dns.TypeA}, {"steady.service.dc2.consul.", dns.TypeSRV}, {"a.node.dc2.consul.", dns.TypeA},
			{"nosuch.service.consul.", dns.TypeA}, {"nosuch.node.dc1.consul.", dns.TypeSRV},
		} {
			req := pack(t, q.name, q.qtype)
			s.respond(req, make([]byte, udpBuffer), asker{addr: local})
			synctest.Wait()
			s.respond(req, make([]byte, udpBuffer), asker{addr: local})
			if n := fastAllocs(t, s, req, local); n != 0 {
				t.Errorf("%s: %v allocations for %d queries", q.name, n, batch)
			}
		}
	})
}

// fastAllocs is how much a batch of one question allocates on the fast path.
func fastAllocs(t *testing.T, s *Server, req []byte, from netip.Addr) float64 {
	t.Helper()
	c := newClerk(s)
	msgs, bufs := make([][]byte, batch), make([][]byte, batch)
	for i := range msgs {
		bufs[i] = make([]byte, udpBuffer)
	}
	return testing.AllocsPerRun(100, func() {
		for i := range msgs {
			msgs[i] = bufs[i][:copy(bufs[i], req)]
			binary.BigEndian.PutUint16(msgs[i], uint16(i))
		}
		c.read(msgs)
		for i := range msgs {
			if c.answer(i, bufs[i], asker{addr: from}) == 0 {
				t.Fatalf("%v took the full path", unpacked(req))
			}
		}
		c.tally.flush(s, c.now, len(msgs))
	})
}
