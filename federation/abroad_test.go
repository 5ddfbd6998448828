package federation_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/federation"
	"consul.internal/internal/fault"
	"consul.internal/internal/memnet"
	"consul.internal/rpc"
	"go.uber.org/zap/zaptest"
)

// away and change there: the same operations for another datacenter.
type (
	farQuery struct {
		rpc.ReadOptions
	}
	farChange struct{ rpc.Target }
)

var (
	farGet = rpc.Method[farQuery, answer]{Name: "Test.FarGet", Idempotent: true}
	farAdd = rpc.Method[farChange, answer]{Name: "Test.FarAdd"} // not idempotent
)

// farServer answers the operations for other datacenters.
type farServer struct{ *server }

func (s farServer) Call(ctx context.Context, method string, in, out any) error {
	switch in := in.(type) {
	case *farQuery:
		return s.server.Call(ctx, method, &query{ReadOptions: in.ReadOptions}, out)
	case *farChange:
		return s.server.Call(ctx, method, &change{}, out)
	}
	return s.server.Call(ctx, method, in, out)
}

func farContract() rpc.Contract {
	c := contract()
	c.Add(farGet.Operation())
	c.Add(farAdd.Operation())
	return c
}

// earth is some datacenters of three servers each, of which the first leads, and
// a client in the first datacenter.
type earth struct {
	*cluster
	dcs []string
}

func newEarth(t *testing.T, dcs ...string) *earth {
	t.Helper()
	e := &earth{&cluster{net: memnet.New(1), log: zaptest.NewLogger(t)}, dcs}
	byDC := map[string][]federation.Server{}
	for d, dc := range dcs {
		for i := range 3 {
			ip := fmt.Sprintf("10.%d.0.%d", d+1, i+1)
			s := &server{id: fmt.Sprintf("%s-%d", dc, i), host: e.net.Host(ip)}
			s.follow(dc + "-0")
			s.router = e.routerIn(t, dc, s.id, s.host, farServer{s})
			e.openIn(t, s)
			e.servers = append(e.servers, s)
			byDC[dc] = append(byDC[dc], federation.Server{ID: s.id, Name: s.id, Addr: ip + ":8300", Datacenter: dc, RTT: time.Duration(10+20*i) * time.Millisecond})
		}
	}
	e.client = e.routerIn(t, dcs[0], "client", e.net.Host("10.1.1.1"), nil)
	e.client.SetServers(byDC[dcs[0]])
	var all []federation.Server
	for _, list := range byDC {
		all = append(all, list...)
	}
	for _, s := range e.servers {
		s.router.SetServers(all)
	}
	return e
}

