package world_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/view"
	"consul.internal/view/world"
	"go.uber.org/zap/zaptest"
)

// remote is another datacenter: its services by name.
type remote struct {
	services map[string]string // address by name
	cut      atomic.Bool
	end      chan struct{}          // closed by cutting
	barred   atomic.Pointer[string] // a token that nobody knows
	mu       sync.Mutex
	asked    []string // token and name
}

// Session implements view.Source.
func (r *remote) Session(ctx context.Context, _ string) (view.Session, error) {
	if r.cut.Load() {
		return nil, fault.Newf(fault.Unavailable, "the line is cut")
	}
	return &session{r, ctx, make(chan view.Event, 16), time.NewTicker(200 * time.Millisecond)}, nil
}

type session struct {
	r      *remote
	ctx    context.Context
	events chan view.Event
	beat   *time.Ticker
}

func token() view.Token { return view.Token{Cluster: "c", Epoch: 1, Index: 5} }

func (s *session) Send(a view.Ask) error {
	if a.Stop || a.Subject.Kind != view.KindService {
		return nil
	}
	s.r.mu.Lock()
	s.r.asked = append(s.r.asked, a.Secret+" "+a.Subject.Name)
	s.r.mu.Unlock()
	if barred := s.r.barred.Load(); barred != nil && *barred == a.Secret {
		s.events <- view.Event{Subject: a.Subject, Seq: a.Seq, End: view.EndDenied}
		return nil
	}
	e := view.Event{Subject: a.Subject, Seq: a.Seq, Token: token(), Reset: true}
	if addr := s.r.services[a.Subject.Name]; addr != "" {
		n := &catalog.Node{Name: "n", Address: addr, Datacenter: "dc2"}
		e.Changes = []catalog.Change{{Op: catalog.InstanceSet, Instance: &catalog.Instance{
			Node: n, Service: &catalog.Service{ID: a.Subject.Name, Name: a.Subject.Name},
		}}}
	}
	s.events <- e
	return nil
}

func (s *session) Recv() (view.Event, error) {
	select {
	case e := <-s.events:
		return e, nil
	case <-s.beat.C:
		return view.Event{Heartbeat: true, Token: token()}, nil
	case <-s.r.end:
		return view.Event{}, io.EOF
	case <-s.ctx.Done():
		return view.Event{}, s.ctx.Err()
	}
}

func (s *session) Close() error { s.beat.Stop(); return nil }

