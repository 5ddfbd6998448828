package view_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/internal/fault"
	"consul.internal/view"
)

// relays is a view.Source over the relays of some servers.
type relays struct {
	mu   sync.Mutex
	list []*view.Relay
	next int
}

func (r *relays) Session(ctx context.Context, _ string) (view.Session, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next++
	return r.list[r.next%len(r.list)].Session(ctx, false)
}

func remote(c *view.MirrorConfig, _ *view.MirrorDeps) { *c = view.RemoteMirrorConfig("dc1") }

// local servers follow a far datacenter and hand it on.
func newRelays(t *testing.T, n int, far *network) *relays {
	r := &relays{}
	for range n {
		r.list = append(r.list, view.NewRelay(newMirror(t, far, remote), view.DefaultFeedConfig()))
	}
	return r
}

// ask is say for what may come from afar.
func ask(t *testing.T, m *view.Mirror, name string) string {
	t.Helper()
	s, st, err := m.Service(t.Context(), "", name)
	out := "absent"
	switch {
	case errors.Is(err, view.ErrNotReady):
		return "not ready"
	case err != nil:
		return err.Error()
	case s != nil:
		out = s.Name + ":"
		for _, i := range s.Instances {
			out += " " + i.Node.Name + "/" + i.Service.ID
		}
	}
	if st.Stale {
		out += " stale"
	}
	return out
}

// TestRelay: agents learn the names of a far datacenter through their servers,
// which follow each name once for all of them.
func TestRelay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServer()
		s.apply(5, set("a", "w", "Web", "192.0.2.1"), setNode("a", "10.0.0.1"))
		far := newNetwork(s)
		rs := newRelays(t, 1, far)
		time.Sleep(time.Second)
		var agents []*view.Mirror
		for range 20 {
			m := newMirror(t, rs, remote)
			agents = append(agents, m)
		}
		synctest.Wait()
		for _, m := range agents {
			want(t, "a name", ask(t, m, "web"), "Web: a/w")
			n, _, err := m.Node(t.Context(), "", "a")
			if err != nil || n == nil || n.Node.Address != "10.0.0.1" {
				t.Errorf("a node: %+v, %v", n, err)
			}
			want(t, "no name", ask(t, m, "none"), "absent")
		}
		if n := far.asked(svc("web")); n != 1 {
			t.Errorf("20 agents made %d subscriptions", n)
		}
		s.apply(6, set("b", "w", "web", "192.0.2.2"), set("a", "n", "new", "192.0.2.1"))
		synctest.Wait()
		for _, m := range agents[:3] {
			want(t, "a change", ask(t, m, "web"), "Web: a/w b/w")
			want(t, "a new name", ask(t, m, "new"), "new: a/n")
		}
		s.apply(7, gone("a", "w"), gone("b", "w"))
		synctest.Wait()
		want(t, "it is gone", ask(t, agents[0], "web"), "absent")
		s.restore(3, set("a", "w", "Web", "192.0.2.1"))
		time.Sleep(time.Second)
		want(t, "after a restore", ask(t, agents[0], "web"), "Web: a/w")
		want(t, "after a restore", ask(t, agents[0], "new"), "absent")
	})
}

// TestRelayCutOff: while the datacenter is cut off its names are answered, marked
// stale, and fresh within two seconds when it is back.
func TestRelayCutOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServer()
		s.apply(5, set("a", "w", "web", ""), set("a", "d", "db", ""))
		far := newNetwork(s)
		rs := newRelays(t, 3, far)
		m := newMirror(t, rs, remote)
		time.Sleep(time.Second)
		want(t, "known", ask(t, m, "web"), "web: a/w")
		far.isolate(true)
		s.apply(6, set("b", "w", "web", ""))
		time.Sleep(1500 * time.Millisecond)
		want(t, "just cut", ask(t, m, "web"), "web: a/w")
		for range 60 {
			time.Sleep(time.Second)
			want(t, "cut", ask(t, m, "web"), "web: a/w stale")
			began := time.Now()
			want(t, "unknown", ask(t, m, "db"), "not ready")
			if took := time.Since(began); took > 500*time.Millisecond {
				t.Errorf("unknown took %v", took)
			}
		}
		before := far.sessionsEver()
		far.isolate(false)
		time.Sleep(2 * time.Second)
		want(t, "back", ask(t, m, "web"), "web: a/w b/w")
		want(t, "back", ask(t, m, "db"), "db: a/d")
		if n := far.sessionsEver() - before; n > 3 {
			t.Errorf("%d sessions of three servers", n)
		}
	})
}

// TestRelayDirect: who hands on what it gets itself from others is no source for
// a server that could be one of those.
func TestRelayDirect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServer()
		s.apply(5, set("a", "w", "web", ""))
		far := newNetwork(s)
		far.isolate(true)
		near := newRelays(t, 1, far)
		if _, err := near.list[0].Session(t.Context(), true); !errors.Is(err, fault.Unavailable) {
			t.Errorf("not connected yet: %v", err)
		}
		far.isolate(false)
		time.Sleep(3 * time.Second)
		ses, err := near.list[0].Session(t.Context(), true)
		if err != nil {
			t.Fatal(err)
		}
		if err := ses.Send(view.Ask{Subject: svc("web"), Seq: 1}); err != nil {
			t.Fatal(err)
		}
		want(t, "direct", show(collect(t, ses)), "service web @1.5 reset +a/w")
		far.isolate(true)
		for err = nil; err == nil; {
			_, err = ses.Recv()
		}
		if !errors.Is(err, fault.Unavailable) || errors.Is(err, io.EOF) {
			t.Errorf("cut off: %v", err)
		}
		if err := ses.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestRelayModel: whatever happens to sessions and servers, an agent that is not
// marked stale is at most some seconds behind, and in the end knows what there is.
func TestRelayModel(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, func(t *testing.T) { relayModel(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func relayModel(t *testing.T, r *rand.Rand) {
	s := newServer()
	s.apply(1, set("n0", "w", "web", ""))
	far := newNetwork(s)
	rs := newRelays(t, 2, far)
	agents := []*view.Mirror{newMirror(t, rs, remote), newMirror(t, rs, remote)}
	index := uint64(1)
	truth := map[string]bool{"n0": true}
	now := func() string {
		if len(truth) == 0 {
			return "absent"
		}
		out := "web:"
		for i := range 5 {
			if n := fmt.Sprintf("n%d", i); truth[n] {
				out += " " + n + "/w"
			}
		}
		return out
	}
	history := []string{now()}
	cut := false
	for range 200 {
		switch r.IntN(8) {
		case 0:
			cut = !cut
			far.isolate(cut)
		case 1:
			far.drop()
		default:
			index++
			n := fmt.Sprintf("n%d", r.IntN(5))
			if truth[n] {
				delete(truth, n)
				s.apply(index, gone(n, "w"))
			} else {
				truth[n] = true
				s.apply(index, set(n, "w", "web", ""))
			}
			history = append(history, now())
		}
		time.Sleep(time.Duration(r.IntN(1500)) * time.Millisecond)
		for _, m := range agents {
			got := ask(t, m, "web")
			// What is not stale was true within the last three seconds: the steps of
			// those are among the last twenty.
			if got != "not ready" && got[max(0, len(got)-5):] != "stale" && !slices.Contains(history[max(0, len(history)-20):], got) {
				t.Fatalf("got %q, lately it was %q", got, history[max(0, len(history)-20):])
			}
		}
	}
	far.isolate(false)
	time.Sleep(4 * time.Second)
	for _, m := range agents {
		want(t, "in the end", ask(t, m, "web"), now())
	}
}
