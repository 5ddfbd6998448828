package limit_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"consul.internal/dnsserver/limit"
)

// About so many different names pass in a second, whatever the limit; the same name
// again costs nothing, and the next second begins anew.
func TestUnknown(t *testing.T) {
	here, there := limit.Network(netip.MustParseAddr("192.0.2.1")), limit.Network(netip.MustParseAddr("2001:db8::1"))
	for _, most := range []int{1, 10, 1000, 5000, 100_000} {
		u := limit.NewUnknown()
		now := time.Unix(1e9, 0)
		for second := range 3 {
			for range 20 * most {
				if !u.Take(here, []byte("\x03web"), most+1, now) {
					t.Fatalf("limit %d: one name is taken for many", most)
				}
			}
			passed := 0
			for i := range 3 * most {
				if u.Take(here, fmt.Appendf(nil, "\x06nosuch%d-%d", second, i), most+1, now) {
					passed++
				}
			}
			if low, high := most*8/10, most*13/10+1; passed < low || passed > high {
				t.Errorf("limit %d, second %d: %d names passed", most, second, passed)
			}
			if !u.Take(there, []byte("\x03web"), most, now) {
				t.Errorf("limit %d: another network is refused", most)
			}
			now = now.Add(time.Second)
		}
	}
}

func TestUnknownAllocates(t *testing.T) {
	u, a, name := limit.NewUnknown(), netip.MustParseAddr("192.0.2.1"), []byte("\x06nosuch\x07service\x06consul\x00")
	i := byte(0)
	if n := testing.AllocsPerRun(1000, func() {
		i++
		name[1] = i
		u.Take(limit.Network(a), name, 100, time.Unix(1e9+int64(i), 0))
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkUnknown(b *testing.B) {
	u, a, name := limit.NewUnknown(), netip.MustParseAddr("192.0.2.1"), []byte("\x0anosuch0000\x07service\x06consul\x00")
	now := time.Unix(1e9, 0)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		name[7], name[8] = byte(i), byte(i>>8)
		u.Take(limit.Network(a), name, 1000, now)
	}
}