// newWorld is dc1's view, in which dc2 is another datacenter.
func newWorld(t *testing.T, r *remote) *world.World {
	t.Helper()
	w, err := world.New(world.Config{
		Datacenter: "dc1", Mirror: view.RemoteMirrorConfig, Eager: true,
	}, world.Deps{
		Own: view.NewLocal("dc1", view.NewDirectory()), Source: r, Budget: view.NewBudget(view.DefaultBudgetConfig()), Logger: zaptest.NewLogger(t),
		Known: func(_ context.Context, dc string) (bool, error) { return dc == "dc2", nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWorld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &remote{services: map[string]string{"web": "10.0.0.1"}, end: make(chan struct{})}
		w := newWorld(t, r)
		defer func() {
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		}()
		ask := func(dc, name string) (string, bool, error) {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			v, st, err := w.Service(ctx, dc, name)
			if v == nil || err != nil {
				return "", st.Stale, err
			}
			return v.Instances[0].Node.Address, st.Stale, nil
		}
		want := func(what, dc, name, addr string, stale bool, kind error) {
			t.Helper()
			got, old, err := ask(dc, name)
			if got != addr || kind == nil && (err != nil || old != stale) || kind != nil && !errors.Is(err, kind) {
				t.Errorf("%s: %q, stale %v, %v", what, got, old, err)
			}
		}
		w.SetDatacenters([]string{"dc1", "dc2"})
		time.Sleep(time.Second)
		want("a name", "dc2", "web", "10.0.0.1", false, nil)
		want("a name that is not there", "dc2", "none", "", false, nil)
		want("no such datacenter", "dc9", "web", "", false, fault.NotFound)

		r.cut.Store(true)
		close(r.end)
		time.Sleep(100 * time.Millisecond)
		want("just cut off", "dc2", "web", "10.0.0.1", false, nil)
		want("cut off, it may have come", "dc2", "none", "", false, fault.Unavailable)
		time.Sleep(time.Minute)
		want("long cut off", "dc2", "web", "10.0.0.1", true, nil)
		want("long cut off, never asked for", "dc2", "other", "", false, fault.Unavailable)
		w.SetMaxStale(10 * time.Second)
		want("older than may be", "dc2", "web", "", false, fault.Unavailable)
		w.SetMaxStale(0)

		r.end = make(chan struct{})
		r.cut.Store(false)
		time.Sleep(5 * time.Second)
		want("back again", "dc2", "web", "10.0.0.1", false, nil)
		want("back again, and not there", "dc2", "none", "", false, nil)
		if st, ok := w.Stats("dc2"); !ok || !st.Connected || st.Dropped != 0 {
			t.Errorf("figures %+v, %v", st, ok)
		}
		w.SetDatacenters([]string{"dc1"})
		if _, ok := w.Stats("dc2"); ok {
			t.Error("a datacenter that is no more is kept")
		}
	})
}

// TestPrefetchAndToken: names are prefetched in the name of the token of the moment: of
// another one once it is set, and again when one becomes known that was not.
func TestPrefetchAndToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &remote{services: map[string]string{"web": "10.0.0.1", "pay-a": "10.0.0.2", "pay-b": "10.0.0.3"}, end: make(chan struct{})}
		now := "one"
		var lists atomic.Int64
		w, err := world.New(world.Config{
			Datacenter: "dc1", Eager: true, Prefetch: []string{"web", "pay-*"},
			Mirror: func(dc string) view.MirrorConfig {
				c := view.RemoteMirrorConfig(dc)
				c.Secret = now
				return c
			},
		}, world.Deps{
			Own: view.NewLocal("dc1", view.NewDirectory()), Source: r, Budget: view.NewBudget(view.DefaultBudgetConfig()), Logger: zaptest.NewLogger(t),
			Known: func(_ context.Context, dc string) (bool, error) { return dc == "dc2", nil },
			Services: func(ctx context.Context, _ string, after uint64) ([]string, uint64, error) {
				lists.Add(1)
				if after > 0 {
					<-ctx.Done() // nothing changes
					return nil, 0, ctx.Err()
				}
				return []string{"web", "pay-a", "pay-b", "other"}, 5, nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		}()
		asked := func() []string {
			r.mu.Lock()
			defer r.mu.Unlock()
			out := r.asked
			r.asked = nil
			slices.Sort(out)
			return slices.Compact(out)
		}
		want := func(what string, names ...string) {
			t.Helper()
			if got := asked(); !slices.Equal(got, names) {
				t.Errorf("%s: asked for %q, want %q", what, got, names)
			}
		}
		w.SetDatacenters([]string{"dc1", "dc2"})
		time.Sleep(5 * time.Second)
		want("at first", "one pay-a", "one pay-b", "one web")

		w.SetSecret("one")
		time.Sleep(2 * time.Minute)
		want("the same token")

		now = "two"
		r.barred.Store(&now)
		w.SetSecret(now)
		time.Sleep(5 * time.Second)
		want("a token that is not known yet", "two pay-a", "two pay-b", "two web")
		if lists.Load() != 4 {
			t.Errorf("%d lists; with another token the names are listed anew", lists.Load())
		}
		r.barred.Store(nil)
		time.Sleep(time.Minute)
		want("the token is known now", "two pay-a", "two pay-b", "two web")
		time.Sleep(time.Minute)
		want("all is followed")
		for _, name := range []string{"web", "pay-a", "pay-b"} {
			if v, _, err := w.Service(t.Context(), "dc2", name); err != nil || v == nil {
				t.Errorf("%s: %v, %v", name, v, err)
			}
		}
	})
}
