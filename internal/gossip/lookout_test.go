package gossip

import (
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/internal/memnet"
)

// TestLookout: who is silent, and who is not.
func TestLookout(t *testing.T) {
	quick := memnet.Rule{Delay: 200 * time.Microsecond}
	for name, c := range map[string]struct {
		what   func(l *lab, pools []*Pool) // n0 hears of doubts about n3
		silent bool
		within time.Duration // the look ends
	}{
		"lives":         {func(*lab, []*Pool) {}, false, 10 * time.Millisecond},
		"loss":          {func(l *lab, _ []*Pool) { l.net.SetDefault(memnet.Rule{Delay: 200 * time.Microsecond, Loss: 0.5}) }, false, time.Second},
		"machine died":  {func(l *lab, _ []*Pool) { l.net.Host(ip(3)).Down() }, true, 1100 * time.Millisecond},
		"process died":  {func(l *lab, pools []*Pool) { l.close(pools[3]) }, true, 1100 * time.Millisecond},
		"cut off":       {func(l *lab, _ []*Pool) { l.net.Isolate(ip(3)) }, true, 1100 * time.Millisecond},
		"cut from one":  {func(l *lab, _ []*Pool) { l.net.Cut(ip(0), ip(3)) }, false, 200 * time.Millisecond},
		"mute to one":   {func(l *lab, _ []*Pool) { l.net.CutOneWay(ip(3), ip(0)) }, false, 200 * time.Millisecond},
		"packets only":  {func(l *lab, _ []*Pool) { l.hush.Store(true) }, false, 300 * time.Millisecond},
		"back in time":  {func(l *lab, _ []*Pool) { l.net.Isolate(ip(3)); time.AfterFunc(700*time.Millisecond, l.net.HealAll) }, false, 800 * time.Millisecond},
		"slow but sure": {func(l *lab, _ []*Pool) { l.net.SetDefault(memnet.Rule{Delay: 100 * time.Millisecond}) }, false, 250 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.lead = true
				l.net.SetDefault(quick)
				pools := l.cluster(5)
				time.Sleep(3 * time.Second)
				c.what(l, pools)
				began := time.Now()
				if got := pools[0].Silent(t.Context(), "n3"); got != c.silent {
					t.Errorf("silent: %v after %v", got, time.Since(began))
				}
				if took := time.Since(began); took > c.within || c.silent && took < time.Second {
					t.Errorf("that took %v", took)
				}
				if pools[0].Silent(t.Context(), "nobody") || pools[0].Silent(t.Context(), "n0") {
					t.Error("nobody, and this member itself, are not silent")
				}
				l.net.HealAll()
				l.hush.Store(false)
				l.close(pools...)
			})
		})
	}
}