func (e *earth) routerIn(t *testing.T, dc, id string, host *memnet.Host, local federation.Local) *federation.Router {
	t.Helper()
	r, err := federation.New(federation.Config{Datacenter: dc, NodeID: id, HoldTimeout: hold}, federation.Deps{
		Local: local, Contract: farContract(), Logger: e.log,
		Dial: func(ctx context.Context, s federation.Server) (net.Conn, error) { return host.Dial(ctx, s.Addr) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

func (e *earth) of(dc string) []*server {
	for i, d := range e.dcs {
		if d == dc {
			return e.servers[3*i : 3*i+3]
		}
	}
	return nil
}

// cut parts two datacenters.
func (e *earth) cut(a, b string) {
	for _, x := range e.of(a) {
		for _, y := range e.of(b) {
			e.net.Cut(x.host.Addr().String(), y.host.Addr().String())
			e.net.Cut(y.host.Addr().String(), x.host.Addr().String())
		}
	}
}

func getIn(ctx context.Context, c rpc.Caller, dc string, how rpc.Consistency) (*answer, error) {
	return rpc.Call(ctx, c, farGet, &farQuery{rpc.ReadOptions{Target: rpc.Target{Datacenter: dc}, Consistency: how}})
}

// TestAbroad: a call for another datacenter goes from anywhere to that
// datacenter, and there to its leader.
func TestAbroad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEarth(t, "dc1", "dc2")
		defer e.close(t)
		for name, from := range map[string]rpc.Caller{"client": e.client, "server": e.of("dc1")[1].router} {
			if out, err := getIn(t.Context(), from, "dc2", rpc.Default); err != nil || out.By != "dc2-0" {
				t.Errorf("%s: %+v, %v", name, out, err)
			}
			if out, err := rpc.Call(t.Context(), from, farAdd, &farChange{rpc.Target{Datacenter: "dc2"}}); err != nil || out.By != "dc2-0" {
				t.Errorf("%s: %+v, %v", name, out, err)
			}
			if out, err := getIn(t.Context(), from, "dc2", rpc.Stale); err != nil || out.By != "dc2-0" {
				t.Errorf("%s asks the nearest: %+v, %v", name, out, err)
			}
			start := time.Now()
			if _, err := getIn(t.Context(), from, "dc9", rpc.Default); !errors.Is(err, fault.NoRoute) || err.Error() != "No path to datacenter" || time.Since(start) > 0 {
				t.Errorf("%s: %v after %v", name, err, time.Since(start))
			}
		}
		if n := e.of("dc2")[0].done.Load(); n != 2 {
			t.Errorf("%d changes of 2", n)
		}
	})
}

// TestAbroadSilent: a server that is frozen or cut off costs one bounded try, and
// is passed over until it answers again.
func TestAbroadSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEarth(t, "dc1", "dc2")
		defer e.close(t)
		from := e.of("dc1")[0].router
		if _, err := getIn(t.Context(), from, "dc2", rpc.Stale); err != nil {
			t.Fatal(err)
		}
		near := e.of("dc2")[0]
		near.frozen.Store(true)
		start := time.Now()
		if out, err := getIn(t.Context(), from, "dc2", rpc.Stale); err != nil || out.By == near.id || time.Since(start) > 1100*time.Millisecond {
			t.Errorf("%+v, %v after %v", out, err, time.Since(start))
		}
		near.frozen.Store(false)
		e.net.Isolate(near.host.Addr().String())
		time.Sleep(3 * time.Second) // a look at it ends its turn, if the last one had not
		for range 20 {
			start := time.Now()
			if out, err := getIn(t.Context(), from, "dc2", rpc.Stale); err != nil || out.By == near.id && time.Since(start) > 0 || time.Since(start) > 1100*time.Millisecond {
				t.Fatalf("%+v, %v after %v", out, err, time.Since(start))
			}
			time.Sleep(100 * time.Millisecond)
		}
		start = time.Now()
		for range 100 {
			if _, err := getIn(t.Context(), from, "dc2", rpc.Stale); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took > 0 {
			t.Errorf("a silent server still costs %v", took)
		}
		e.net.HealAll()
		time.Sleep(5 * time.Second)
		if out, err := getIn(t.Context(), from, "dc2", rpc.Stale); err != nil || out.By != near.id {
			t.Errorf("the nearest is back: %+v, %v", out, err)
		}
	})
}

// TestAbroadGone: a datacenter that cannot be reached is an error within a bound.
func TestAbroadGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEarth(t, "dc1", "dc2")
		defer e.close(t)
		e.cut("dc1", "dc2")
		for name, from := range map[string]rpc.Caller{"client": e.client, "server": e.of("dc1")[0].router} {
			start := time.Now()
			_, err := getIn(t.Context(), from, "dc2", rpc.Default)
			if took := time.Since(start); !errors.Is(err, fault.NoRoute) || took > hold {
				t.Errorf("%s: %v after %v", name, err, took)
			}
		}
		if out, err := getIn(t.Context(), e.client, "dc1", rpc.Default); err != nil || out.By != "dc1-0" {
			t.Errorf("the own datacenter: %+v, %v", out, err)
		}
	})
}

// TestSpokes: datacenters that reach only a third one reach each other through it,
// also when one server of it dies.
func TestSpokes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEarth(t, "dc1", "dc2", "hub")
		defer e.close(t)
		e.cut("dc1", "dc2")
		time.Sleep(5 * time.Second) // the servers have looked at each other
		ask := func(what string) {
			t.Helper()
			for name, from := range map[string]rpc.Caller{"client": e.client, "server": e.of("dc1")[1].router} {
				start := time.Now()
				out, err := getIn(t.Context(), from, "dc2", rpc.Default)
				if err != nil || out.By != "dc2-0" || time.Since(start) > 2500*time.Millisecond {
					t.Errorf("%s, %s: %+v, %v after %v", what, name, out, err, time.Since(start))
				}
			}
		}
		ask("cut")
		start := time.Now()
		ask("known")
		if took := time.Since(start); took > 0 {
			t.Errorf("what cannot be reached still costs %v", took)
		}
		e.of("hub")[0].host.Down()
		ask("a hub is down")
		if out, err := rpc.Call(t.Context(), e.client, farAdd, &farChange{rpc.Target{Datacenter: "dc2"}}); err != nil || out.By != "dc2-0" {
			t.Errorf("a change: %+v, %v", out, err)
		}
	})
}
