package gossip

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
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
// one false death (seen by four) is borne.
func TestTimers(t *testing.T) {
	var first, all []time.Duration
	for round := range 20 {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t)
			l.net = memnet.New(uint64(round))
			l.net.SetDefault(memnet.Rule{Delay: 200 * time.Microsecond})
			pools := l.cluster(5)
			time.Sleep(10*time.Second + time.Duration(round)*37*time.Millisecond)
			f, a := kill(l, pools, round%5)
			first, all = append(first, f), append(all, a)
			l.close(pools...)
		})
	}
	slices.Sort(first)
	slices.Sort(all)
	t.Logf("5 members, one killed, 20 rounds: first known median %v worst %v; everywhere median %v worst %v",
		first[10], first[19], all[10], all[19])
	if first[10] > 3*time.Second || all[10] > 3*time.Second {
		t.Error("a death is known too late")
	}
	for seed := range 2 {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t)
			l.net = memnet.New(uint64(100 + seed))
			pools := l.cluster(5)
			l.net.SetDefault(memnet.Rule{Delay: 200 * time.Microsecond, Loss: 0.3})
			var events []func() []Event
			for _, p := range pools {
				events = append(events, collect(p))
			}
			time.Sleep(5 * time.Minute)
			n := deaths(pools, events)
			f, a := kill(l, pools, 4)
			t.Logf("5 members at 30%% loss for 5 minutes: %d false deaths; then a kill known first after %v, everywhere after %v", n, f, a)
			if n > 4 {
				t.Error("loss kills members")
			}
			l.close(pools...)
		})
	}
}

// TestLarge needs GOSSIP_LARGE=<members>: a large pool at 10 % loss for ten virtual
// minutes, then a death.
func TestLarge(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("GOSSIP_LARGE"))
	if err != nil {
		t.Skip("set GOSSIP_LARGE to the number of members; 1000 take some minutes")
	}
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		pools := l.cluster(n)
		var events []func() []Event
		for _, p := range pools {
			events = append(events, collect(p))
		}
		l.net.SetDefault(memnet.Rule{Delay: 200 * time.Microsecond, Loss: 0.1})
		minutes, _ := strconv.Atoi(os.Getenv("GOSSIP_MINUTES"))
		for i := range max(minutes, 1) {
			time.Sleep(time.Minute)
			fmt.Println("minute", i, "false deaths", deaths(pools, events))
		}
		lost := deaths(pools, events)
		var ms runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&ms)
		first, all := kill(l, pools, n/2)
		t.Logf("%d members at 10 %% loss: %d false deaths; a kill known first after %v, everywhere after %v; %d KiB heap a member",
			n, lost, first, all, ms.HeapAlloc/uint64(n)/1024)
		if lost > 0 {
			t.Error("loss killed somebody")
		}
		l.close(pools...)
	})
}
