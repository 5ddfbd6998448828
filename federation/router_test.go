package federation_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/federation"
	"consul.internal/internal/fault"
	"consul.internal/rpc"
	"go.uber.org/zap/zaptest"
)

// scenario is a fault, and what a call made meanwhile gives.
type scenario struct {
	before func(t *testing.T, c *cluster) // the call is made after it
	during func(t *testing.T, c *cluster) // beside the call; the servers follow id-0 so far
	via    func(c *cluster) rpc.Caller    // nil = the client
	call   func(ctx context.Context, via rpc.Caller) (*answer, error)
	by     string     // who performed it
	kind   fault.Kind // of the error
	text   string
	done   int64 // changes performed in all
	atMost time.Duration
}

func doPut(ctx context.Context, via rpc.Caller) (*answer, error) {
	return rpc.Call(ctx, via, put, &change{})
}

func doAdd(ctx context.Context, via rpc.Caller) (*answer, error) {
	return rpc.Call(ctx, via, add, &change{})
}

func doGet(in *query) func(context.Context, rpc.Caller) (*answer, error) {
	return func(ctx context.Context, via rpc.Caller) (*answer, error) { return rpc.Call(ctx, via, get, in) }
}

func server0(c *cluster) rpc.Caller { return c.servers[0].router }
func server1(c *cluster) rpc.Caller { return c.servers[1].router }

// noAnswers freezes the leader: calls reach it and are performed, but no answer comes.
func noAnswers(_ *testing.T, c *cluster) { c.servers[0].frozen.Store(true) }

func after(d time.Duration, do func(*testing.T, *cluster)) func(*testing.T, *cluster) {
	return func(t *testing.T, c *cluster) { time.Sleep(d); do(t, c) }
}

func electSecond(_ *testing.T, c *cluster) { c.elect("id-1") }
func killFirst(_ *testing.T, c *cluster)   { c.servers[0].host.Down() }
func loseLeader(_ *testing.T, c *cluster)  { c.elect("") }

func both(steps ...func(*testing.T, *cluster)) func(*testing.T, *cluster) {
	return func(t *testing.T, c *cluster) {
		for _, step := range steps {
			step(t, c)
		}
	}
}

