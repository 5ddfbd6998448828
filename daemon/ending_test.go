package daemon

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/configs"
)

// TestCloseEndsTheDrain: who closes while a leave drains does not wait for that.
func TestCloseEndsTheDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &Daemon{settings: &configs.Settings{}, ending: ending{done: make(chan struct{}), left: make(chan struct{}), cancel: func() {}}}
		d.settings.Leaving.DrainTime = time.Hour
		d.wg.Go(func() { d.drain(context.Background(), false) })
		synctest.Wait()
		began := time.Now()
		if err := d.Close(); err != nil || time.Since(began) != 0 {
			t.Errorf("closed after %v: %v", time.Since(began), err)
		}
	})
}
