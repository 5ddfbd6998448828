package prepared_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/catalog"
	"consul.internal/dnsserver/prepared"
	"consul.internal/dnsserver/zone"
	"consul.internal/internal/fault"
)

// servers execute queries: the answer of each is a list of nodes.
type servers struct {
	mu      sync.Mutex
	nodes   map[string]string
	varies  bool
	sorted  bool
	down    bool // calls fail at once
	frozen  bool // calls get no answer
	refused bool // calls bring a token that is not known
	index   uint64
	changed chan struct{}
	calls   int
	waiting int
}

func newServers() *servers {
	return &servers{nodes: map[string]string{}, index: 1, changed: make(chan struct{})}
}

func (s *servers) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	s.index++
	close(s.changed)
	s.changed = make(chan struct{})
}

const hold = 30 * time.Second

func (s *servers) fetch(ctx context.Context, ask zone.Ask, after uint64) (prepared.Answer, error) {
	end := time.Now().Add(hold)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	for {
		switch {
		case s.refused:
			return prepared.Answer{}, fault.Newf(fault.Unavailable, "%w", prepared.ErrRefused)
		case s.down:
			return prepared.Answer{}, fault.Newf(fault.Unavailable, "down")
		case s.frozen, after >= s.index && time.Now().Before(end):
			changed := s.changed
			s.waiting++
			s.mu.Unlock()
			select {
			case <-ctx.Done():
			case <-changed:
			case <-time.After(time.Until(end)):
			}
			s.mu.Lock()
			s.waiting--
			if ctx.Err() != nil {
				return prepared.Answer{}, fault.With(fault.Unavailable, ctx.Err())
			}
			continue
		}
		list, ok := s.nodes[ask.Name]
		if !ok {
			return prepared.Answer{}, fault.Newf(fault.NotFound, "Query not found")
		}
		a := prepared.Answer{Index: s.index, Lasts: !s.varies, Sorted: s.sorted}
		for _, n := range strings.Fields(list) {
			a.Instances = append(a.Instances, &catalog.Instance{Node: &catalog.Node{Name: n}})
		}
		return a, nil
	}
}

// bubble runs a test with fake time. ask gives the nodes of a result, with "stale "
// before them if they are.
func bubble(t *testing.T, cfg prepared.Config, test func(t *testing.T, s *servers, ask func(string) string)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newServers()
		c := prepared.New(cfg, s.fetch)
		test(t, s, func(name string) string {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			res, err := c.Execute(ctx, zone.Ask{Name: name})
			if err != nil {
				return string(fault.Of(err))
			}
			out := ""
			if res.Stale {
				out = "stale "
			}
			var nodes []string
			for _, i := range res.Instances {
				nodes = append(nodes, i.Node.Name)
			}
			return out + strings.Join(nodes, " ")
		})
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if s.waiting != 0 {
			t.Errorf("%d calls wait on after Close", s.waiting)
		}
	})
}

func want(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestFollowed(t *testing.T) {
	bubble(t, prepared.DefaultConfig(), func(t *testing.T, s *servers, ask func(string) string) {
		s.nodes["web"] = "a"
		want(t, "first", ask("web"), "a")
		synctest.Wait()
		calls := s.calls
		for range 100 {
			want(t, "from memory", ask("web"), "a")
		}
		if s.calls != calls {
			t.Errorf("%d calls for what is in memory", s.calls-calls)
		}
		s.set(func() { s.nodes["web"] = "b" })
		synctest.Wait()
		want(t, "after a change", ask("web"), "b")
		time.Sleep(2 * hold) // nothing changes: the servers answer now and then
		want(t, "after a while", ask("web"), "b")
		s.set(func() { s.nodes["web"] = "" })
		synctest.Wait()
		want(t, "without instances", ask("web"), "")
		s.set(func() { delete(s.nodes, "web") })
		want(t, "deleted", ask("web"), "not found")
	})
}

func TestIdle(t *testing.T) {
	cfg := prepared.DefaultConfig()
	bubble(t, cfg, func(t *testing.T, s *servers, ask func(string) string) {
		s.nodes["web"] = "a"
		want(t, "first", ask("web"), "a")
		time.Sleep(cfg.Idle + 2*hold)
		synctest.Wait()
		if s.waiting != 0 {
			t.Error("a name that nobody asks for is followed on")
		}
		s.set(func() { s.nodes["web"] = "b" })
		want(t, "asked for again", ask("web"), "b")
	})
}

func TestStale(t *testing.T) {
	for name, fail := range map[string]func(*servers){
		"down":   func(s *servers) { s.down = true },
		"frozen": func(s *servers) { s.frozen = true },
	} {
		for _, varies := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s varies=%v", name, varies), func(t *testing.T) {
				bubble(t, prepared.DefaultConfig(), func(t *testing.T, s *servers, ask func(string) string) {
					s.nodes["web"], s.varies = "a", varies
					want(t, "first", ask("web"), "a")
					synctest.Wait()
					s.set(func() { fail(s) })
					synctest.Wait()
					if !varies && name == "frozen" {
						return // whoever waits hears of it by the call's own end
					}
					start := time.Now()
					want(t, "no server", ask("web"), "stale a")
					if took := time.Since(start); took > prepared.DefaultConfig().Patience {
						t.Errorf("the old answer took %v", took)
					}
					start = time.Now()
					want(t, "again", ask("web"), "stale a")
					if took := time.Since(start); took != 0 {
						t.Errorf("right after a failure it took %v", took)
					}
					want(t, "never asked for", ask("other"), "unavailable")
					s.set(func() { s.down, s.frozen, s.nodes["web"] = false, false, "b" })
					time.Sleep(prepared.DefaultConfig().Pause)
					want(t, "back", ask("web"), "b")
				})
			})
		}
	}
}