func scenarios() map[string]scenario {
	return map[string]scenario{
		"client, all well":              {call: doPut, by: "id-0", done: 1},
		"leader, all well":              {via: server0, call: doPut, by: "id-0", done: 1},
		"follower, all well":            {via: server1, call: doPut, by: "id-0", done: 1},
		"final errors come back":        {call: doGet(&query{Key: "bad"}), kind: fault.Invalid, text: "no such key"},
		"another datacenter":            {call: doGet(&query{ReadOptions: rpc.ReadOptions{Target: rpc.Target{Datacenter: "zz"}}}), kind: fault.NoRoute, text: "No path to datacenter"},
		"the own datacenter by name":    {call: doGet(&query{ReadOptions: rpc.ReadOptions{Target: rpc.Target{Datacenter: "dc1"}}}), by: "id-0"},
		"no leader, from the client":    {before: loseLeader, call: doPut, kind: fault.NoLeader, text: "No cluster leader", atMost: hold},
		"no leader, from a server":      {before: loseLeader, via: server1, call: doPut, kind: fault.NoLeader, text: "No cluster leader", atMost: hold},
		"no leader, read":               {before: loseLeader, call: doGet(&query{}), kind: fault.NoLeader, text: "No cluster leader", atMost: hold},
		"no leader, stale read, server": {before: loseLeader, via: server1, call: doGet(&query{ReadOptions: rpc.ReadOptions{Consistency: rpc.Stale}}), by: "id-1"},
		"election, from the client": {
			before: loseLeader, during: after(1300*time.Millisecond, electSecond), call: doPut, by: "id-1", done: 1, atMost: 1500 * time.Millisecond,
		},
		"election, from a server": {
			before: loseLeader, during: after(1300*time.Millisecond, electSecond), via: server0, call: doAdd, by: "id-1", done: 1, atMost: 1400 * time.Millisecond,
		},
		"leader killed, from the client": {
			before: killFirst, during: both(after(time.Second, loseLeader), after(500*time.Millisecond, electSecond)), call: doAdd, by: "id-1", done: 1, atMost: 1700 * time.Millisecond,
		},
		"leader killed, from a follower": {
			before: killFirst, during: both(after(time.Second, loseLeader), after(500*time.Millisecond, electSecond)), via: server1, call: doPut, by: "id-1", done: 1, atMost: 1600 * time.Millisecond,
		},
		"leader gives no answers, idempotent": {
			before: noAnswers, during: after(1500*time.Millisecond, electSecond), via: server1, call: doPut, by: "id-1", atMost: 1700 * time.Millisecond, done: -1,
		},
		"leader gives no answers, client, idempotent": {
			before: noAnswers, during: after(1500*time.Millisecond, electSecond), call: doPut, by: "id-1", atMost: 2200 * time.Millisecond, done: -1,
		},
		"not idempotent, killed on the way": {
			before: noAnswers, during: both(after(500*time.Millisecond, killFirst), electSecond), via: server1, call: doAdd, kind: fault.Unknown, done: 1, atMost: time.Second,
		},
		"not idempotent, no answer": {
			before: noAnswers, via: server1, call: doAdd, kind: fault.Unknown, done: 1, atMost: hold,
		},
		"not idempotent, cut off on the way": {
			before: noAnswers, during: after(500*time.Millisecond, func(_ *testing.T, c *cluster) { c.net.Isolate(addr(0)) }),
			via: server1, call: doAdd, kind: fault.Unknown, done: 1, atMost: 3 * time.Second,
		},
		"idempotent, answers never come, no leader after": {
			before: noAnswers, during: after(500*time.Millisecond, func(_ *testing.T, c *cluster) { c.net.Isolate(addr(0)); c.elect("") }),
			via: server1, call: doPut, kind: fault.Unknown, atMost: hold, done: -1,
		},
		"bridge: A cannot reach the leader and knows it": {
			before: func(_ *testing.T, c *cluster) { c.net.Cut(addr(0), addr(1)); c.servers[1].follow("") },
			via:    server1, call: doPut, by: "id-0", done: 1, atMost: 1100 * time.Millisecond,
		},
		"bridge: A cannot reach the leader and does not know it": {
			before: func(_ *testing.T, c *cluster) { c.net.Cut(addr(0), addr(1)) },
			via:    server1, call: doAdd, by: "id-0", done: 1, atMost: 1500 * time.Millisecond,
		},
		"all servers refuse": {
			before: func(_ *testing.T, c *cluster) {
				for _, s := range c.servers {
					s.host.Down()
				}
			},
			call: doPut, kind: fault.NoLeader, text: "No cluster leader", atMost: hold,
		},
		"two of three refuse": {
			before: func(_ *testing.T, c *cluster) { c.servers[1].host.Down(); c.servers[2].host.Down() },
			call:   doPut, by: "id-0", done: 1, atMost: 100 * time.Millisecond,
		},
		"two of three are cut off": {
			before: func(_ *testing.T, c *cluster) { c.net.Isolate(addr(1)); c.net.Isolate(addr(2)) },
			call:   doPut, by: "id-0", done: 1, atMost: 3100 * time.Millisecond,
		},
	}
}

func TestScenarios(t *testing.T) {
	for name, sc := range scenarios() {
		t.Run(name, func(t *testing.T) {
			for range 5 { // the order of servers is random
				synctest.Test(t, func(t *testing.T) { run(t, sc) })
			}
		})
	}
}

func run(t *testing.T, sc scenario) {
	c := newCluster(t, 3)
	defer c.close(t)
	if sc.before != nil {
		sc.before(t, c)
	}
	meanwhile := make(chan struct{})
	go func() {
		defer close(meanwhile)
		if sc.during != nil {
			sc.during(t, c)
		}
	}()
	var via rpc.Caller = c.client
	if sc.via != nil {
		via = sc.via(c)
	}
	start := time.Now()
	out, err := sc.call(t.Context(), via)
	took := time.Since(start)
	<-meanwhile
	if sc.kind != "" {
		if fault.Of(err) != sc.kind || sc.text != "" && err.Error() != sc.text {
			t.Errorf("%q: %v, want %q %q", fault.Of(err), err, sc.kind, sc.text)
		}
	} else if err != nil || out.By != sc.by {
		t.Errorf("%+v, %v, want it done by %s", out, err, sc.by)
	}
	if took > sc.atMost {
		t.Errorf("took %v, at most %v", took, sc.atMost)
	}
	done := int64(0)
	for _, s := range c.servers {
		done += s.done.Load()
	}
	if sc.done >= 0 && done != sc.done {
		t.Errorf("%d changes were performed, want %d", done, sc.done)
	}
}

