package transfer

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/miekg/dns"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/view"
)

// sees is the right to see some services, and all nodes but one.
func sees(hidden string, services ...string) view.Sight {
	return view.Sight{
		Service: func(name string) bool { return slices.Contains(services, name) },
		Node:    func(name string) bool { return name != hidden },
		Rules:   hidden + strings.Join(services, ","),
	}
}

// TestRights: where there is access control, the zone holds what may be seen and
// nothing else, from one moment to the next, and nobody has it while that is not known.
func TestRights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newGuarded(t, allowed(), true, nil)
		st.apply(
			node("n1", "10.0.1.1", nil), node("n2", "10.0.1.2", map[string]string{"k": "v"}),
			instance("n1", "10.0.1.1", "web", "web", catalog.Passing, "v1"), instance("n2", "10.0.1.2", "web", "web", catalog.Passing),
			instance("n1", "10.0.1.1", "db", "db", catalog.Passing),
			at(instance("n1", "10.0.1.1", "pay", "pay", catalog.Passing), "10.9.9.9"),
			at(instance("n1", "10.0.1.1", "alias", "alias", catalog.Passing), "db.service.consul"),
		)
		holds := func(what string, has, lacks []string) uint32 {
			t.Helper()
			got, serial := st.full(t)
			all := strings.Join(got.sorted(), "\n")
			for _, h := range has {
				if !strings.Contains(all, h) {
					t.Errorf("%s: no %s in\n%s", what, h, all)
				}
			}
			for _, l := range lacks {
				if strings.Contains(all, l) {
					t.Errorf("%s: %s in\n%s", what, l, all)
				}
			}
			return serial
		}
		refused := func(what string) {
			t.Helper()
			for _, m := range []*dns.Msg{axfr(), ixfr(1)} {
				if rrs, err := st.fetch(t, m, nil); err == nil || len(rrs) > 0 {
					t.Errorf("%s: %v, %v", what, rrs, err)
				}
			}
			if r := st.s.Datagram(t.Context(), ixfr(1), nil, netip.MustParseAddr("192.0.2.7")); r.Rcode != dns.RcodeServerFailure {
				t.Errorf("%s, by datagram: %v", what, r)
			}
		}
		refused("nobody can tell")
		st.s.See(view.Sight{}, nil)
		holds("all", []string{"web.service.consul. 7 IN A 10.0.1.2", "n2.node.consul.", "db.service.consul.", "0a090909.addr", "ns.consul. 5 IN A 10.0.0.1"}, nil)
		st.s.See(sees("n2", "consul", "web", "alias"), nil)
		serial := holds("some", []string{"web.service.consul. 7 IN A 10.0.1.1", "v1.web.service.consul.", "n1.node.consul.", "ns.consul. 5 IN A 10.0.0.1"},
			[]string{"n2", "10.0.1.2", "db.service.consul. 7 IN A", "pay", "10.9.9.9", "0a090909", `"k=v"`})
		st.apply(instance("n2", "10.0.1.2", "api", "api", catalog.Passing), instance("n1", "10.0.1.1", "web2", "web", catalog.Passing, "v2"))
		rrs, err := st.fetch(t, ixfr(serial), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, rr := range rrs {
			if text := rr.String(); strings.Contains(text, "api") || strings.Contains(text, "n2") {
				t.Errorf("a change tells of what is hidden: %s", text)
			}
		}
		if !slices.ContainsFunc(rrs, func(rr dns.RR) bool { return strings.HasPrefix(rr.String(), "v2.web.service.consul.") }) {
			t.Errorf("a change lacks what may be seen: %v", rrs)
		}
		// What a secondary has of before is not brought up to date: it gets the zone anew.
		st.s.See(sees("", "consul", "api"), nil)
		st.apply(node("n3", "10.0.1.3", nil))
		rrs, err = st.fetch(t, ixfr(serial), nil)
		if err != nil {
			t.Fatal(err)
		}
		if c, _ := whole(t, rrs); strings.Contains(strings.Join(c.sorted(), " "), "web") {
			t.Errorf("after a change of rights: %v", rrs)
		}
		st.s.See(view.Sight{}, fault.Newf(fault.Denied, "ACL not found"))
		refused("the token is gone")
		st.apply(node("n4", "10.0.1.4", nil))
		refused("the token is gone, and the catalog has changed")
		st.s.See(sees(""), nil)
		holds("no service", []string{"n4.node.consul.", "consul. 0 IN NS ns.consul."}, []string{"web", "api", ".service."})
	})
}

// TestRightsEndTransfers: a transfer under way ends with the rights that it began with.
func TestRightsEndTransfers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newGuarded(t, allowed(), true, nil)
		var many []catalog.Change
		for i := range 2000 {
			many = append(many, node("n"+strings.Repeat("x", i%20)+string(rune('a'+i%26)), "10.0.1.1", map[string]string{"k": strings.Repeat("v", 200)}))
		}
		st.apply(many...)
		st.s.See(view.Sight{}, nil)
		messages := 0
		_, err := st.fetch(t, axfr(), func() {
			if messages++; messages == 2 {
				st.s.See(sees("n1"), nil)
			}
		})
		if err == nil || st.s.Counts().Broken != 1 {
			t.Errorf("%v after %d messages, %+v", err, messages, st.s.Counts())
		}
	})
}
