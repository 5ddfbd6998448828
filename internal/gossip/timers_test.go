package gossip

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/internal/memnet"
)

// deaths counts the failures that a pool's members have reported.
func deaths(pools []*Pool, collected []func() []Event) (n int) {
	for i := range pools {
		for _, e := range collected[i]() {
			if e.Kind == Failed {
				n++
			}
		}
	}
	return n
}

// kill takes a member away without a word and returns when the first and the last
// of the others knew.
func kill(l *lab, pools []*Pool, victim int) (first, all time.Duration) {
	l.t.Helper()
	name := pools[victim].cfg.Name
	l.net.Host(pools[victim].cfg.Bind.Addr().String()).Down()
	began := time.Now()
	for {
		knowing := 0
		for i, p := range pools {
			if i != victim && status(p, name) == StatusFailed {
				knowing++
			}
		}
		if knowing > 0 && first == 0 {
			first = time.Since(began)
		}
		if knowing == len(pools)-1 {
			return first, time.Since(began)
		}
		if time.Since(began) > time.Minute {
			l.t.Fatalf("only %d of %d saw that %s died", knowing, len(pools)-1, name)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestTimers repeats in short what DefaultLAN was chosen by: how soon a death is
// known, and how rarely loss looks like one; that a true death is seen under the
// same loss shows that the test sees them. The library's chance is not seeded, so
// one false death (seen by four) is borne; that a leader finds somebody silent who
// lives is not.
func TestTimers(t *testing.T) {
	var found, first, all []time.Duration
	for round := range 20 {
		synctest.Test(t, func(t *testing.T) {
			s, f, a := death(t, uint64(round), 0)
			found, first, all = append(found, s), append(first, f), append(all, a)
		})
	}
	for _, times := range [][]time.Duration{found, first, all} {
		slices.Sort(times)
	}
	t.Logf("5 members, one killed, 20 rounds: silent to a leader after median %v worst %v; first known median %v worst %v; everywhere median %v worst %v",
		found[10], found[19], first[10], first[19], all[10], all[19])
	if found[10] > 2*time.Second || found[0] < time.Second || first[10] > 3*time.Second || all[10] > 3*time.Second {
		t.Error("a death is known too late, or before it can be")
	}
	for seed := range 2 {
		synctest.Test(t, func(t *testing.T) {
			silent, dead := loss(t, uint64(100+seed), 5*time.Minute)
			t.Logf("5 members at 30%% loss for 5 minutes: %d false deaths, of which a leader believed %d", dead, silent)
			if dead > 4 || silent > 0 {
				t.Error("loss kills members")
			}
		})
	}
}

// leads does in short what a leader does with doubts, and counts those whom it
// finds silent.
type leads struct {
	mu     sync.Mutex
	silent map[string]time.Time // when
}

func (p *Pool) lead() *leads {
	found := &leads{silent: map[string]time.Time{}}
	p.run(func() {
		looking := map[string]bool{}
		for {
			select {
			case name := <-p.Doubts():
				found.mu.Lock()
				if !looking[name] {
					looking[name] = true
					p.run(func() {
						silent := p.Silent(p.ctx, name)
						found.mu.Lock()
						defer found.mu.Unlock()
						delete(looking, name)
						if _, known := found.silent[name]; silent && !known {
							found.silent[name] = time.Now()
						}
					})
				}
				found.mu.Unlock()
			case <-p.ctx.Done():
				return
			}
		}
	})
	return found
}

func (f *leads) count() int { f.mu.Lock(); defer f.mu.Unlock(); return len(f.silent) }

func (f *leads) when(name string) time.Time { f.mu.Lock(); defer f.mu.Unlock(); return f.silent[name] }

// TestSweep needs GOSSIP_SWEEP=<rounds>: what the timers of a pool of five cost and
// give. Each line: kills, and the loss of 30 % for ten times as many minutes.
func TestSweep(t *testing.T) {
	rounds, err := strconv.Atoi(os.Getenv("GOSSIP_SWEEP"))
	if err != nil {
		t.Skip("set GOSSIP_SWEEP to the number of kills; 40 take some minutes")
	}
	for _, c := range []struct {
		interval  time.Duration
		mult, max int
	}{{500, 3, 4}, {500, 2, 4}, {500, 4, 4}, {400, 3, 4}, {300, 3, 4}, {300, 2, 2}, {1000, 3, 4}} {
		mod = func(cfg *Config) {
			tm := &cfg.Timers
			tm.ProbeInterval, tm.ProbeTimeout = c.interval*time.Millisecond, c.interval*time.Millisecond/2
			tm.SuspicionMult, tm.SuspicionMaxMult = c.mult, c.max
		}
		var found, all []time.Duration
		for round := range rounds {
			synctest.Test(t, func(t *testing.T) {
				f, _, a := death(t, uint64(round), 0)
				found, all = append(found, f), append(all, a)
			})
		}
		slices.Sort(found)
		slices.Sort(all)
		silent, dead := 0, 0
		for seed := range rounds / 2 {
			synctest.Test(t, func(t *testing.T) {
				s, d := loss(t, uint64(100+seed), 20*time.Minute)
				silent, dead = silent+s, dead+d
			})
		}
		fmt.Printf("sweep: probe %v mult %d/%d: silent to a leader %v %v, dead everywhere %v %v; %v at 30 %%: silent %d, dead %d\n",
			c.interval*time.Millisecond, c.mult, c.max, found[rounds/2], found[rounds-1], all[rounds/2], all[rounds-1],
			time.Duration(rounds/2)*20*time.Minute, silent, dead)
	}
	mod = func(*Config) {}
}

// five makes a pool of five; the first of them hears of doubts.
func five(t *testing.T, seed uint64) (*lab, []*Pool, *leads) {
	l := newLab(t)
	l.net = memnet.New(seed)
	l.net.SetDefault(memnet.Rule{Delay: 200 * time.Microsecond})
	l.lead = true
	pools := l.cluster(5)
	return l, pools, pools[0].lead()
}

// death tells when a leader found a killed member silent, and when the first and
// the last of the others held it for failed.
func death(t *testing.T, seed uint64, lost float64) (found, first, all time.Duration) {
	l, pools, leader := five(t, seed)
	time.Sleep(10*time.Second + time.Duration(seed)*37*time.Millisecond)
	l.net.SetDefault(memnet.Rule{Delay: 200 * time.Microsecond, Loss: lost})
	began := time.Now()
	victim := 1 + int(seed%4)
	first, all = kill(l, pools, victim)
	time.Sleep(time.Second)
	found = leader.when(pools[victim].cfg.Name).Sub(began)
	if leader.count() != 1 {
		t.Errorf("silent are %v", leader.silent)
	}
	l.close(pools...)
	return found, first, all
}

// loss tells how many members that live a leader found silent at 30 % loss, and how
// many deaths were reported.
func loss(t *testing.T, seed uint64, span time.Duration) (silent, dead int) {
	l, pools, leader := five(t, seed)
	l.net.SetDefault(memnet.Rule{Delay: 200 * time.Microsecond, Loss: 0.3})
	var events []func() []Event
	for _, p := range pools {
		events = append(events, collect(p))
	}
	time.Sleep(span)
	silent, dead = leader.count(), deaths(pools, events)
	kill(l, pools, 4)
	l.close(pools...)
	return silent, dead
}
