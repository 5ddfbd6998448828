package door_test

import (
	"net/netip"
	"testing"
	"time"

	"consul.internal/internal/door"
)

func TestRate(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	allowed := func(r *door.Rate, at time.Duration, tries int) (n int) {
		for range tries {
			if r.Allow(start.Add(at)) {
				n++
			}
		}
		return n
	}
	for _, tt := range []struct {
		name      string
		perSecond float64
		burst     int
		want      [3]int // of 100 tries at 0, 500 ms and 10 s
	}{
		{"no limit", -1, 0, [3]int{100, 100, 100}},
		{"nothing", 0, 0, [3]int{0, 0, 0}},
		{"a second's worth", 10, 0, [3]int{10, 5, 10}},
		{"less than one a second", 0.5, 0, [3]int{1, 0, 1}},
		{"with a burst", 10, 40, [3]int{40, 5, 40}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := door.NewRate(tt.perSecond, tt.burst)
			got := [3]int{allowed(r, 0, 100), allowed(r, 500*time.Millisecond, 100), allowed(r, 10*time.Second, 100)}
			if got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
			if n := allowed(r, time.Second, 100); n != 0 && tt.perSecond >= 0 {
				t.Errorf("a clock that went back gave %d", n)
			}
		})
	}
}

func TestSources(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	s := door.NewSources(2)
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("::ffff:10.0.0.1")
	for i, want := range []bool{true, true, false} {
		from := a
		if i%2 == 1 {
			from = b // the same, written in another way
		}
		if got := s.Allow(from, now); got != want {
			t.Errorf("try %d: %v", i, got)
		}
	}
	six := netip.MustParseAddr("2001:db8::1")
	s.Allow(six, now)
	s.Allow(netip.MustParseAddr("2001:db8::2"), now)
	if s.Allow(netip.MustParseAddr("2001:db8::ffff:1"), now) {
		t.Error("a third request out of one /64 was allowed")
	}
	if !s.Allow(netip.MustParseAddr("2001:db8:0:1::1"), now) {
		t.Error("another /64 was refused")
	}
	if !s.Allow(netip.Addr{}, now) || !door.NewSources(-1).Allow(a, now) {
		t.Error("a limit where there is none")
	}
	for i := range 20_000 {
		s.Allow(netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)}), now)
	}
	if n := s.Len(); n != 8192 {
		t.Errorf("%d sources are remembered", n)
	}
}

func TestShare(t *testing.T) {
	if got := door.Share(1<<30, 50); got != 1 && got != 50 {
		t.Errorf("%d", got)
	}
	if got := door.Share(1, 5); got != 5 {
		t.Errorf("a door got %d of more than 5 files", got)
	}
}
