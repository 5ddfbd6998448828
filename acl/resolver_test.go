package acl

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/internal/fault"
)

// servers answer what a Resolver asks.
type servers struct {
	mu    sync.Mutex
	asked int
	slow  time.Duration
	err   error                // nobody answers
	rules map[string]string    // by secret; none = no token
	ends  map[string]time.Time // of tokens that end
}

func (s *servers) ask(ctx context.Context, secret string) (*Resolved, error) {
	s.mu.Lock()
	s.asked++
	slow, err := s.slow, s.err
	rules, ok := s.rules[secret]
	end, ending := s.ends[secret]
	s.mu.Unlock()
	select {
	case <-time.After(slow):
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, fault.Newf(fault.NotFound, "ACL not found")
	}
	out := &Resolved{Accessor: "of-" + secret, Policies: []*Policy{{ID: "p", Name: "p", Rules: rules}}}
	if ending {
		out.Ends = &end
	}
	return out, nil
}

func (s *servers) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// count gives how often was asked since it was called last.
func (s *servers) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.asked
	s.asked = 0
	return n
}

const readsNodes = `node_prefix "" { policy = "read" }`

func resolver(t *testing.T, s *servers, cfg ResolverConfig) *Resolver {
	t.Helper()
	if s.rules == nil {
		s.rules = map[string]string{"t": readsNodes}
	}
	cfg.Datacenter = "dc1"
	r, err := NewResolver(cfg, s.ask)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// may asks for node:read; the word says what came of it.
func may(t *testing.T, r *Resolver, secret string) string {
	t.Helper()
	b, err := r.Who(t.Context(), secret)
	switch {
	case err != nil && errors.Is(err, fault.Denied):
		return "no token"
	case err != nil:
		return err.Error()
	case b.Need(Node, "n", Read) == nil:
		return "yes"
	}
	return "no"
}

func want(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestResolverRemembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &servers{}
		r := resolver(t, s, ResolverConfig{TTL: 30 * time.Second})
		for range 5 {
			want(t, "a token", may(t, r, "t"), "yes")
			want(t, "no token", may(t, r, "x"), "no token")
		}
		if n := s.count(); n != 2 {
			t.Errorf("asked %d times", n)
		}
		s.set(func() { delete(s.rules, "t"); s.rules["x"] = readsNodes })
		want(t, "taken back, and not yet known", may(t, r, "t"), "yes")
		time.Sleep(2 * time.Second)
		want(t, "made meanwhile", may(t, r, "x"), "yes")
		time.Sleep(29 * time.Second)
		want(t, "taken back", may(t, r, "t"), "no token")
	})
}

func TestResolverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &servers{ends: map[string]time.Time{"t": time.Now().Add(time.Minute)}}
		r := resolver(t, s, ResolverConfig{TTL: time.Hour})
		want(t, "before its end", may(t, r, "t"), "yes")
		time.Sleep(time.Minute)
		want(t, "at its end", may(t, r, "t"), "no token")
	})
}

func TestResolverAsksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &servers{slow: time.Second}
		r := resolver(t, s, ResolverConfig{TTL: time.Minute})
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { want(t, "together", may(t, r, "t"), "yes") })
		}
		wg.Wait()
		if n := s.count(); n != 1 {
			t.Errorf("asked %d times", n)
		}
		// Who gives up is let go, and does not keep the others from the answer.
		s.set(func() { s.rules["slow"] = readsNodes })
		hurried, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := r.Who(hurried, "slow"); fault.Of(err) != fault.Unavailable {
			t.Errorf("who gave up got %v", err)
		}
		want(t, "who waited", may(t, r, "slow"), "yes")
		if n := s.count(); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
}

func TestResolverDown(t *testing.T) {
	for _, tt := range []struct {
		policy       string
		allow        bool
		known, other string
	}{
		{DownExtend, false, "yes", "no"},
		{DownExtend, true, "yes", "yes"},
		{DownAsync, false, "yes", "no"},
		{DownAllow, false, "yes", "yes"},
		{DownDeny, false, "no", "no"},
		{DownDeny, true, "no", "no"},
	} {
		t.Run(tt.policy+" "+strconv.FormatBool(tt.allow), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &servers{}
				r := resolver(t, s, ResolverConfig{Options: Options{DefaultAllow: tt.allow}, TTL: 10 * time.Second, DownPolicy: tt.policy})
				want(t, "before", may(t, r, "t"), "yes")
				s.set(func() { s.err = fault.Newf(fault.Unavailable, "no server") })
				want(t, "within its time", may(t, r, "t"), "yes")
				for range 3 {
					time.Sleep(11 * time.Second)
					want(t, "known", may(t, r, "t"), tt.known)
					want(t, "not known", may(t, r, "other"), tt.other)
				}
				if _, err := r.Said(t.Context(), "other"); fault.Of(err) != fault.Unavailable {
					t.Errorf("said of who is not known: %v", err)
				}
				s.set(func() { s.err = nil })
				time.Sleep(11 * time.Second)
				may(t, r, "other") // async-cache learns behind the request's back
				synctest.Wait()
				want(t, "after", may(t, r, "other"), "no token")
				want(t, "after", may(t, r, "t"), "yes")
			})
		})
	}
}