// TestCallTimeout: a client waits for an answer no longer than it was told, but as long
// as it asked for where it blocks.
func TestCallTimeout(t *testing.T) {
	for name, one := range map[string]struct {
		before func(*testing.T, *cluster)
		call   func(context.Context, rpc.Caller) (*answer, error)
		kind   fault.Kind
	}{
		"no answers, to be tried again": {noAnswers, doPut, fault.Unknown},
		"no answers, not idempotent":    {noAnswers, doAdd, fault.Unknown},
		"no leader":                     {loseLeader, doPut, fault.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, 1)
				defer c.close(t)
				one.before(t, c)
				for _, limit := range []time.Duration{3 * time.Second, time.Second} {
					federation.SetCallTimeout(c.client, limit)
					start := time.Now()
					_, err := one.call(t.Context(), c.client)
					if took := time.Since(start); fault.Of(err) != one.kind || took < limit*3/4 || took > limit {
						t.Errorf("%v (%s) after %v of %v", err, fault.Of(err), took, limit)
					}
				}
				federation.SetCallTimeout(c.client, time.Minute) // what waits for a leader does not do so for longer
				start := time.Now()
				if _, err := one.call(t.Context(), c.client); err == nil || time.Since(start) > hold {
					t.Errorf("%v after %v", err, time.Since(start))
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		defer c.close(t)
		federation.SetCallTimeout(c.client, time.Second)
		start := time.Now()
		out, err := doGet(&query{ReadOptions: rpc.ReadOptions{MinIndex: 1, MaxWait: time.Minute}})(t.Context(), c.client)
		if err != nil || !out.NotModified || time.Since(start) < time.Minute {
			t.Errorf("a blocking call: %+v, %v after %v", out, err, time.Since(start))
		}
	})
}

// TestNoServers: a client that knows nobody says so at once.
func TestNoServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		defer c.close(t)
		c.client.SetServers(nil)
		start := time.Now()
		_, err := doPut(t.Context(), c.client)
		if fault.Of(err) != fault.NoLeader || err.Error() != "No known Consul servers" || time.Since(start) > 0 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if _, err := rpc.Begin(t.Context(), c.client, chat); fault.Of(err) != fault.NoLeader {
			t.Errorf("stream: %v", err)
		}
	})
}

// TestLone: a server alone waits for its own election.
func TestLone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		local := &server{id: "me"}
		local.follow("")
		r, err := federation.New(federation.Config{Datacenter: "dc1", NodeID: "me", HoldTimeout: hold}, federation.Deps{Local: local, Contract: contract(), Logger: zaptest.NewLogger(t)})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		time.AfterFunc(2*time.Second, func() { local.follow("me") })
		start := time.Now()
		if out, err := doAdd(t.Context(), r); err != nil || out.By != "me" || time.Since(start) > 2100*time.Millisecond {
			t.Errorf("%+v, %v after %v", out, err, time.Since(start))
		}
		local.follow("")
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := doPut(ctx, r); !errors.Is(err, context.Canceled) || !errors.Is(err, fault.Unavailable) {
			t.Errorf("a caller that gives up: %v", err)
		}
	})
}

