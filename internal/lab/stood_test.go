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
	stood  time.Duration
	asides int
}

// watchMachine asks until ctx ends.
func watchMachine(ctx context.Context) {
	tick := time.NewTicker(machineBeat)
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		if d := now.Sub(last); d > machineStood {
			machine.mu.Lock()
			machine.stood += d
			machine.mu.Unlock()
		}
		last = now
	}
}

// watch is what a test had when it began.
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
	machine.mu.Lock()
	defer machine.mu.Unlock()
	return watch{time.Now(), machine.stood}
}

// unfit says so, and counts it, where a time cannot be held against its bar.
func (w watch) unfit(t *testing.T, text string) bool {
	t.Helper()
	machine.mu.Lock()
	defer machine.mu.Unlock()
	stood, all := machine.stood-w.stood, time.Since(w.began)
	if *full || stood*100 < all*stoodShare {
		return false
	}
	machine.asides++
	fmt.Printf("lab: NOT JUDGED, the machine stood for %v of %v: %s\n", stood.Round(time.Millisecond), all.Round(time.Millisecond), text)
	return true
}
