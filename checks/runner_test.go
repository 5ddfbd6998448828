package checks

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/catalog"
)

// record is a Sink that keeps what it is told, with the time since its start.
type record struct {
	start time.Time
	mu    sync.Mutex
	got   []string
}

func newRecord() *record { return &record{start: time.Now()} }

func (r *record) UpdateCheck(id string, status catalog.Status, output string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, fmt.Sprintf("%s %s %s %s", time.Since(r.start), id, status, output))
}

func (r *record) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.got
	r.got = nil
	return out
}

func (r *record) want(t *testing.T, want ...string) {
	t.Helper()
	if got := r.take(); !slices.Equal(got, want) {
		t.Errorf("results\n%q\nwant\n%q", got, want)
	}
}

func newTestRunner(t *testing.T, sink Sink, change func(*Config, *Deps)) *Runner {
	t.Helper()
	cfg, deps := Config{}, Deps{Sink: sink, Rand: func(n int64) int64 { return n / 2 }}
	if change != nil {
		change(&cfg, &deps)
	}
	r, err := New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func TestTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := newRecord()
		r := newTestRunner(t, sink, nil)
		def := &Definition{TTL: 10 * time.Second}
		for id, left := range map[string]time.Duration{"a": 0, "b": 3 * time.Second, "c": time.Hour} {
			if err := r.Add(id, def, left); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(4 * time.Second)
		sink.want(t, "3s b critical TTL expired")
		if _, err := r.UpdateTTL("a", catalog.Warning, "so \xff so"); err != nil {
			t.Fatal(err)
		}
		sink.want(t, "4s a warning so \uFFFD so")
		time.Sleep(9 * time.Second)
		sink.want(t, "10s c critical TTL expired")
		time.Sleep(2 * time.Second)
		sink.want(t, "14s a critical TTL expired (last output before timeout follows): so \uFFFD so")
		// It expires once, and lives again with the next update.
		time.Sleep(time.Hour)
		sink.want(t)
		deadline, err := r.UpdateTTL("a", catalog.Passing, "")
		if err != nil || !deadline.Equal(time.Now().Add(10*time.Second)) {
			t.Errorf("deadline %v, error %v", deadline, err)
		}
		sink.take()
		r.Remove("a")
		time.Sleep(time.Hour)
		sink.want(t)
		if _, err := r.UpdateTTL("a", catalog.Passing, ""); err == nil || err.Error() != `CheckID "a" does not have associated TTL` {
			t.Errorf("update of a removed check: %v", err)
		}
	})
}

// withProbe makes a check that is probed by a function.
func withProbe(r *Runner, id string, def *Definition, p probe) *check {
	return &check{id: id, def: def, kind: KindTCP, interval: def.Interval, timeout: def.Timeout,
		maxSize: r.cfg.OutputMaxSize, slots: r.probes, probe: p}
}

func TestIntervalAndThresholds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := newRecord()
		r := newTestRunner(t, sink, nil)
		results := []catalog.Status{"passing", "critical", "passing", "critical", "critical", "critical", "passing", "passing", "warning", "warning"}
		n := 0
		def := &Definition{Interval: 10 * time.Second, Timeout: time.Second,
			SuccessBeforePassing: 2, FailuresBeforeWarning: 2, FailuresBeforeCritical: 3}
		if err := r.start(withProbe(r, "x", def, func(context.Context) (catalog.Status, string) {
			s := catalog.Critical
			if n < len(results) {
				s = results[n]
			}
			n++
			return s, fmt.Sprint(n)
		}), 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(96 * time.Second) // starts at half the interval
		sink.want(t, "45s x warning 5", "55s x critical 6", "1m15s x passing 8", "1m35s x warning 10")
	})
}

func TestTimeoutRemoveAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := newRecord()
		r := newTestRunner(t, sink, func(c *Config, _ *Deps) { c.MaxProbes = 1 })
		hang := func(ctx context.Context) (catalog.Status, string) {
			<-ctx.Done()
			return catalog.Critical, context.Cause(ctx).Error()
		}
		def := &Definition{Interval: 10 * time.Second, Timeout: 3 * time.Second}
		for _, id := range []string{"a", "b"} {
			if err := r.start(withProbe(r, id, def, hang), 0); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(12 * time.Second) // both are due at 5 s, one at a time
		got := sink.take()
		if len(got) != 2 || got[0][:2] != "8s" || got[1][:3] != "11s" {
			t.Errorf("results %q, want one at 8 s and one at 11 s", got)
		}
		time.Sleep(8 * time.Second) // in the middle of a probe
		sink.take()
		r.Remove("a")
		r.Remove("b")
		time.Sleep(time.Minute)
		sink.want(t)
		if err := r.start(withProbe(r, "c", def, hang), 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Second) // in the middle of a probe
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if err := r.Add("d", def, 0); err == nil {
			t.Error("a closed runner takes a check")
		}
		time.Sleep(time.Minute)
		sink.want(t)
	})
}

func TestManyChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := newRecord()
		r := newTestRunner(t, sink, func(c *Config, d *Deps) {
			c.MaxProbes = 10
			next := int64(0)
			d.Rand = func(n int64) int64 { next++; return n * next / 1001 }
		})
		before := runtime.NumGoroutine()
		def := &Definition{Interval: 10 * time.Second, Timeout: time.Second}
		var under, most atomic.Int64
		for i := range 1000 {
			if err := r.start(withProbe(r, fmt.Sprint(i), def, func(context.Context) (catalog.Status, string) {
				most.Store(max(most.Load(), under.Add(1)))
				time.Sleep(50 * time.Millisecond)
				under.Add(-1)
				return catalog.Passing, ""
			}), 0); err != nil {
				t.Fatal(err)
			}
		}
		if n := runtime.NumGoroutine() - before; n > 10 {
			t.Errorf("1000 idle checks hold %d goroutines", n)
		}
		time.Sleep(31 * time.Second)
		if got := len(sink.take()); got < 2900 || got > 3100 {
			t.Errorf("%d results of 1000 checks in 31 s, want about 3000", got)
		}
		if most.Load() > 10 {
			t.Errorf("%d probes at once, 10 are permitted", most.Load())
		}
	})
}

func TestAlias(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := newRecord()
		news := make(chan Followed)
		fail := make(chan error, 1)
		r := newTestRunner(t, sink, func(_ *Config, d *Deps) {
			d.Follow = func(ctx context.Context, id string, _ *Definition, last uint64) (Followed, error) {
				select {
				case f := <-news:
					return f, nil
				case err := <-fail:
					return Followed{}, err
				case <-ctx.Done():
					return Followed{}, ctx.Err()
				}
			}
		})
		if err := r.Add("x", &Definition{AliasService: "web"}, 0); err != nil {
			t.Fatal(err)
		}
		for i, step := range []struct {
			in   Followed
			want string
		}{
			{Followed{}, `0s x critical Service "web" could not be found`},
			{Followed{Found: true}, "0s x passing No checks found."},
			{Followed{Found: true, Checks: []*catalog.Check{{Status: catalog.Passing}}}, "0s x passing All checks passing."},
			{Followed{Found: true, Checks: []*catalog.Check{{Name: "a", Status: catalog.Warning}, {Name: "b", Status: catalog.Critical, Output: "down"}}},
				`0s x critical Aliased check "b" failing: down`},
		} {
			step.in.Index = uint64(i + 1)
			news <- step.in
			synctest.Wait()
			sink.want(t, step.want)
		}
		fail <- fmt.Errorf("no servers")
		time.Sleep(time.Minute)
		sink.want(t) // stays as it is
		news <- Followed{Found: true}
		synctest.Wait()
		if got := sink.take(); len(got) != 1 {
			t.Errorf("after a failure: %q", got)
		}
	})
}
