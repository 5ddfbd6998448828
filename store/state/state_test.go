package state

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/hashicorp/go-memdb"

	"consul.internal/catalog"
)

// fixture is a state with a feed that is recorded.
type fixture struct {
	*State
	t       testing.TB
	next    uint64
	batches []catalog.Batch
}

func newFixture(t testing.TB) *fixture {
	f := &fixture{t: t, next: 10}
	f.State = New(func(b catalog.Batch) { f.batches = append(f.batches, b) })
	return f
}

// do runs one transaction and returns its index.
func (f *fixture) do(fn func(*Txn) error) (uint64, error) {
	f.next++
	tx := f.Begin(f.next)
	if err := fn(tx); err != nil {
		tx.Abort()
		return f.next, err
	}
	tx.Commit()
	return f.next, nil
}

func (f *fixture) register(r *Registration) uint64 {
	f.t.Helper()
	index, err := f.do(func(tx *Txn) error { return tx.EnsureRegistration(r) })
	if err != nil {
		f.t.Fatal(err)
	}
	return index
}

func (f *fixture) deregister(node, service, check string) uint64 {
	f.t.Helper()
	index, err := f.do(func(tx *Txn) error {
		return tx.Deregister(&Deregistration{Node: node, ServiceID: service, CheckID: check})
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return index
}

func node(name string) *catalog.Node {
	return &catalog.Node{Name: name, Address: "10.0.0.1", Datacenter: "dc1"}
}

func reg(n, service string, checks ...*catalog.Check) *Registration {
	r := &Registration{Node: node(n), Checks: checks}
	if service != "" {
		r.Service = &catalog.Service{Name: service, Port: 80}
	}
	return r
}

func TestRegisterErrors(t *testing.T) {
	const id = "aaaaaaaa-1111-1111-1111-111111111111"
	withID := func(id string) *catalog.Node { n := node("n3"); n.ID = id; return n }
	for _, tt := range []struct {
		name string
		r    *Registration
		want string
	}{
		{"nothing", &Registration{}, "Must provide node"},
		{"no name", &Registration{Node: &catalog.Node{Address: "1.1.1.1"}}, "Must provide node"},
		{"no address", &Registration{Node: &catalog.Node{Name: "n"}}, "Must provide address if SkipNodeUpdate is not set"},
		{"bad ID", &Registration{Node: withID("zzz")}, "Bad node ID: uuid string is wrong length"},
		{"bad ID of right length", &Registration{Node: withID("aaaaaaaa+1111-1111-1111-111111111111")}, "Bad node ID: uuid is improperly formatted"},
		{"service ID alone", &Registration{Node: node("n"), Service: &catalog.Service{ID: "x"}}, "Must provide service name (Service.Service) when service ID is provided"},
		{"unknown service", reg("n", "", &catalog.Check{CheckID: "z", ServiceID: "nope"}), "Unknown service ID 'nope' for check ID 'z'"},
		{"check of another node", reg("n", "", &catalog.Check{Node: "m", CheckID: "z"}), `check "z" is for node "m", but the registration is for node "n"`},
		{"check without name", reg("n", "", &catalog.Check{}), "Must provide a CheckID or a Name for each check"},
		{"check status", reg("n", "", &catalog.Check{CheckID: "z", Status: "sick"}), `check "z" has the unknown status "sick": use passing, warning or critical`},
		{"NUL", reg("n\x00", ""), `node name "n\x00" holds a NUL byte`},
		{"living holder of the name", &Registration{Node: &catalog.Node{ID: "bbbbbbbb-1111-1111-1111-111111111111", Name: "ALIVE", Address: "1.1.1.1"}},
			`node name "alive" is held by the living node ` + id + ` (10.0.0.9)`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			f.register(&Registration{Node: &catalog.Node{ID: id, Name: "alive", Address: "10.0.0.9"},
				Checks: []*catalog.Check{{CheckID: catalog.SerfHealth, Status: catalog.Passing}}})
			before := f.Index()
			_, err := f.do(func(tx *Txn) error { return tx.EnsureRegistration(tt.r) })
			if err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if _, nodes := f.Nodes(nil); len(nodes) != 1 || f.Index() != before {
				t.Errorf("something of a refused registration stayed: %v", nodes)
			}
		})
	}
}

func TestRegisterDefaults(t *testing.T) {
	f := newFixture(t)
	f.register(reg("N1", "Web", &catalog.Check{Name: "alive"}, &catalog.Check{CheckID: "s", ServiceID: "WEB"}))
	_, list := f.ServiceInstances(nil, "web", false)
	if len(list) != 1 {
		t.Fatalf("instances %v", list)
	}
	i := list[0]
	if i.Node.Name != "N1" || i.Service.ID != "Web" || i.Service.Weights != catalog.DefaultWeights {
		t.Errorf("got %+v %+v", i.Node, i.Service)
	}
	if len(i.Checks) != 2 || i.Checks[0].CheckID != "alive" || i.Checks[0].Status != catalog.Critical || i.Checks[1].ServiceName != "Web" {
		t.Errorf("checks %+v %+v", i.Checks[0], i.Checks[1])
	}
	// SkipNodeUpdate leaves the node alone and needs no address.
	f.register(&Registration{Node: &catalog.Node{Name: "n1"}, SkipNodeUpdate: true, Service: &catalog.Service{Name: "extra"}})
	_, n, services := f.NodeServices(nil, "n1")
	if n.Address != "10.0.0.1" || n.Name != "N1" || len(services) != 2 {
		t.Errorf("node %+v services %v", n, services)
	}
}

func TestNodeIdentity(t *testing.T) {
	const one, two = "aaaaaaaa-1111-1111-1111-111111111111", "aaaaaaaa-2222-2222-2222-222222222222"
	f := newFixture(t)
	with := func(id, name, addr string) *Registration {
		return &Registration{Node: &catalog.Node{ID: id, Name: name, Address: addr}}
	}
	first := f.register(with(one, "n2", "10.0.0.2"))
	r := with(one, "n2", "10.0.0.2")
	r.Service = &catalog.Service{Name: "web"}
	f.register(r)
	renamed := f.register(with(one, "n2-renamed", "10.0.0.2"))
	n, ok := f.Node("n2-renamed")
	if !ok || n.CreateIndex != first || n.ModifyIndex != renamed {
		t.Errorf("renamed node %+v", n)
	}
	if _, ok := f.Node("n2"); ok {
		t.Error("the old name is still there")
	}
	if _, _, services := f.NodeServices(nil, "n2-renamed"); len(services) != 0 {
		t.Errorf("services of the old name came along: %v", services)
	}
	f.register(with(two, "n2-renamed", "10.0.0.3")) // nobody alive holds the name
	if n, _ := f.Node("n2-renamed"); n.ID != two || n.Address != "10.0.0.3" {
		t.Errorf("got %+v", n)
	}
	f.register(with("", "n2-renamed", "10.0.0.4"))
	if n, _ := f.Node(two); n == nil || n.Address != "10.0.0.4" {
		t.Errorf("a registration without ID took the ID away: %+v", n)
	}
	if _, ok := f.Node(one); ok {
		t.Error("the replaced ID is still found")
	}
}

// fired reports whether a watch closed.
func fired(ws memdb.WatchSet) bool {
	for ch := range ws {
		select {
		case <-ch:
			return true
		default:
		}
	}
	return false
}

// Who waits for a node by its ID wakes when there is one.
func TestNodeAwaitedByID(t *testing.T) {
	f := newFixture(t)
	f.register(reg("other", ""))
	const id = "11111111-2222-3333-4444-555555555555"
	services, checks := memdb.NewWatchSet(), memdb.NewWatchSet()
	before, none, _ := f.NodeServices(services, id)
	f.NodeChecks(checks, id)
	r := reg("n1", "web", &catalog.Check{CheckID: "c"})
	r.Node.ID = id
	f.register(r)
	after, n, list := f.NodeServices(nil, id)
	if none != nil || n == nil || len(list) != 1 || after <= before || !fired(services) {
		t.Errorf("node %v with %d services, index %d to %d, woken %v", n, len(list), before, after, fired(services))
	}
	if _, list := f.NodeChecks(nil, id); len(list) != 1 || !fired(checks) {
		t.Errorf("%d checks, woken %v", len(list), fired(checks))
	}
}

// A node is found by its address, in whatever form it is asked for; who waits is woken
// when that changes.
func TestNodeAt(t *testing.T) {
	f := newFixture(t)
	at := func(name, addr string) {
		r := reg(name, "")
		r.Node.Address = addr
		f.register(r)
	}
	find := func(ws memdb.WatchSet, addr string) string {
		if n := NodeAt(f.State, ws, netip.MustParseAddr(addr)); n != nil {
			return n.Name
		}
		return ""
	}
	at("n2", "10.0.0.2")
	at("n3", "10.0.0.2")
	at("v6", "2001:db8:0:0::1")
	at("named", "host.example")
	for addr, want := range map[string]string{"10.0.0.2": "n2", "::ffff:10.0.0.2": "n2", "2001:db8::1": "v6", "10.0.0.20": "", "10.0.0.9": ""} {
		if got := find(nil, addr); got != want {
			t.Errorf("%s: %q, want %q", addr, got, want)
		}
	}
	ws := memdb.NewWatchSet()
	find(ws, "10.0.0.9")
	at("n2", "10.0.0.9")
	if !fired(ws) || find(nil, "10.0.0.9") != "n2" || find(nil, "10.0.0.2") != "n3" {
		t.Errorf("woken %v; %q and %q after one has moved", fired(ws), find(nil, "10.0.0.9"), find(nil, "10.0.0.2"))
	}
}

// query is a read of the state.
type query struct {
	name string
	read func(*State, memdb.WatchSet) (uint64, any)
}

// queries are the reads of every kind, for the names that the tests use.
func queries() []query {
	wrap := func(i uint64, v any) (uint64, any) { return i, v }
	return []query{
		{"nodes", func(s *State, ws memdb.WatchSet) (uint64, any) { i, v := s.Nodes(ws); return wrap(i, v) }},
		{"services", func(s *State, ws memdb.WatchSet) (uint64, any) { i, v := s.Services(ws); return wrap(i, v) }},
		{"node n1", func(s *State, ws memdb.WatchSet) (uint64, any) {
			i, n, v := s.NodeServices(ws, "n1")
			return i, []any{n, v}
		}},
		{"node n2", func(s *State, ws memdb.WatchSet) (uint64, any) {
			i, n, v := s.NodeServices(ws, "n2")
			return i, []any{n, v}
		}},
		{"catalog web", func(s *State, ws memdb.WatchSet) (uint64, any) {
			i, v := s.CatalogService(ws, "Web", false)
			return i, v
		}},
		{"health web", func(s *State, ws memdb.WatchSet) (uint64, any) {
			i, v := s.ServiceInstances(ws, "web", false)
			return i, v
		}},
		{"health db", func(s *State, ws memdb.WatchSet) (uint64, any) {
			i, v := s.ServiceInstances(ws, "db", false)
			return i, v
		}},
		{"connect web", func(s *State, ws memdb.WatchSet) (uint64, any) {
			i, v := s.ServiceInstances(ws, "web", true)
			return i, v
		}},
		{"checks n1", func(s *State, ws memdb.WatchSet) (uint64, any) { i, v := s.NodeChecks(ws, "n1"); return i, v }},
		{"checks web", func(s *State, ws memdb.WatchSet) (uint64, any) { i, v := s.ServiceChecks(ws, "web"); return i, v }},
		{"critical", func(s *State, ws memdb.WatchSet) (uint64, any) {
			i, v := s.ChecksInState(ws, catalog.Critical)
			return i, v
		}},
		{"any", func(s *State, ws memdb.WatchSet) (uint64, any) { i, v := s.ChecksInState(ws, catalog.Any); return i, v }},
	}
}

// TestIndexesAndWatches runs steps and states for each which queries return a
// higher index than before; the index of a query must rise exactly when its
// result changed, and then its watch must have fired.
func TestIndexesAndWatches(t *testing.T) {
	queries := queries()
	f := newFixture(t)
	ttl := func(status catalog.Status) *catalog.Check {
		return &catalog.Check{CheckID: "ttl", Status: status, ServiceID: "web"}
	}
	tagged := reg("n1", "web")
	tagged.Service.Tags = []string{"v2"}
	tagged2 := reg("n1", "web")
	tagged2.Service.Tags, tagged2.Service.Port = []string{"v2"}, 81
	sidecar := reg("n2", "web-proxy")
	sidecar.Service.Kind, sidecar.Service.Proxy.DestinationServiceName = "connect-proxy", "web"
	moved := reg("n1", "")
	moved.Node.Address = "10.0.0.2"
	movedWeb := reg("n1", "web")
	movedWeb.Node.Address = "10.0.0.2"
	for _, step := range []struct {
		name string
		do   func()
		wake []string
	}{
		{"a node", func() { f.register(reg("n1", "")) }, []string{"nodes", "node n1"}},
		{"the same again", func() { f.register(reg("n1", "")) }, nil},
		{"a service", func() { f.register(reg("n1", "web")) }, []string{"services", "node n1", "catalog web", "health web"}},
		{"the same service again", func() { f.register(reg("n1", "web")) }, nil},
		{"another node and service", func() { f.register(reg("n2", "db")) }, []string{"nodes", "services", "node n2", "health db"}},
		{"a service check", func() { f.register(reg("n1", "", ttl(catalog.Critical))) }, []string{"health web", "checks n1", "checks web", "critical", "any"}},
		{"it passes", func() { f.register(reg("n1", "", ttl(catalog.Passing))) }, []string{"health web", "checks n1", "checks web", "critical", "any"}},
		{"its output changes", func() {
			c := ttl(catalog.Passing)
			c.Output = "ok"
			f.register(reg("n1", "", c))
		}, []string{"health web", "checks n1", "checks web", "any"}},
		{"a new tag reaches the check", func() { f.register(tagged) }, []string{"services", "node n1", "catalog web", "health web", "checks n1", "checks web", "any"}},
		{"a new port", func() { f.register(tagged2) }, []string{"node n1", "catalog web", "health web"}},
		{"a sidecar", func() { f.register(sidecar) }, []string{"services", "node n2", "connect web"}},
		{"a node check", func() { f.register(reg("n1", "", &catalog.Check{CheckID: "disk", Status: catalog.Warning})) }, []string{"health web", "checks n1", "any"}},
		{"a node moves", func() { f.register(moved) }, []string{"nodes", "node n1", "catalog web", "health web"}},
		{"the service goes with its check", func() { f.deregister("N1", "WEB", "") }, []string{"services", "node n1", "catalog web", "health web", "checks n1", "checks web", "any"}},
		{"again", func() { f.deregister("n1", "web", "") }, nil},
		{"another service goes", func() { f.deregister("n2", "db", "") }, []string{"services", "node n2", "health db"}},
		{"the other node goes", func() { f.deregister("n2", "", "") }, []string{"nodes", "services", "node n2", "connect web"}},
		{"the service comes back", func() { f.register(movedWeb) }, []string{"services", "node n1", "catalog web", "health web"}},
		{"a check goes", func() { f.deregister("n1", "", "DISK") }, []string{"checks n1", "health web", "any"}},
	} {
		type before struct {
			index uint64
			ws    memdb.WatchSet
		}
		state := map[string]before{}
		for _, q := range queries {
			ws := memdb.NewWatchSet()
			i, _ := q.read(f.State, ws)
			if i == 0 {
				t.Errorf("%s: index 0", q.name)
			}
			state[q.name] = before{i, ws}
		}
		step.do()
		for _, q := range queries {
			i, _ := q.read(f.State, nil)
			was, want := state[q.name], slices.Contains(step.wake, q.name)
			if i < was.index {
				t.Errorf("%s: %s went back from %d to %d", step.name, q.name, was.index, i)
			}
			if got := i > was.index; got != want {
				t.Errorf("%s: %s rose: %v, want %v", step.name, q.name, got, want)
			}
			if want && !fired(was.ws) {
				t.Errorf("%s: the watch on %s did not fire", step.name, q.name)
			}
		}
	}
}

// Thousands of services may come and go: what is kept of them is bounded, and
// no index goes back.
func TestTombstonesAreBounded(t *testing.T) {
	f := newFixture(t)
	f.register(reg("n1", "keep"))
	const n = maxTombstones
	for i := range n {
		name := fmt.Sprintf("s%d", i)
		f.register(reg("n1", name))
		f.deregister("n1", name, "")
	}
	rows := 0
	for range under[*indexRow](f.read(nil), tableIndexes, primary, "") {
		rows++
	}
	if rows > maxTombstones+20 {
		t.Errorf("%d index rows", rows)
	}
	tombs, _ := first[*indexRow](f.read(nil), tableIndexes, primary, joined(keyTombstones))
	gone := 0
	for range under[*indexRow](f.read(nil), tableIndexes, tombstoneIndex, "") {
		gone++
	}
	if int(tombs.Index) != gone || gone != maxTombstones {
		t.Errorf("counted %d tombstones, there are %d", tombs.Index, gone)
	}
	if i, _ := f.ServiceInstances(nil, "s0", false); i < 13 {
		t.Errorf("index of a long gone service went back to %d", i)
	}
}

func TestWatchesAreFew(t *testing.T) {
	f := newFixture(t)
	for i := range 2000 {
		f.register(reg(fmt.Sprintf("n%d", i), "web"))
	}
	ws := memdb.NewWatchSet()
	if _, list := f.ServiceInstances(ws, "web", false); len(list) != 2000 {
		t.Fatalf("%d instances", len(list))
	}
	if len(ws) > 2 { // the service's row, and the restore
		t.Errorf("%d channels", len(ws))
	}
}

func TestServicesUnion(t *testing.T) {
	f := newFixture(t)
	a, b := reg("n1", "web"), reg("n2", "WEB")
	a.Service.Tags, b.Service.Tags = []string{"b", "a", "a"}, []string{"c", "b"}
	f.register(a)
	f.register(b)
	f.register(reg("n2", "db"))
	if _, got := f.Services(nil); !maps.EqualFunc(got, map[string][]string{"web": {"a", "b", "c"}, "db": {}}, slices.Equal) {
		t.Errorf("got %v", got)
	}
	f.deregister("n1", "web", "")
	if _, got := f.Services(nil); !slices.Equal(got["web"], []string{"b", "c"}) {
		t.Errorf("got %v", got)
	}
}
