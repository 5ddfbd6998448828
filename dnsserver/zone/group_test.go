package zone_test

import (
	"context"
	"net/netip"
	"testing"

	"github.com/miekg/dns"

	"consul.internal/catalog"
	"consul.internal/dnsserver/zone"
	"consul.internal/internal/fault"
	"consul.internal/view"
)

// planet is a Source of several datacenters.
type planet map[string]*view.Local

var errFar = fault.Newf(fault.Unavailable, "cut off")

func (p planet) in(dc string) (*view.Local, error) {
	if dc == "" {
		dc = "dc1"
	}
	l, known := p[dc]
	switch {
	case !known:
		return nil, fault.Newf(fault.NotFound, "no datacenter %q", dc)
	case l == nil:
		return nil, errFar
	}
	return l, nil
}

func (p planet) Service(ctx context.Context, dc, name string) (*view.Service, view.State, error) {
	l, err := p.in(dc)
	if err != nil {
		return nil, view.State{}, err
	}
	return l.Service(ctx, "", name)
}

func (p planet) Node(ctx context.Context, dc, name string) (*view.Node, view.State, error) {
	l, err := p.in(dc)
	if err != nil {
		return nil, view.State{}, err
	}
	return l.Node(ctx, "", name)
}

func (p planet) Address(ctx context.Context, dc string, a netip.Addr) (*view.Address, view.State, error) {
	l, err := p.in(dc)
	if err != nil {
		return nil, view.State{}, err
	}
	return l.Address(ctx, "", a)
}

func (p planet) State(ctx context.Context, dc string) (view.State, error) {
	l, err := p.in(dc)
	if err != nil {
		return view.State{}, err
	}
	return l.State(ctx, "")
}

func localOf(dc string, instances ...*catalog.Instance) *view.Local {
	d := view.NewDirectory()
	b := catalog.Batch{Index: 42, Reset: true}
	for _, i := range instances {
		i.Node.Datacenter = dc
		b.Changes = append(b.Changes, catalog.Change{Op: catalog.NodeSet, Node: i.Node}, catalog.Change{Op: catalog.InstanceSet, Instance: i})
	}
	d.Apply(b)
	d.SetReady()
	return view.NewLocal(dc, d)
}

func TestSeveralDatacenters(t *testing.T) {
	src := planet{
		"dc1": localOf("dc1", inst("l1", "10.1.0.1", "web", "", 80), inst("l2", "10.1.0.2", "sick", "", 80, catalog.Critical)),
		"dc2": localOf("dc2", inst("x1", "10.2.0.1", "web", "", 81), inst("x2", "10.2.0.2", "sick", "", 80), inst("x3", "10.2.0.3", "far", "h.example.com", 80)),
		"dc3": localOf("dc3", inst("y1", "10.3.0.1", "sick", "", 80), inst("y2", "10.3.0.2", "far", "", 80)),
		"dc4": nil,
	}
	for _, tt := range []struct {
		name  string
		qtype uint16
		list  []string
		stale bool
		want  string
	}{
		{"web.service.any.consul.", dns.TypeA, []string{"dc1", "dc3", "dc2"}, false, "NOERROR\nweb.service.any.consul. 5 IN A 10.1.0.1"},
		{"sick.service.any.consul.", dns.TypeA, []string{"dc1", "dc3", "dc2"}, false, "NOERROR\nsick.service.any.consul. 5 IN A 10.3.0.1"},
		{"sick.service.any.consul.", dns.TypeSRV, []string{"dc1", "dc2"}, false, "NOERROR\nsick.service.any.consul. 5 IN SRV 1 7 80 x2.node.dc2.consul.\n+ x2.node.dc2.consul. 5 IN A 10.2.0.2"},
		{"web.service.all.consul.", dns.TypeSRV, []string{"dc1", "dc2", "dc3"}, false, "NOERROR\nweb.service.all.consul. 5 IN SRV 1 7 80 l1.node.dc1.consul.\nweb.service.all.consul. 5 IN SRV 1 7 81 x1.node.dc2.consul.\n+ l1.node.dc1.consul. 5 IN A 10.1.0.1\n+ x1.node.dc2.consul. 5 IN A 10.2.0.1"},
		{"web.service.all.consul.", dns.TypeA, []string{"dc1", "dc2", "dc4"}, true, "NOERROR\nweb.service.all.consul. 5 IN A 10.1.0.1\nweb.service.all.consul. 5 IN A 10.2.0.1"},
		{"far.service.all.consul.", dns.TypeA, []string{"dc1", "dc2", "dc3"}, false, "NOERROR\nfar.service.all.consul. 5 IN A 10.3.0.2"},
		{"far.service.all.consul.", dns.TypeA, []string{"dc1", "dc2"}, false, "NOERROR\nfar.service.all.consul. 5 IN CNAME h.example.com."},
		{"none.service.all.consul.", dns.TypeA, []string{"dc1", "dc2"}, false, "NXDOMAIN\n" + soa},
		{"none.service.any.consul.", dns.TypeA, []string{"dc1", "dc4"}, false, "SERVFAIL"},
		{"service.any.consul.", dns.TypeA, []string{"dc1"}, false, "NOERROR\n" + soa},
		{"web.service.dc9.consul.", dns.TypeA, []string{"dc1"}, false, "NXDOMAIN\n" + soa},
		{"l1.node.all.consul.", dns.TypeA, []string{"dc1"}, false, "NXDOMAIN\n" + soa},
	} {
		opt := options()
		opt.Datacenters = func() []string { return tt.list }
		z := zone.New(opt, src, keepOrder)
		r := z.Answer(t.Context(), z.Parse(tt.name), tt.qtype)
		if got := lines(r); got != tt.want || r.Stale != tt.stale {
			t.Errorf("%s %v: stale %v\n%s\nwant\n%s", tt.name, tt.list, r.Stale, got, tt.want)
		}
	}
}
