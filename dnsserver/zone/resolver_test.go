package zone_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"consul.internal/catalog"
	"consul.internal/dnsserver/zone"
	"consul.internal/view"
)

// ruled is a datacenter with instances and resolvers.
func ruled(dc string, rules []*catalog.Resolver, instances ...*catalog.Instance) *view.Local {
	d := view.NewDirectory()
	b := catalog.Batch{Index: 42, Reset: true}
	for _, i := range instances {
		i.Node.Datacenter = dc
		b.Changes = append(b.Changes, catalog.Change{Op: catalog.NodeSet, Node: i.Node}, catalog.Change{Op: catalog.InstanceSet, Instance: i})
	}
	for _, r := range rules {
		b.Changes = append(b.Changes, catalog.Change{Op: catalog.ResolverSet, Resolver: r})
	}
	d.Apply(b)
	d.SetReady()
	return view.NewLocal(dc, d)
}

// version gives an instance a version, and a tag that says so.
func version(i *catalog.Instance, v string) *catalog.Instance {
	i.Service.Meta = map[string]string{"version": v}
	i.Service.Tags = []string{"v" + v}
	return i
}

func redirect(of, service, subset, dc string) *catalog.Resolver {
	return &catalog.Resolver{Service: of, Redirect: &catalog.Target{Service: service, Subset: subset, Datacenter: dc}}
}

func resolverWorld() planet {
	subsets := map[string]catalog.Subset{
		"v1":   {Filter: "Service.Meta.version == 1"},
		"v2":   {Filter: "Service.Meta.version == 2"},
		"well": {OnlyPassing: true},
		"none": {Filter: "Service.Meta.version == 9"},
	}
	rules := []*catalog.Resolver{
		{Service: "web", DefaultSubset: "v1", Subsets: subsets},
		{Service: "well", DefaultSubset: "well", Subsets: subsets},
		redirect("Old", "Web", "", ""),
		redirect("old2", "web", "v2", ""),
		redirect("older", "old", "", ""),
		redirect("bad-subset", "web", "v3", ""),
		redirect("moved", "", "", "dc2"),
		redirect("moved-web", "web", "", "dc2"),
		redirect("here", "", "", "dc1"),
		redirect("circle", "circle2", "", ""),
		redirect("circle2", "circle", "", ""),
		redirect("lost", "", "", "dc4"),
		redirect("unknown", "", "", "dc9"),
		redirect("at-home", "far-redirect", "", "dc2"),
		{Service: "fall", Failover: map[string][]catalog.Target{"*": {{Datacenter: "dc3"}, {Datacenter: "dc2"}}}},
		{Service: "fall-cut", Failover: map[string][]catalog.Target{"*": {{Datacenter: "dc4"}, {Datacenter: "dc2"}}}},
		{Service: "fall-lost", Failover: map[string][]catalog.Target{"*": {{Datacenter: "dc4"}}}},
		{Service: "fall-none", Failover: map[string][]catalog.Target{"*": {{Datacenter: "dc3"}}}},
		{Service: "fall-service", Failover: map[string][]catalog.Target{"*": {{Service: "old2"}}}},
		{Service: "fall-well", Failover: map[string][]catalog.Target{"*": {{Datacenter: "dc2"}}}},
		{Service: "part", DefaultSubset: "none", Subsets: subsets, Failover: map[string][]catalog.Target{
			"none": {{Subset: "v2"}}, "*": {{Datacenter: "dc2"}}}},
	}
	two := []*catalog.Resolver{
		redirect("moved", "", "", "dc2"), // the same entry, replicated
		redirect("far-redirect", "web", "", ""),
		{Service: "web", DefaultSubset: "v2", Subsets: subsets},
	}
	return planet{
		"dc1": ruled("dc1", rules,
			version(inst("w1", "10.1.0.1", "web", "", 80, catalog.Passing), "1"),
			version(inst("w2", "10.1.0.2", "web", "", 80, catalog.Passing), "2"),
			inst("h1", "10.1.0.3", "well", "", 80, catalog.Passing),
			inst("h2", "10.1.0.4", "well", "", 80, catalog.Warning),
			inst("m1", "10.1.0.5", "moved", "", 80),
			inst("n1", "10.1.0.6", "here", "", 80),
			inst("f1", "10.1.0.7", "fall", "", 80, catalog.Critical),
			inst("f2", "10.1.0.8", "fall-well", "", 80),
			inst("f3", "10.1.0.9", "fall-none", "", 80, catalog.Critical),
			version(inst("p1", "10.1.0.10", "part", "", 80), "1"),
			version(inst("p2", "10.1.0.11", "part", "", 80), "2"),
		),
		"dc2": ruled("dc2", two,
			version(inst("x1", "10.2.0.1", "web", "", 80), "1"),
			version(inst("x2", "10.2.0.2", "web", "", 80), "2"),
			inst("x3", "10.2.0.3", "moved", "", 80),
			inst("x4", "10.2.0.4", "fall", "", 80),
			inst("x5", "10.2.0.5", "fall-cut", "", 80),
			inst("x6", "10.2.0.6", "fall-well", "", 80),
			inst("x7", "10.2.0.7", "far-redirect", "", 80),
			inst("x8", "10.2.0.8", "part", "", 80),
		),
		"dc3": ruled("dc3", nil),
		"dc4": nil,
	}
}

