package view_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/view"
)

func node(name, addr string) *catalog.Node { return &catalog.Node{Name: name, Address: addr} }

func setNode(name, addr string) catalog.Change {
	return catalog.Change{Op: catalog.NodeSet, Node: node(name, addr)}
}

func goneNode(name string) catalog.Change {
	return catalog.Change{Op: catalog.NodeGone, Node: node(name, "")}
}

func set(nodeName, id, service, addr string) catalog.Change {
	return catalog.Change{Op: catalog.InstanceSet, Instance: &catalog.Instance{
		Node:    node(nodeName, "10.0.0.1"),
		Service: &catalog.Service{ID: id, Name: service, Address: addr},
	}}
}

func gone(nodeName, id string) catalog.Change {
	return catalog.Change{Op: catalog.InstanceGone, Instance: &catalog.Instance{
		Node: &catalog.Node{Name: nodeName}, Service: &catalog.Service{ID: id},
	}}
}

// dump says all that a directory answers.
func dump(d *view.Directory, addrs ...string) string {
	var out []string
	for s := range d.Services() {
		line := s.Name + "@" + fmt.Sprint(s.Index) + ":"
		for _, i := range s.Instances {
			line += " " + i.Node.Name + "/" + i.Service.ID
		}
		out = append(out, line)
	}
	for n := range d.Nodes() {
		out = append(out, "node "+n.Node.Name+"="+n.Node.Address)
	}
	for _, s := range addrs {
		a := d.Address(netip.MustParseAddr(s))
		if a == nil {
			continue
		}
		line := "addr " + s + ":"
		for _, n := range a.Nodes {
			line += " " + n.Name
		}
		for _, i := range a.Services {
			line += " " + i.Service.Name + "/" + i.Service.ID
		}
		out = append(out, line)
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

func TestApply(t *testing.T) {
	type batches = []catalog.Batch
	addrs := []string{"10.0.0.1", "10.0.0.2", "192.0.2.1", "192.0.2.2", "2001:db8::1"}
	for _, tt := range []struct {
		name string
		in   batches
		want string
	}{
		{"instances are sorted by node and ID", batches{{Index: 1, Changes: []catalog.Change{
			set("b", "web2", "web", ""), set("b", "web1", "web", ""), set("A", "web", "web", ""),
		}}}, "web@1: A/web b/web1 b/web2"},
		{"a change keeps its place", batches{
			{Index: 1, Changes: []catalog.Change{set("a", "w", "web", ""), set("b", "w", "web", ""), set("c", "w", "web", "")}},
			{Index: 2, Changes: []catalog.Change{set("b", "w", "web", "192.0.2.1")}},
		}, "addr 192.0.2.1: web/w\nweb@2: a/w b/w c/w"},
		{"the last instance takes the name with it", batches{
			{Index: 1, Changes: []catalog.Change{set("a", "w", "web", "192.0.2.1")}},
			{Index: 2, Changes: []catalog.Change{gone("A", "w")}},
		}, ""},
		{"names are one without case", batches{
			{Index: 1, Changes: []catalog.Change{set("a", "1", "Web", ""), set("b", "1", "wEB", "")}},
		}, "Web@1: a/1 b/1"},
		{"an instance that is renamed leaves the old name", batches{
			{Index: 1, Changes: []catalog.Change{set("a", "1", "old", "192.0.2.1"), set("b", "1", "old", "")}},
			{Index: 2, Changes: []catalog.Change{set("a", "1", "new", "192.0.2.2")}},
		}, "addr 192.0.2.2: new/1\nnew@2: a/1\nold@2: b/1"},
		{"an old batch is ignored", batches{
			{Index: 5, Changes: []catalog.Change{set("a", "1", "web", "")}},
			{Index: 5, Changes: []catalog.Change{gone("a", "1")}},
			{Index: 4, Changes: []catalog.Change{set("a", "2", "web", "")}},
		}, "web@5: a/1"},
		{"a reset voids what was", batches{
			{Index: 5, Changes: []catalog.Change{setNode("n1", "10.0.0.1"), setNode("n2", "10.0.0.2"), set("n1", "1", "web", "192.0.2.1"), set("n1", "2", "db", "")}},
			{Index: 3, Reset: true, Changes: []catalog.Change{setNode("n2", "10.0.0.1"), set("n2", "1", "web", "")}},
		}, "addr 10.0.0.1: n2\nnode n2=10.0.0.1\nweb@3: n2/1"},
		{"a node that goes takes its instances", batches{
			{Index: 1, Changes: []catalog.Change{setNode("n1", "10.0.0.1"), set("n1", "1", "web", "192.0.2.1"), set("n2", "1", "web", "")}},
			{Index: 2, Changes: []catalog.Change{goneNode("N1")}},
		}, "web@2: n2/1"},
		{"a node's address moves", batches{
			{Index: 1, Changes: []catalog.Change{setNode("n1", "10.0.0.1"), setNode("n2", "10.0.0.1"), setNode("n3", "host.example.com")}},
			{Index: 2, Changes: []catalog.Change{setNode("n1", "::ffff:10.0.0.2"), setNode("n3", "2001:db8::1")}},
		}, "addr 10.0.0.1: n2\naddr 10.0.0.2: n1\naddr 2001:db8::1: n3\nnode n1=::ffff:10.0.0.2\nnode n2=10.0.0.1\nnode n3=2001:db8::1"},
		{"twice in one batch, the last counts", batches{
			{Index: 1, Changes: []catalog.Change{setNode("n", "10.0.0.1"), setNode("n", "10.0.0.2"), set("n", "1", "a", ""), set("n", "1", "b", "192.0.2.1"), set("n", "2", "b", ""), gone("n", "2")}},
		}, "addr 10.0.0.2: n\naddr 192.0.2.1: b/1\nb@1: n/1\nnode n=10.0.0.2"},
		{"changes without their values are nothing", batches{
			{Index: 1, Changes: []catalog.Change{{Op: catalog.NodeSet}, {Op: catalog.InstanceSet, Instance: &catalog.Instance{}}, {Op: catalog.InstanceGone}, {Op: 99}}},
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := view.NewDirectory()
			for _, b := range tt.in {
				d.Apply(b)
			}
			if got := dump(d, addrs...); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

// A reader that holds a value keeps it, whatever the writer does.
func TestValuesNeverChange(t *testing.T) {
	d := view.NewDirectory()
	d.Apply(catalog.Batch{Index: 1, Changes: []catalog.Change{set("a", "1", "web", "192.0.2.1"), set("c", "1", "web", "192.0.2.1")}})
	held, addr := d.Service("WEB"), d.Address(netip.MustParseAddr("192.0.2.1"))
	d.Apply(catalog.Batch{Index: 2, Changes: []catalog.Change{set("b", "1", "web", "192.0.2.1"), gone("a", "1")}})
	if held.Instances[0].Node.Name != "a" || held.Instances[1].Node.Name != "c" || held.Index != 1 {
		t.Errorf("a held service changed: %+v", held)
	}
	if len(addr.Services) != 2 || addr.Services[0].Node.Name != "a" {
		t.Errorf("a held address changed: %+v", addr)
	}
	if got := d.Service("web"); len(got.Instances) != 2 || got.Instances[0].Node.Name != "b" || got.Index != 2 {
		t.Errorf("the new value is %+v", got)
	}
}

// While batches and resets come, a reader never misses a name that is in all of
// them, and never sees half of a batch in one name.
func TestReadersSeeWholeNames(t *testing.T) {
	d := view.NewDirectory()
	state := func(v string) []catalog.Change {
		var out []catalog.Change
		for n := range 50 {
			out = append(out, set(fmt.Sprintf("n%02d", n), v, "web", v))
		}
		return out
	}
	swap := func(old, v string) []catalog.Change {
		out := state(v)
		for n := range 50 {
			out = append(out, gone(fmt.Sprintf("n%02d", n), old))
		}
		return out
	}
	d.Apply(catalog.Batch{Index: 1, Changes: state("a")})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				s := d.Service("web")
				if s == nil || len(s.Instances) != 50 || s.Instances[0].Service.ID != s.Instances[49].Service.ID {
					t.Errorf("a reader saw %+v", s)
					return
				}
			}
		})
	}
	names := []string{"a", "b"}
	for i := range 300 {
		old, v := names[i%2], names[(i+1)%2]
		if i%3 == 0 {
			d.Apply(catalog.Batch{Index: uint64(i + 2), Reset: true, Changes: state(v)})
		} else {
			d.Apply(catalog.Batch{Index: uint64(i + 2), Changes: swap(old, v)})
		}
	}
	close(stop)
	wg.Wait()
}

func TestWaitIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := view.NewDirectory()
		reached := make(chan error, 1)
		go func() { reached <- d.WaitIndex(t.Context(), 7) }()
		synctest.Wait()
		d.Apply(catalog.Batch{Index: 6})
		synctest.Wait()
		select {
		case err := <-reached:
			t.Fatalf("returned at index 6: %v", err)
		default:
		}
		d.Apply(catalog.Batch{Index: 7})
		if err := <-reached; err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := d.WaitIndex(ctx, 8); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the deadline", err)
		}
	})
}