// TestRefused: who may not ask is given nothing that was learned before.
func TestRefused(t *testing.T) {
	for _, varies := range []bool{false, true} {
		bubble(t, prepared.DefaultConfig(), func(t *testing.T, s *servers, ask func(string) string) {
			s.nodes["web"], s.varies = "a", varies
			want(t, "first", ask("web"), "a")
			synctest.Wait()
			s.set(func() { s.refused = true })
			synctest.Wait()
			want(t, "refused", ask("web"), "unavailable")
			s.set(func() { s.refused, s.down = false, true })
			want(t, "no server", ask("web"), "unavailable")
		})
	}
}

// TestForget: what was learned, and what is being learned, is forgotten.
func TestForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers()
		s.nodes["web"] = "a"
		c := prepared.New(prepared.DefaultConfig(), s.fetch)
		ask := func() error {
			_, err := c.Execute(t.Context(), zone.Ask{Name: "web"})
			return err
		}
		for _, during := range []bool{false, true} {
			s.set(func() { s.down, s.frozen = false, during })
			done := make(chan error, 1)
			go func() { done <- ask() }()
			synctest.Wait()
			if during {
				c.Forget("")
				s.set(func() { s.frozen = false })
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if !during {
				c.Forget("")
			}
			s.set(func() { s.down = true })
			if err := ask(); fault.Of(err) != fault.Unavailable {
				t.Errorf("asked during %v: what was forgotten is given: %v", during, err)
			}
			synctest.Wait()
			time.Sleep(prepared.DefaultConfig().Pause)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestVaries(t *testing.T) {
	bubble(t, prepared.DefaultConfig(), func(t *testing.T, s *servers, ask func(string) string) {
		s.nodes["web"], s.varies = "a", true
		want(t, "first", ask("web"), "a")
		s.nodes["web"] = "b"
		want(t, "each is executed", ask("web"), "b")
	})
}

// TestOrder: what is in memory is shuffled, but for what is sorted.
func TestOrder(t *testing.T) {
	for _, sorted := range []bool{false, true} {
		bubble(t, prepared.DefaultConfig(), func(t *testing.T, s *servers, ask func(string) string) {
			s.nodes["web"], s.sorted = "a b c", sorted
			seen := map[string]bool{}
			for range 200 {
				seen[ask("web")] = true
			}
			if sorted != (len(seen) == 1) {
				t.Errorf("sorted %v: %d orders", sorted, len(seen))
			}
		})
	}
}

// TestBounds: neither many names nor many instances are kept for ever.
func TestBounds(t *testing.T) {
	cfg := prepared.DefaultConfig()
	cfg.Names, cfg.Instances, cfg.Followed = 3, 10, 2
	bubble(t, cfg, func(t *testing.T, s *servers, ask func(string) string) {
		for i := range 20 {
			s.nodes[fmt.Sprint(i)] = "x"
		}
		s.nodes["large"] = strings.Repeat("x ", 9)
		s.nodes["none"] = ""
		for i := range 20 {
			want(t, "each", ask(fmt.Sprint(i)), "x")
		}
		synctest.Wait()
		if s.waiting > cfg.Followed {
			t.Errorf("%d names are followed", s.waiting)
		}
		ask("none")
		ask("nope")
		s.set(func() { s.down = true })
		synctest.Wait()
		for name, w := range map[string]string{"19": "stale x", "18": "stale x", "17": "stale x", "16": "unavailable", "none": "unavailable"} {
			want(t, name, ask(name), w)
		}
		s.set(func() { s.down = false })
		time.Sleep(cfg.Pause)
		want(t, "a large one", ask("large"), strings.TrimSpace(s.nodes["large"]))
		ask("0")
		ask("1")
		s.set(func() { s.down = true })
		synctest.Wait()
		want(t, "the large one made room", ask("large"), "unavailable")
	})
}

func TestErrors(t *testing.T) {
	c := prepared.New(prepared.DefaultConfig(), func(context.Context, zone.Ask, uint64) (prepared.Answer, error) {
		return prepared.Answer{}, errors.New("of no kind")
	})
	if _, err := c.Execute(t.Context(), zone.Ask{Name: "x"}); err == nil || err.Error() != "of no kind" {
		t.Error(err)
	}
	for range 2 {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}