// TestBlockingMovesOn: a blocking query survives the death of its server, and
// ends when it was asked to.
func TestBlockingMovesOn(t *testing.T) {
	for name, end := range map[string]func(c *cluster, s *server){
		"killed":  func(_ *cluster, s *server) { s.host.Down() },
		"cut off": func(c *cluster, s *server) { c.net.Isolate(s.host.Addr().String()) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, 3)
				defer c.close(t)
				start := time.Now()
				go func() {
					time.Sleep(20 * time.Second)
					end(c, c.servers[0])
					c.elect("")
					time.Sleep(2 * time.Second)
					c.elect("id-1")
				}()
				out, err := doGet(&query{ReadOptions: rpc.ReadOptions{MinIndex: 1, MaxWait: time.Minute}})(t.Context(), c.client)
				if err != nil || out.By != "id-1" || !out.NotModified {
					t.Errorf("%+v, %v", out, err)
				}
				if took := time.Since(start); took < time.Minute || took > 61*time.Second {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

// TestPreferred: a client stays with one server, passes over it at once when it
// fails, and does not come back to one that is silent.
func TestPreferred(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close(t)
		stale := doGet(&query{ReadOptions: rpc.ReadOptions{Consistency: rpc.Stale}})
		ask := func() string {
			t.Helper()
			out, err := stale(t.Context(), c.client)
			if err != nil {
				t.Fatal(err)
			}
			return out.By
		}
		first := ask()
		for range 20 {
			if by := ask(); by != first {
				t.Fatalf("asked %s, then %s", first, by)
			}
		}
		for _, s := range c.servers {
			if s.id == first {
				c.net.Isolate(s.host.Addr().String())
			}
		}
		start := time.Now()
		second := ask()
		if took := time.Since(start); second == first || took > 1100*time.Millisecond {
			t.Errorf("asked %s after %v", second, took)
		}
		start = time.Now()
		for range 20 {
			if by := ask(); by != second {
				t.Fatalf("asked %s, then %s", second, by)
			}
		}
		if took := time.Since(start); took > 0 {
			t.Errorf("calls after the first still take %v", took)
		}
		// In an hour every server that lives gets its share, and the silent one none.
		seen := map[string]int{}
		for range 60 {
			time.Sleep(time.Minute)
			start := time.Now()
			seen[ask()]++
			if time.Since(start) > 0 {
				t.Errorf("a call took %v", time.Since(start))
			}
		}
		if len(seen) != 2 || seen[first] != 0 {
			t.Errorf("asked %v", seen)
		}
	})
}

// TestMoved: a server is found where it is now, and one that has left is not asked.
func TestMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		defer c.close(t)
		if _, err := doPut(t.Context(), c.client); err != nil {
			t.Fatal(err)
		}
		s := c.servers[0]
		if err := s.remote.Close(); err != nil {
			t.Fatal(err)
		}
		s.host = c.net.Host("10.0.0.99")
		c.open(t, s)
		c.client.SetServers([]federation.Server{{ID: s.id, Name: "s0", Addr: "10.0.0.99:8300", Datacenter: "dc1"}})
		start := time.Now()
		if out, err := doAdd(t.Context(), c.client); err != nil || out.By != s.id || time.Since(start) > 0 {
			t.Errorf("%+v, %v", out, err)
		}
	})
}

// TestTo: a call for one certain server reaches that one or nobody.
func TestTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close(t)
		stale := doGet(&query{ReadOptions: rpc.ReadOptions{Consistency: rpc.Stale}})
		for _, id := range []string{"id-0", "id-1", "id-2"} {
			if out, err := stale(t.Context(), c.servers[1].router.To(id)); err != nil || out.By != id {
				t.Errorf("%s: %+v, %v", id, out, err)
			}
		}
		if _, err := doPut(t.Context(), c.servers[0].router.To("id-2")); !errors.Is(err, fault.NotLeader) {
			t.Errorf("a change at a follower: %v", err)
		}
		if _, err := stale(t.Context(), c.servers[0].router.To("id-9")); !errors.Is(err, fault.Unavailable) {
			t.Errorf("nobody: %v", err)
		}
	})
}

// TestCircles: servers that take each other for the leader do not send a call
// round for ever.
func TestCircles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		defer c.close(t)
		c.servers[0].follow("id-1")
		c.servers[1].follow("id-0")
		if _, err := doPut(t.Context(), c.client); !errors.Is(err, fault.NoLeader) {
			t.Error(err)
		}
		calls := c.servers[0].calls.Load() + c.servers[1].calls.Load()
		if calls > 600 { // four a round, a round each 75 to 150 ms
			t.Errorf("%d calls for one", calls)
		}
	})
}

// TestStream: a conversation that fails begins anew with another server.
func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		defer c.close(t)
		say := func() (string, *rpc.Talk[change, answer]) {
			t.Helper()
			talk, err := rpc.Begin(t.Context(), c.client, chat)
			if err != nil {
				t.Fatal(err)
			}
			if err := talk.Send(&change{}); err != nil {
				t.Fatal(err)
			}
			out, err := talk.Recv()
			if err != nil {
				t.Fatal(err)
			}
			return out.By, talk
		}
		first, talk := say()
		for _, s := range c.servers {
			if s.id == first {
				s.host.Down()
			}
		}
		if _, err := talk.Recv(); !errors.Is(err, fault.Unavailable) {
			t.Errorf("the server died: %v", err)
		}
		start := time.Now()
		second, talk := say()
		if second == first || time.Since(start) > 0 {
			t.Errorf("with %s after %v", second, time.Since(start))
		}
		if err := talk.Close(); err != nil {
			t.Error(err)
		}
	})
}
