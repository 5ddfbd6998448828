package limit_test

import (
	"encoding/hex"
	"net/netip"
	"testing"
	"time"

	"consul.internal/dnsserver/limit"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The examples of RFC 9018, appendix A.
func TestCookieExamples(t *testing.T) {
	const one, old, now2 = "e5e973e5a6b2a43f48e7dc849e37bfcf", "dd3bdf9344b678b185a6f5cb60fca715", "445536bcd2513298075a5d379663c962"
	for name, c := range map[string]struct {
		secret, came, from string
		now                int64
		valid              bool
		reply              string
	}{
		"new":     {one, "2464c4abcf10c957", "198.51.100.100", 1559731985, false, "2464c4abcf10c957010000005cf79f111f8130c3eee29480"},
		"young":   {one, "2464c4abcf10c957010000005cf79f111f8130c3eee29480", "198.51.100.100", 1559731985 + 900, true, "2464c4abcf10c957010000005cf79f111f8130c3eee29480"},
		"renewed": {one, "2464c4abcf10c957010000005cf79f111f8130c3eee29480", "198.51.100.100", 1559734385, true, "2464c4abcf10c957010000005cf7a871d4a564a1442aca77"},
		"turned":  {now2, "22681ab97d52c298010000005cf7c57926556bd0934c72f8", "2001:db8:220:1:59de:d0f4:8769:82b8", 1559741961, false, "22681ab97d52c298010000005cf7c609a6bb79d16625507a"},
		"IPv6":    {old, "22681ab97d52c298", "2001:db8:220:1:59de:d0f4:8769:82b8", 1559741817, false, "22681ab97d52c298010000005cf7c57926556bd0934c72f8"},
	} {
		t.Run(name, func(t *testing.T) {
			cookies := limit.NewCookies([16]byte(unhex(t, c.secret)))
			came, from, now := unhex(t, c.came), netip.MustParseAddr(c.from), time.Unix(c.now, 0)
			valid := cookies.Valid(came, from, now)
			if valid != c.valid {
				t.Errorf("valid: %v", valid)
			}
			var out [limit.CookieLen]byte
			if cookies.Answer(&out, came, valid, from, now); hex.EncodeToString(out[:]) != c.reply {
				t.Errorf("got %x, want %s", out, c.reply)
			}
		})
	}
}

// A cookie proves one address, for an hour, with what the client added.
func TestCookieProves(t *testing.T) {
	cookies := limit.NewCookies([16]byte{1, 2, 3})
	from, now := netip.MustParseAddr("192.0.2.1"), time.Unix(1<<32-100, 0) // the time wraps soon
	var c [limit.CookieLen]byte
	cookies.Answer(&c, []byte("abcdefgh"), false, from, now)
	for name, ok := range map[string]bool{
		"at once":            cookies.Valid(c[:], from, now),
		"mapped":             cookies.Valid(c[:], netip.MustParseAddr("::ffff:192.0.2.1"), now),
		"after an hour":      cookies.Valid(c[:], from, now.Add(time.Hour)),
		"by a slow clock":    cookies.Valid(c[:], from, now.Add(-5*time.Minute)),
		"not of a neighbour": !cookies.Valid(c[:], netip.MustParseAddr("192.0.2.2"), now),
		"not for ever":       !cookies.Valid(c[:], from, now.Add(time.Hour+time.Second)),
		"not of the future":  !cookies.Valid(c[:], from, now.Add(-5*time.Minute-time.Second)),
		"not a part":         !cookies.Valid(c[:8], from, now),
		"not of another":     !limit.NewCookies([16]byte{1, 2, 4}).Valid(c[:], from, now),
	} {
		if !ok {
			t.Errorf("wrong: %s", name)
		}
	}
	for i := range c {
		bad := c
		bad[i] ^= 1
		if cookies.Valid(bad[:], from, now) {
			t.Errorf("byte %d does not count", i)
		}
	}
}

// So many pass in a second; of the others every second one is truncated.
func TestRates(t *testing.T) {
	r := limit.NewRates()
	now := time.Unix(1e9, 0)
	key := r.Key(netip.MustParseAddr("192.0.2.0"), []byte("web"))
	other := r.Key(netip.MustParseAddr("192.0.2.0"), []byte("db"))
	for second := range 3 {
		var got [3]int
		for i := range 30 {
			if spent := r.Spent(key, 10, now); spent != (i >= 10) {
				t.Fatalf("second %d, %d: spent %v", second, i, spent)
			}
			got[r.Take(key, 10, now)]++
		}
		if got != [3]int{10, 10, 10} {
			t.Errorf("second %d: %v", second, got)
		}
		if v := r.Take(other, 10, now); v != limit.Pass {
			t.Errorf("another name: %v", v)
		}
		now = now.Add(time.Second)
	}
	if n := testing.AllocsPerRun(100, func() {
		r.Take(r.Key(limit.Network(netip.MustParseAddr("192.0.2.7")), []byte("web")), 10, now)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestNetwork(t *testing.T) {
	for a, want := range map[string]string{
		"192.0.2.7": "192.0.2.0", "::ffff:192.0.2.7": "192.0.2.0", "2001:db8:1:2ff:3::4": "2001:db8:1:200::", "fe80::1%eth0": "fe80::",
	} {
		if got := limit.Network(netip.MustParseAddr(a)); got != netip.MustParseAddr(want) {
			t.Errorf("%s: %v", a, got)
		}
	}
	if got := limit.Network(netip.Addr{}); !got.IsValid() {
		t.Error("an address that is none")
	}
}
