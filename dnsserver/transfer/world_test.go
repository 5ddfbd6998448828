package transfer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/zap"

	"consul.internal/catalog"
	"consul.internal/dnsserver/zone"
	"consul.internal/view"
)

const secret = "c2VjcmV0IG9mIHNpeHRlZW4gYnl0ZXM="

func options() zone.Options {
	return zone.Options{
		Domain: "consul.", Datacenter: "dc1", NodeTTL: 5 * time.Second, SOA: zone.SOA{Refresh: 3600, Retry: 600, Expire: 86400},
		ServiceTTL: map[string]time.Duration{"*": 7 * time.Second},
	}
}

// state is the catalog that a server under test follows.
type state struct {
	mu    sync.Mutex
	dir   *view.Directory
	index uint64
	s     *Server
}

func newState(t *testing.T, cfg Config, change func(*Server)) *state {
	t.Helper()
	return newGuarded(t, cfg, false, change)
}

func newGuarded(t *testing.T, cfg Config, guarded bool, change func(*Server)) *state {
	t.Helper()
	st := &state{dir: view.NewDirectory()}
	st.dir.SetReady()
	s, err := New(Deps{
		Logger: zap.NewNop(), Ready: func(context.Context) error { return nil }, Index: st.dir.Index, Whole: st.whole, Guarded: guarded,
	})
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(s)
		s.turns = make(chan struct{}, s.limits.transfers)
	}
	st.s = s
	st.apply(node("srv1", "10.0.0.1", nil), instance("srv1", "10.0.0.1", "consul", "consul", catalog.Passing))
	if err := s.Configure(cfg, options()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

// whole is what a store gives.
func (st *state) whole() []catalog.Change {
	st.mu.Lock()
	defer st.mu.Unlock()
	var out []catalog.Change
	for n := range st.dir.Nodes() {
		out = append(out, catalog.Change{Op: catalog.NodeSet, Node: n.Node})
	}
	for svc := range st.dir.Services() {
		if svc.Rules != nil {
			out = append(out, catalog.Change{Op: catalog.ResolverSet, Resolver: svc.Rules.Resolver})
		}
		for _, i := range svc.Instances {
			out = append(out, catalog.Change{Op: catalog.InstanceSet, Instance: i})
		}
	}
	return out
}

// apply is one batch, as a store's feed gives it.
func (st *state) apply(changes ...catalog.Change) {
	st.mu.Lock()
	st.index += 2 // other things have indexes too
	b := catalog.Batch{Index: st.index, Changes: changes}
	st.dir.Apply(b)
	st.mu.Unlock()
	st.s.Apply(b)
}

func node(name, addr string, meta map[string]string) catalog.Change {
	return catalog.Change{Op: catalog.NodeSet, Node: &catalog.Node{Name: name, Address: addr, Meta: meta}}
}

func instance(on, addr, id, service string, status catalog.Status, tags ...string) catalog.Change {
	return catalog.Change{Op: catalog.InstanceSet, Instance: &catalog.Instance{
		Node:    &catalog.Node{Name: on, Address: addr},
		Service: &catalog.Service{ID: id, Name: service, Port: 8080, Tags: tags},
		Checks:  []*catalog.Check{{Node: on, CheckID: id, ServiceID: id, Status: status}},
	}}
}

func at(c catalog.Change, addr string) catalog.Change {
	c.Instance.Service.Address = addr
	return c
}

// fetch asks for a transfer over a connection in memory, and returns its records.
// Between is called after each message.
func (st *state) fetch(t *testing.T, m *dns.Msg, between func()) ([]dns.RR, error) {
	t.Helper()
	here, there := net.Pipe()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer func() { _ = here.Close() }()
	tr := &dns.Transfer{Conn: &dns.Conn{Conn: here}}
	if sig := m.IsTsig(); sig != nil {
		tr.TsigSecret = map[string]string{sig.Hdr.Name: secret}
	}
	wg.Go(func() {
		defer func() { _ = there.Close() }()
		c := &dns.Conn{Conn: there}
		wire, err := c.ReadMsgHeader(nil)
		if err != nil || !Asks(wire) {
			return // the test sees the end of the connection
		}
		_ = st.s.Serve(t.Context(), there, wire, netip.MustParseAddr("192.0.2.7"))
	})
	in, err := tr.In(m, "")
	if err != nil {
		return nil, err
	}
	var out []dns.RR
	for e := range in {
		if e.Error != nil {
			return out, e.Error
		}
		out = append(out, e.RR...)
		if between != nil {
			between()
		}
	}
	return out, nil
}

func axfr() *dns.Msg { return new(dns.Msg).SetAxfr("consul.") }

func ixfr(serial uint32) *dns.Msg { return new(dns.Msg).SetIxfr("consul.", serial, "ns.", "x.") }

func allowed() Config { return Config{Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}} }