func TestLocal(t *testing.T) {
	d := view.NewDirectory()
	l := view.NewLocal("Dc1", d)
	if _, _, err := l.Service(t.Context(), "", "web"); !errors.Is(err, view.ErrNotReady) || !errors.Is(err, fault.Unavailable) {
		t.Errorf("before the first batch: %v", err)
	}
	if _, err := l.State(t.Context(), "dc2"); !errors.Is(err, fault.NotFound) {
		t.Errorf("another datacenter: %v", err)
	}
	d.Apply(catalog.Batch{Index: 9, Changes: []catalog.Change{set("n", "1", "web", "192.0.2.1"), setNode("n", "10.0.0.1")}})
	if s, _, err := l.Service(t.Context(), "", "web"); s == nil || err != nil {
		t.Errorf("what is there before all is: %+v, %v", s, err)
	}
	if s, _, err := l.Service(t.Context(), "", "nosuch"); s != nil || !errors.Is(err, view.ErrNotReady) {
		t.Errorf("what is not there before all is: %+v, %v", s, err)
	}
	d.SetReady()
	s, st, err := l.Service(t.Context(), "dC1", "Web")
	if err != nil || s == nil || st.Index != 9 || st.Stale {
		t.Errorf("service: %+v %+v %v", s, st, err)
	}
	if s, _, err := l.Service(t.Context(), "", "nosuch"); s != nil || err != nil {
		t.Errorf("absent service: %+v %v", s, err)
	}
	if n, _, err := l.Node(t.Context(), "", "N"); n == nil || err != nil {
		t.Errorf("node: %+v %v", n, err)
	}
	if a, _, err := l.Address(t.Context(), "", netip.MustParseAddr("192.0.2.1")); a == nil || err != nil {
		t.Errorf("address: %+v %v", a, err)
	}
	age := 2 * time.Second
	l.Aging(func() time.Duration { return age }, 2*time.Second)
	if st, err := l.State(t.Context(), ""); st.Stale || err != nil {
		t.Errorf("confirmed %s ago: %+v %v", age, st, err)
	}
	age++
	if _, st, err := l.Service(t.Context(), "", "web"); !st.Stale || st.Age != age || err != nil {
		t.Errorf("confirmed %s ago: %+v %v", age, st, err)
	}
}
