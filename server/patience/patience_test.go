package patience

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-memdb"
)

// TestPatience: whatever it looks at, a wait ends with any change, with its time,
// which is that of all waits together, and with its context.
func TestPatience(t *testing.T) {
	for _, channels := range []int{0, 1, fewChannels, fewChannels + 1, 40} {
		t.Run(fmt.Sprint(channels), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				ctx, cancel := context.WithCancel(t.Context())
				wait := Patience{Longest: time.Minute}
				defer wait.Stop()
				for i := range channels {
					ws, all := memdb.NewWatchSet(), make([]chan struct{}, channels)
					for j := range all {
						all[j] = make(chan struct{})
						ws.Add(all[j])
					}
					time.AfterFunc(time.Second, func() { close(all[i]) })
					if !wait.Until(ctx, ws) {
						t.Fatalf("change %d was not seen", i)
					}
				}
				if took, want := time.Since(began), time.Duration(channels)*time.Second; took != want {
					t.Fatalf("the changes took %v, want %v", took, want)
				}
				ws := memdb.NewWatchSet()
				for range channels {
					ws.Add(make(chan struct{}))
				}
				if wait.Until(ctx, ws) || time.Since(began) != time.Minute {
					t.Errorf("it ended after %v in all", time.Since(began))
				}
				long := Patience{Longest: time.Hour}
				defer long.Stop()
				time.AfterFunc(time.Second, cancel)
				if long.Until(ctx, ws) || time.Since(began) != time.Minute+time.Second {
					t.Errorf("it outlived its context: %v in all", time.Since(began))
				}
			})
		})
	}
}
