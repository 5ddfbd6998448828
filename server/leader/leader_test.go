package leader_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/rpc"
	"consul.internal/server/leader"
	"go.uber.org/zap"
)

// world is a catalog and a raft cluster in memory, and what was done to them.
type world struct {
	refuse error // what raft says to a server that is to be taken in
	mu     sync.Mutex
	nodes  map[string]*catalog.Node
	checks map[string]*catalog.Check // of life, by node
	consul map[string]*catalog.Service
	trace  []string
	broken error
}

func (w *world) Call(_ context.Context, method string, in, out any) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil {
		return w.broken
	}
	switch in := in.(type) {
	case *rpc.NodeRequest:
		if reply, ok := out.(*rpc.NodeReply); ok {
			reply.Node = w.nodes[in.Node]
			if svc := w.consul[in.Node]; svc != nil {
				reply.Services = []*catalog.Service{svc}
			}
		} else if reply, ok := out.(*rpc.ChecksReply); ok && w.checks[in.Node] != nil {
			reply.Checks = []*catalog.Check{w.checks[in.Node]}
		}
	case *rpc.StateRequest:
		for _, c := range w.checks {
			out.(*rpc.ChecksReply).Checks = append(out.(*rpc.ChecksReply).Checks, c)
		}
	case *rpc.RegisterRequest:
		w.nodes[in.Node.Name] = in.Node
		if in.Service != nil {
			w.consul[in.Node.Name] = in.Service
		}
		for _, c := range in.Checks {
			w.checks[in.Node.Name] = c
			w.trace = append(w.trace, in.Node.Name+" "+string(c.Status))
		}
	case *rpc.DeregisterRequest:
		delete(w.nodes, in.Node)
		delete(w.checks, in.Node)
		w.trace = append(w.trace, in.Node+" gone")
	default:
		return fmt.Errorf("%s is not expected", method)
	}
	return nil
}

func (w *world) AddServer(_ context.Context, id, addr string, voter bool) error {
	if w.refuse != nil {
		return w.refuse
	}
	w.trace = append(w.trace, fmt.Sprintf("raft + %s %s %t", id, addr, voter))
	return nil
}

func (w *world) RemoveServer(_ context.Context, id string) error {
	w.trace = append(w.trace, "raft - "+id)
	return fault.Newf(fault.NotFound, "not there")
}

func (w *world) RemoveForeign(_ context.Context, id string) error {
	w.trace = append(w.trace, "raft foreign "+id)
	return nil
}

// did returns the trace since the last call.
func (w *world) did() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := strings.Join(w.trace, "|")
	w.trace = nil
	return out
}

func client(name string, s leader.Status) leader.Member {
	return leader.Member{ID: "id-" + name, Name: name, Address: "10.0.0.1", Status: s}
}

func newWorld() *world {
	return &world{nodes: map[string]*catalog.Node{}, checks: map[string]*catalog.Check{}, consul: map[string]*catalog.Service{}}
}

