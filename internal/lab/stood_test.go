//go:build linux

package lab

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// machineBeat is how often the machine is asked for a processor.
	machineBeat = 10 * time.Millisecond
	// machineStood is how late it is where it had none to give, not even two beats later.
	machineStood = 3 * machineBeat
	// stoodShare of a test's time, in percent, is more than a busy machine needs: its
	// host gave the processors to others, and times say more about that than about us.
	stoodShare = 5
)

// machine knows how long it had no processor for who asked for one.
var machine struct {
	mu     sync.Mutex
	last   time.Time // when it had one last
	stood  time.Duration
	asides int
}

// stoodBy is for how long altogether, until now.
func stoodBy(now time.Time) time.Duration {
	machine.mu.Lock()
	defer machine.mu.Unlock()
	if d := now.Sub(machine.last); !machine.last.IsZero() && d > machineStood {
		return machine.stood + d // the one who watches has had none yet
	}
	return machine.stood
}

// watchMachine asks until ctx ends.
func watchMachine(ctx context.Context) {
	tick := time.NewTicker(machineBeat)
	defer tick.Stop()
	for {
		now := time.Now()
		stood := stoodBy(now)
		machine.mu.Lock()
		machine.stood, machine.last = stood, now
		machine.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// watch is what a test, or a question, had when it began.
type watch struct {
	began time.Time
	stood time.Duration
}

// watches of the tests, by the name of the whole.
var watches = map[string]watch{}

func root(t *testing.T) string {
	name, _, _ := strings.Cut(t.Name(), "/")
	return name
}

func newWatch() watch {
	now := time.Now()
	return watch{now, stoodBy(now)}
}

// unfit says so, and counts it, where a time cannot be held against its bar.
func (w watch) unfit(t *testing.T, text string) bool {
	t.Helper()
	now := time.Now()
	stood, all := stoodBy(now)-w.stood, now.Sub(w.began)
	if *full || stood*100 < all*stoodShare {
		return false
	}
	machine.mu.Lock()
	defer machine.mu.Unlock()
	machine.asides++
	fmt.Printf("lab: NOT JUDGED, the machine stood for %v of %v: %s\n", stood.Round(time.Millisecond), all.Round(time.Millisecond), text)
	return true
}

// fair is the time since the watch began, without that in which the machine had no
// processor, for an agent neither.
func (w watch) fair() time.Duration {
	now := time.Now()
	return max(0, now.Sub(w.began)-(stoodBy(now)-w.stood))
}
