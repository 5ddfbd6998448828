package daemon

import (
	"testing"
	"time"
)

// TestCoordinatePause: not more often than every 15 s, and in a large cluster so
// seldom that all agents together send 64 a second.
func TestCoordinatePause(t *testing.T) {
	for members, want := range map[int]time.Duration{
		1: 15 * time.Second, 960: 15 * time.Second, 1920: 30 * time.Second, 6400: 100 * time.Second,
	} {
		if got := coordinatePause(members); got != want {
			t.Errorf("%d members: %v, want %v", members, got, want)
		}
	}
}
