package zone_test

import (
	"strings"
	"testing"

	"github.com/miekg/dns"

	"consul.internal/dnsserver/zone"
)

// Whatever a name says, reading it ends, and what was read fits the name.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"consul.", "web.service.consul.", "_web._tcp.service.dc1.dc.consul.", `a\.b\032c.node.consul.`,
		"0a170001.addr.consul.", "1.0.22.10.in-addr.arpa.", ".", `\255.consul.`, `x\.`, `\.consul.`, "service.node.query.consul."} {
		f.Add(s)
	}
	z := zone.New(zone.Options{Domain: "consul.", AltDomain: "alt.example.", Datacenter: "dc1"}, nil, nil)
	f.Fuzz(func(t *testing.T, name string) {
		n := z.Parse(name)
		if _, ok := dns.IsDomainName(name); !ok {
			return // it only has to return
		}
		if n.Kind != zone.Outside && n.Kind != zone.Reverse && n.Zone != "consul." && n.Zone != "alt.example." {
			t.Errorf("%q: kind %d in zone %q", name, n.Kind, n.Zone)
		}
		if (n.Kind == zone.Service || n.Kind == zone.Node || n.Kind == zone.Query) && n.Label == "" {
			t.Errorf("%q: kind %d without a label", name, n.Kind)
		}
		if n.Kind == zone.Addr && !n.Addr.IsValid() {
			t.Errorf("%q: no address", name)
		}
		if n.Label != strings.ToLower(n.Label) && strings.ToUpper(n.Label) == n.Label {
			t.Errorf("%q: label %q is not folded", name, n.Label)
		}
	})
}
