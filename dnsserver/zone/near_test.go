package zone_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"consul.internal/dnsserver/zone"
)

func TestNearestFirst(t *testing.T) {
	src := planet{
		"dc1": localOf("dc1", inst("far", "10.1.0.1", "web", "", 80), inst("Near", "10.1.0.2", "web", "", 80),
			inst("a", "10.1.0.3", "web", "", 80), inst("b", "10.1.0.4", "web", "", 80), inst("mid", "10.1.0.5", "web", "", 80)),
		"dc2": localOf("dc2", inst("far", "10.2.0.1", "web", "", 80), inst("near", "10.2.0.2", "web", "", 80)),
	}
	known := map[string]float64{"far": 0.2, "near": 0.001, "mid": 0.1}
	opt := options()
	opt.Near = func() func(string) (float64, bool) {
		return func(node string) (float64, bool) { d, ok := known[node]; return d, ok }
	}
	reverse := func(n int, swap func(i, j int)) {
		for i := range n / 2 {
			swap(i, n-1-i)
		}
	}
	order := func(z *zone.Zone, name string) string {
		var out []string
		for _, rr := range z.Answer(t.Context(), z.Parse(name), dns.TypeSRV).Answer {
			out = append(out, strings.Split(rr.(*dns.SRV).Target, ".")[0])
		}
		return strings.ToLower(strings.Join(out, " "))
	}
	kept, turned := zone.New(opt, src, keepOrder), zone.New(opt, src, reverse)
	for _, tt := range []struct {
		z          *zone.Zone
		name, want string
	}{
		{kept, "web.service.consul.", "near mid far a b"},
		{turned, "web.service.consul.", "near mid far b a"}, // those that nobody knows are in a random order
		{kept, "web.service.dc1.consul.", "near mid far a b"},
		{kept, "web.service.dc2.consul.", "far near"}, // distances are those of the own datacenter
	} {
		if got := order(tt.z, tt.name); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	opt.Near = func() func(string) (float64, bool) { return nil }
	got := strings.Fields(order(zone.New(opt, src, keepOrder), "web.service.consul."))
	slices.Sort(got)
	if strings.Join(got, " ") != "a b far mid near" {
		t.Errorf("nothing known: %v", got)
	}
}
