package recurse

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"consul.internal/internal/fault"
)

func TestParseUpstream(t *testing.T) {
	for in, want := range map[string]string{
		"10.0.0.1": "10.0.0.1:53", "10.0.0.1:5353": "10.0.0.1:5353", "2001:db8::1": "[2001:db8::1]:53",
		"[2001:db8::1]": "[2001:db8::1]:53", "[2001:db8::1]:54": "[2001:db8::1]:54", "::ffff:10.0.0.1": "10.0.0.1:53",
		"fe80::1%eth0": "[fe80::1%eth0]:53",
	} {
		if got, err := ParseUpstream(in); err != nil || got.String() != want {
			t.Errorf("%s: got %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "dns", "10.0.0.1:x", "10.0.0.1:0", "10.0.0.1:65536", "0.0.0.0", "::", "224.0.0.251", "255.255.255.255", "10.0.0"} {
		if got, err := ParseUpstream(in); err == nil {
			t.Errorf("%q: got %v", in, got)
		}
	}
}

func TestValidate(t *testing.T) {
	u := netip.MustParseAddrPort("10.0.0.1:53")
	for want, change := range map[string]func(*Config){
		"listed twice":     func(c *Config) { c.Upstreams = []netip.AddrPort{u, u} },
		"every address":    func(c *Config) { c.Upstreams = []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:53")} },
		"recursor_timeout": func(c *Config) { c.Timeout = 0 },
		"recursion_allow":  func(c *Config) { c.Allow = []netip.Prefix{{}} },
		"limits":           func(c *Config) { c.Limits.InFlight = 0 },
	} {
		c := DefaultConfig()
		c.Upstreams = []netip.AddrPort{u}
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		change(&c)
		if err := c.Validate(); !errors.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
	if _, err := New(DefaultConfig(), Deps{}); !errors.Is(err, fault.Invalid) {
		t.Errorf("without a logger: %v", err)
	}
}

func TestApart(t *testing.T) {
	own := func(a netip.Addr) bool { return a == netip.MustParseAddr("10.0.0.5") }
	for _, tt := range []struct {
		upstream, listening string
		same                bool
	}{
		{"127.0.0.1:8600", "127.0.0.1:8600", true}, {"127.0.0.1:8600", "127.0.0.1:53", false}, {"127.0.0.2:8600", "127.0.0.1:8600", false},
		{"127.0.0.9:8600", "0.0.0.0:8600", true}, {"10.0.0.5:8600", "0.0.0.0:8600", true}, {"10.0.0.6:8600", "0.0.0.0:8600", false},
		{"[::1]:8600", "[::]:8600", true}, {"10.0.0.5:8600", "[::]:8600", true}, {"10.0.0.5:8600", "[::ffff:10.0.0.5]:8600", true},
	} {
		c := Config{Upstreams: []netip.AddrPort{netip.MustParseAddrPort(tt.upstream)}}
		err := c.Apart([]netip.AddrPort{netip.MustParseAddrPort(tt.listening)}, own)
		if (err != nil) != tt.same || err != nil && !errors.Is(err, fault.Invalid) {
			t.Errorf("%+v: got %v", tt, err)
		}
	}
}

func TestServes(t *testing.T) {
	w := &world{}
	r := newRecursor(t, w, nil, one)
	for a, want := range map[string]bool{
		"127.0.0.1": true, "::1": true, "10.9.8.7": true, "172.31.0.1": true, "172.32.0.1": false, "192.168.1.1": true, "192.169.1.1": false,
		"100.64.0.1": true, "100.128.0.1": false, "169.254.1.1": true, "fd12::1": true, "fe80::1%eth0": true, "2001:db8::1": false,
		"8.8.8.8": false, "::ffff:10.0.0.1": true, "::ffff:8.8.8.8": false,
	} {
		if got := r.Serves(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: %v", a, got)
		}
	}
	if r.Serves(netip.Addr{}) {
		t.Error("nobody is served")
	}
	off := newRecursor(t, w, nil)
	if off.On() || off.Serves(netip.MustParseAddr("127.0.0.1")) {
		t.Error("off, but serving")
	}
}