func TestResolvers(t *testing.T) {
	z := zone.New(options(), resolverWorld(), keepOrder)
	for name, want := range map[string]string{
		"web.service":          "10.1.0.1",
		"v2.web.service":       "NXDOMAIN", // a tag, of the default subset
		"v1.web.service":       "10.1.0.1",
		"_web._v1.service":     "10.1.0.1",
		"web.service.dc2":      "10.2.0.2", // dc2's own rules
		"well.service":         "10.1.0.3",
		"old.service":          "10.1.0.1",
		"OLD.service.dc1":      "10.1.0.1",
		"old2.service":         "10.1.0.2",
		"older.service":        "10.1.0.1",
		"bad-subset.service":   "NXDOMAIN",
		"moved.service":        "10.2.0.3",
		"moved.service.dc2":    "10.2.0.3",
		"moved-web.service":    "10.2.0.2",
		"here.service":         "10.1.0.6",
		"circle.service":       "NXDOMAIN",
		"lost.service":         "SERVFAIL",
		"unknown.service":      "NXDOMAIN",
		"at-home.service":      "10.2.0.7", // a redirect leads no further than to one other datacenter
		"fall.service":         "10.2.0.4",
		"fall-cut.service":     "10.2.0.5",
		"fall-lost.service":    "SERVFAIL",
		"fall-none.service":    "NXDOMAIN",
		"fall-service.service": "10.1.0.2",
		"fall-well.service":    "10.1.0.8",
		"part.service":         "10.1.0.11", // by the failover of its default subset
	} {
		r := z.Answer(t.Context(), z.Parse(name+".consul."), dns.TypeA)
		got := dns.RcodeToString[r.Rcode]
		var addrs []string
		for _, rr := range r.Answer {
			addrs = append(addrs, rr.(*dns.A).A.String())
		}
		if len(addrs) > 0 {
			got = strings.Join(addrs, " ")
		}
		if got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// Targets are named where they are, and WAN addresses are for them.
func TestResolverElsewhere(t *testing.T) {
	src := resolverWorld()
	opt := options()
	opt.TranslateWANs = true
	svc, _, err := src["dc2"].Service(t.Context(), "", "moved")
	if err != nil {
		t.Fatal(err)
	}
	svc.Instances[0].Node.TaggedAddresses = map[string]string{"wan": "198.51.100.3"}
	z := zone.New(opt, src, keepOrder)
	got := lines(z.Answer(t.Context(), z.Parse("moved.service.consul."), dns.TypeSRV))
	want := "NOERROR\nmoved.service.consul. 5 IN SRV 1 7 80 c6336403.addr.dc2.consul.\n+ c6336403.addr.dc2.consul. 5 IN A 198.51.100.3"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	got = lines(z.Answer(t.Context(), z.Parse("fall.service.consul."), dns.TypeSRV))
	want = "NOERROR\nfall.service.consul. 5 IN SRV 1 7 80 x4.node.dc2.consul.\n+ x4.node.dc2.consul. 5 IN A 10.2.0.4"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// stuck is a planet on which a datacenter never answers in time.
type stuck struct {
	planet
	dc string
}

func (s stuck) Service(ctx context.Context, dc, name string) (*view.Service, view.State, error) {
	if dc == s.dc {
		<-ctx.Done()
		return nil, view.State{}, ctx.Err()
	}
	return s.planet.Service(ctx, dc, name)
}

// Nobody waits for a datacenter behind one that has answered.
func TestFailoverWaitsForNobodyElse(t *testing.T) {
	src := resolverWorld()
	rules := make([]catalog.Target, 0, 100)
	rules = append(rules, catalog.Target{Datacenter: "dc2"})
	for range 99 {
		rules = append(rules, catalog.Target{Datacenter: "dc3"})
	}
	src["dc1"] = ruled("dc1", []*catalog.Resolver{{Service: "fall", Failover: map[string][]catalog.Target{"*": rules}}})
	z := zone.New(options(), stuck{src, "dc3"}, keepOrder)
	if got, want := lines(z.Answer(t.Context(), z.Parse("fall.service.consul."), dns.TypeA)), "NOERROR\nfall.service.consul. 5 IN A 10.2.0.4"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestResolverExplained(t *testing.T) {
	src := resolverWorld()
	z := zone.New(options(), src, keepOrder)
	for _, tt := range []struct{ name, node, want string }{
		{"web", "w1", ""},
		{"web", "w2", "subset"},
		{"well", "h2", "subset"},
		{"moved", "m1", "redirects"},
		{"here", "n1", ""},
	} {
		svc, _, err := src["dc1"].Service(t.Context(), "", tt.name)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range svc.Instances {
			if i.Node.Name != tt.node {
				continue
			}
			got := z.Dropped(z.Parse(fmt.Sprintf("%s.service.consul.", tt.name)), svc, i)
			if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("%s on %s: %q", tt.name, tt.node, got)
			}
		}
	}
}

// broken is a planet on which one datacenter hits a bug.
type broken struct {
	planet
	dc string
}

func (b broken) Service(ctx context.Context, dc, name string) (*view.Service, view.State, error) {
	if dc == b.dc {
		panic("bug of " + dc)
	}
	return b.planet.Service(ctx, dc, name)
}

// A bug in a goroutine of its own is one of the question, which is caught above.
func TestBugElsewhere(t *testing.T) {
	opt := options()
	opt.Datacenters = func() []string { return []string{"dc1", "dc2"} }
	z := zone.New(opt, broken{resolverWorld(), "dc2"}, keepOrder)
	for _, name := range []string{"fall.service.consul.", "fall.service.all.consul."} {
		func() {
			defer func() {
				if v := recover(); v == nil || !strings.Contains(fmt.Sprint(v), "bug of dc2") {
					t.Errorf("%s: recovered %v", name, v)
				}
			}()
			t.Errorf("%s: %s", name, lines(z.Answer(t.Context(), z.Parse(name), dns.TypeA)))
		}()
	}
}