// TestResolverAsync: no request waits for what is known already.
func TestResolverAsync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &servers{slow: time.Second}
		r := resolver(t, s, ResolverConfig{TTL: 10 * time.Second, DownPolicy: DownAsync})
		want(t, "the first", may(t, r, "t"), "yes")
		s.set(func() { delete(s.rules, "t") })
		time.Sleep(11 * time.Second)
		began := time.Now()
		want(t, "what was known", may(t, r, "t"), "yes")
		if waited := time.Since(began); waited != 0 {
			t.Errorf("waited for %s", waited)
		}
		time.Sleep(1001 * time.Millisecond)
		want(t, "what is known now", may(t, r, "t"), "no token")
	})
}

// TestResolverDoesNotWaitAgain: servers that do not answer make one request slow, not all.
func TestResolverDoesNotWaitAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &servers{rules: map[string]string{"t": readsNodes, "u": readsNodes}}
		r := resolver(t, s, ResolverConfig{TTL: 10 * time.Second})
		want(t, "before", may(t, r, "t"), "yes")
		want(t, "another before", may(t, r, "u"), "yes")
		s.set(func() { s.slow = time.Hour })
		time.Sleep(11 * time.Second)
		began := time.Now()
		want(t, "the first", may(t, r, "t"), "yes")
		if waited := time.Since(began); waited != askTimeout {
			t.Errorf("the first waited for %s", waited)
		}
		want(t, "the next", may(t, r, "t"), "yes")
		want(t, "the next with another token", may(t, r, "u"), "yes")
		if waited := time.Since(began); waited != askTimeout {
			t.Errorf("the next waited, too: %s", waited)
		}
		time.Sleep(downPause)
		s.set(func() { s.slow = 0; delete(s.rules, "u") })
		want(t, "the other when they are back", may(t, r, "u"), "no token")
	})
}

func TestResolverIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &servers{}
		r := resolver(t, s, ResolverConfig{TTL: time.Hour})
		want(t, "a token", may(t, r, "t"), "yes")
		for i := range 2 * maxRemembered {
			want(t, "a guess", may(t, r, "guess"+strconv.Itoa(i)), "no token")
		}
		s.set(func() { s.err = fault.Newf(fault.Unavailable, "no server") })
		want(t, "a token after many guesses", may(t, r, "t"), "yes")
		s.set(func() {
			s.err = nil
			for i := range 2 * maxRemembered {
				s.rules["many"+strconv.Itoa(i)] = readsNodes
			}
		})
		for i := range 2 * maxRemembered {
			want(t, "one of many", may(t, r, "many"+strconv.Itoa(i)), "yes")
		}
		if len(r.known) > maxRemembered || len(r.unknown) > maxRemembered || len(r.flights) != 0 {
			t.Errorf("%d tokens, %d guesses, %d flights", len(r.known), len(r.unknown), len(r.flights))
		}
	})
}

func TestResolverAnonymousAndClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &servers{rules: map[string]string{AnonymousSecret: readsNodes, "broken": `nonsense {`}, slow: time.Second}
		r := resolver(t, s, ResolverConfig{TTL: time.Hour})
		want(t, "nobody", may(t, r, ""), "yes")
		want(t, "a policy that cannot be read", may(t, r, "broken"), "no token")
		var wg sync.WaitGroup
		wg.Go(func() { want(t, "under way", may(t, r, "t"), "no") })
		synctest.Wait()
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
		if _, err := r.Who(t.Context(), "later"); fault.Of(err) != fault.Unavailable {
			t.Errorf("after the end: %v", err)
		}
	})
	if _, err := NewResolver(ResolverConfig{DownPolicy: "perhaps"}, nil); err == nil {
		t.Error("a down policy that there is not")
	}
}