// copyOf is what a secondary holds: each record once.
type copyOf map[string]bool

func (st *state) full(t *testing.T) (copyOf, uint32) {
	t.Helper()
	rrs, err := st.fetch(t, axfr(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return whole(t, rrs)
}

// whole reads an AXFR, or an answer like one.
func whole(t *testing.T, rrs []dns.RR) (copyOf, uint32) {
	t.Helper()
	if len(rrs) < 2 || rrs[0].String() != rrs[len(rrs)-1].String() || rrs[0].Header().Rrtype != dns.TypeSOA {
		t.Fatalf("no SOA record around a transfer of %d records", len(rrs))
	}
	c := copyOf{}
	for _, rr := range rrs[1 : len(rrs)-1] {
		if c[rr.String()] {
			t.Errorf("%v is there twice", rr)
		}
		c[rr.String()] = true
	}
	return c, rrs[0].(*dns.SOA).Serial
}

// update applies an incremental transfer as a strict secondary does.
func (c copyOf) update(t *testing.T, rrs []dns.RR) (next copyOf, serial uint32, kind string) {
	t.Helper()
	serial = rrs[0].(*dns.SOA).Serial
	if len(rrs) == 1 {
		return c, serial, "none"
	}
	if _, changes := rrs[1].(*dns.SOA); !changes {
		next, serial = whole(t, rrs)
		return next, serial, "whole"
	}
	part := 0
	for _, rr := range rrs[1 : len(rrs)-1] {
		_, soa := rr.(*dns.SOA)
		text := rr.String()
		switch {
		case soa:
			part++
		case part == 1:
			if !c[text] {
				t.Errorf("%s goes, but was not there", text)
			}
			delete(c, text)
		default:
			if c[text] {
				t.Errorf("%s comes, but was there", text)
			}
			c[text] = true
		}
	}
	return c, serial, "changes"
}

func (c copyOf) sorted() []string {
	out := make([]string, 0, len(c))
	for rr := range c {
		out = append(out, strings.ReplaceAll(rr, "\t", " "))
	}
	slices.Sort(out)
	return out
}

// churn is a random batch.
func churn(r *rand.Rand) (out []catalog.Change) {
	name := func(of string) string { return fmt.Sprintf("%s%d", of, r.IntN(4)) }
	addr := func(net string) string { return fmt.Sprintf("10.%s.0.%d", net, 1+r.IntN(3)) }
	status := []catalog.Status{catalog.Passing, catalog.Warning, catalog.Critical}
	for range 1 + r.IntN(3) {
		on := name("n")
		switch r.IntN(6) {
		case 0:
			out = append(out, node(on, addr("1"), map[string]string{"v": name("")}))
		case 1:
			out = append(out, catalog.Change{Op: catalog.NodeGone, Node: &catalog.Node{Name: on}})
		case 2:
			out = append(out, catalog.Change{Op: catalog.InstanceGone, Instance: &catalog.Instance{
				Node: &catalog.Node{Name: on}, Service: &catalog.Service{ID: name("id"), Name: "s"}}})
		default:
			c := instance(on, addr("1"), name("id"), name("Svc"), status[r.IntN(3)], "v1", name("t"))
			switch r.IntN(4) {
			case 0:
				c = at(c, addr("2"))
			case 1:
				c = at(c, "svc1.service.consul")
			case 2:
				c.Instance.Service.Meta = map[string]string{"svcb-alpn": "h2", "dns-answer-limit": "1", "k": name("")}
			}
			out = append(out, c)
		}
	}
	return out
}