func TestMembersInTheCatalog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		var members []leader.Member
		reachable := false
		r := &leader.Reconciler{
			Caller: w, Cluster: w, Self: "id-me", Opened: time.Now(), Forget: 72 * time.Hour, Log: zap.NewNop(),
			Members: func() []leader.Member { return slices.Clone(members) }, Reachable: func(context.Context, leader.Member) bool { return reachable },
		}
		step := func(want string, now ...leader.Member) {
			t.Helper()
			members = now
			if err := r.Reconcile(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := w.did(); got != want {
				t.Errorf("did %q, want %q", got, want)
			}
		}
		server := client("s", leader.Alive)
		server.Server = &leader.ServerInfo{Port: 8300}
		replica := client("r", leader.Alive)
		replica.Server = &leader.ServerInfo{Port: 8300, NonVoter: true}
		me := client("me", leader.Alive)

		step("me passing", me)
		step("", me)
		step("c passing", me, client("c", leader.Alive))
		step("c critical", me, client("c", leader.Failed))
		step("", me, client("c", leader.Failed))
		step("", me, client("c", leader.Alive)) // the pool may not know yet; it does not answer
		reachable = true
		step("c passing", me, client("c", leader.Alive))
		step("", me, client("c", leader.Failed)) // the pool is wrong about it
		reachable = false
		step("c gone", me, client("c", leader.Left))
		step("", me, client("c", leader.Left))
		step("raft + id-s 10.0.0.1:8300 false|s passing|raft + id-r 10.0.0.1:8300 false|r passing", me, server, replica)
		foreign := client("f", leader.Alive)
		foreign.Server = &leader.ServerInfo{Port: 8300, Cluster: "another"}
		r.ClusterID = func() string { return "ours" }
		step("raft + id-s 10.0.0.1:8300 false|raft + id-r 10.0.0.1:8300 false|raft foreign id-f|f passing", me, server, replica, foreign)
		step("raft + id-s 10.0.0.1:8300 false|raft + id-r 10.0.0.1:8300 false|f gone", me, server, replica)
		for _, w.refuse = range []error{fault.Conflict, fault.Unavailable} { // raft has time, and the catalog does not wait for it
			early := client("e", leader.Alive)
			early.Server = &leader.ServerInfo{Port: 8300}
			step("e passing", me, early, server, replica)
			step("e gone", me, server, replica)
		}
		w.refuse = nil
		server.Status = leader.Leaving
		step("raft + id-r 10.0.0.1:8300 false", me, server, replica)
		server.Status = leader.Left
		step("raft - id-s|s gone|raft + id-r 10.0.0.1:8300 false", me, server, replica)
		step("c passing|r gone", me, client("c", leader.Alive)) // r was forgotten by the pool

		// Another node has taken the name: what is told of the old one is not about it.
		stranger := client("c", leader.Failed)
		stranger.ID = "id-old"
		step("", me, stranger)
		stranger.Status = leader.Left
		step("", me, stranger)

		heir := client("c", leader.Alive) // the machine was set up anew, under the same name
		heir.ID = "id-heir"
		step("c gone|c passing", me, heir)
		step("", me, heir)

		// A leader leaves by handing over, not by throwing itself out.
		me.Status = leader.Left
		step("", me, heir)
	})
}

// TestNeverMet: after all servers were down, the pool of the new leader does not
// know the agents yet. They get time, then turn critical, and go at last.
func TestNeverMet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.nodes["c"] = &catalog.Node{Name: "c"}
		w.checks["c"] = &catalog.Check{Node: "c", CheckID: catalog.SerfHealth, Status: catalog.Passing}
		w.nodes["external"] = &catalog.Node{Name: "external"} // has no check of its life
		r := &leader.Reconciler{
			Caller: w, Opened: time.Now(), Forget: 72 * time.Hour, Log: zap.NewNop(), Members: func() []leader.Member { return nil },
		}
		for _, step := range []struct {
			after time.Duration
			want  string
		}{{0, ""}, {50 * time.Second, ""}, {11 * time.Second, "c critical"}, {time.Hour, ""}, {72 * time.Hour, "c gone"}} {
			time.Sleep(step.after)
			if err := r.Reconcile(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := w.did(); got != step.want {
				t.Errorf("after %s more: %q, want %q", step.after, got, step.want)
			}
		}
	})
}

// TestRun: at once, at a change, soon after an error or a doubt, and each minute.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		changed := make(chan struct{}, 1)
		var mu sync.Mutex
		m := client("c", leader.Alive)
		reachable := true
		set := func(f func()) { mu.Lock(); defer mu.Unlock(); f() }
		r := &leader.Reconciler{
			Caller: w, Opened: time.Now(), Log: zap.NewNop(), Changed: changed,
			Members:   func() []leader.Member { mu.Lock(); defer mu.Unlock(); return []leader.Member{m} },
			Reachable: func(context.Context, leader.Member) bool { mu.Lock(); defer mu.Unlock(); return reachable },
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); r.Run(ctx) }()
		at := func(d time.Duration, want string) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if got := w.did(); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
		at(0, "c passing")
		set(func() { m.Status = leader.Failed })
		changed <- struct{}{}
		at(0, "") // it answers
		set(func() { reachable = false })
		at(1100*time.Millisecond, "c critical") // looked at again without being told
		w.mu.Lock()
		w.broken = errors.New("no leader")
		w.mu.Unlock()
		set(func() { m.Status = leader.Alive; reachable = true })
		changed <- struct{}{}
		at(0, "")
		w.mu.Lock()
		w.broken = nil
		w.mu.Unlock()
		at(1100*time.Millisecond, "c passing")
		set(func() { m.Status = leader.Left })
		at(61*time.Second, "c gone")
		cancel()
		<-done
	})
}
