package gossip

import (
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/serf/serf"
)

// TestWishes: a failed member is remembered for as long as it said, others as long as
// the pool says; who left is remembered all the same; and the one that was forgotten
// can come back.
func TestWishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		config := func(i int) Config {
			c := l.config(i)
			c.ReconnectTimeout = minReconnect
			if wish := map[int]string{1: "15m0s", 3: "soon", 4: "-15m", 5: "15m", 6: "9h0m0s"}[i]; wish != "" {
				c.Tags[TagReconnect] = wish
			}
			return c
		}
		var pools []*Pool
		for i := range 7 { // n0 looks on; n2 has no wish; n5 leaves
			p := l.open(config(i))
			if i > 0 {
				if _, err := p.Join(t.Context(), []string{pools[0].Advertised().String()}, true); err != nil {
					t.Fatal(err)
				}
			}
			pools = append(pools, p)
		}
		l.await(10*time.Second, "everybody is there", func() bool { return count(pools[0], StatusAlive) == 7 })
		if err := pools[5].Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		l.close(pools[1:]...)
		l.await(30*time.Second, "all failed but the one that left", func() bool { return count(pools[0], StatusFailed) == 5 && status(pools[0], "n5") == StatusLeft })
		events := collect(pools[0])
		there := func(want ...string) {
			t.Helper()
			synctest.Wait()
			var got []string
			for _, m := range pools[0].Members() {
				got = append(got, m.Name)
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("members are %v, want %v", got, want)
			}
		}
		// Serf looks every 15 s.
		time.Sleep(14 * time.Minute)
		there("n0", "n1", "n2", "n3", "n4", "n5", "n6")
		time.Sleep(2 * time.Minute)
		there("n0", "n2", "n3", "n4", "n5", "n6")
		if last(events(), "n1") != Reaped {
			t.Error("nobody was told that n1 is gone")
		}
		back := l.open(config(1))
		if _, err := back.Join(t.Context(), []string{pools[0].Advertised().String()}, true); err != nil {
			t.Fatal(err)
		}
		l.await(10*time.Second, "n1 is back", func() bool { return status(pools[0], "n1") == StatusAlive })
		l.close(back)
		time.Sleep(minReconnect - 20*time.Minute)
		there("n0", "n2", "n3", "n4", "n5", "n6")
		time.Sleep(10 * time.Minute)
		there("n0", "n5", "n6")
		time.Sleep(time.Hour)
		there("n0", "n5")
		l.close(pools[0])
	})
}

// TestWishesAreDurations: what is no time is no wish, and a tag changes nothing of
// those who live or left.
func TestWishesAreDurations(t *testing.T) {
	const pool = 72 * time.Hour
	for tag, want := range map[string]time.Duration{
		"15m0s": 15 * time.Minute, "1h": time.Hour, "100h": 100 * time.Hour, "1ns": 1,
		"": pool, "0s": pool, "-1h": pool, "15": pool, "forever": pool, "9999999999h": pool,
	} {
		m := serf.Member{Name: "a", Status: serf.StatusFailed, Tags: map[string]string{"dc": "dc1"}}
		if tag != "" {
			m.Tags[TagReconnect] = tag
		}
		if got := (wishes{}).ReconnectTimeout(&m, pool); got != want {
			t.Errorf("%q: %v, want %v", tag, got, want)
		}
		for _, s := range []serf.MemberStatus{serf.StatusAlive, serf.StatusLeaving, serf.StatusLeft} {
			other := m
			other.Status, other.Tags = s, maps.Clone(m.Tags)
			if got := (wishes{}).ReconnectTimeout(&other, pool); got != pool {
				t.Errorf("%q of one that is %s: %v", tag, s, got)
			}
		}
	}
	if got := (wishes{}).ReconnectTimeout(&serf.Member{Status: serf.StatusFailed}, pool); got != pool {
		t.Errorf("without tags: %v", got)
	}
}
