package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-memdb"

	"consul.internal/acl"
	"consul.internal/catalog"
)

// model is the catalog as a child would write it: maps, no indexes.
type model struct {
	nodes    map[string]*catalog.Node               // by folded name
	services map[string]map[string]*catalog.Service // by node, folded ID
	checks   map[string]map[string]*catalog.Check
}

func newModel() *model {
	return &model{map[string]*catalog.Node{}, map[string]map[string]*catalog.Service{}, map[string]map[string]*catalog.Check{}}
}

func (m *model) drop(n string) {
	delete(m.nodes, n)
	delete(m.services, n)
	delete(m.checks, n)
}

func (m *model) register(r *Registration) bool {
	n := catalog.Fold(r.Node.Name)
	for _, c := range r.Checks {
		known := m.services[n][catalog.Fold(c.ServiceID)] != nil || r.Service != nil && catalog.EqualFold(r.Service.ID, c.ServiceID)
		if c.ServiceID != "" && !known {
			return false
		}
	}
	in := *r.Node
	if in.ID == "" && m.nodes[n] != nil {
		in.ID = m.nodes[n].ID
	}
	leave := r.SkipNodeUpdate && m.nodes[n] != nil
	for name, o := range m.nodes {
		if !leave && in.ID != "" && o.ID == in.ID && name != n {
			m.drop(name)
		}
	}
	if !leave {
		m.nodes[n] = &in
	}
	if m.services[n] == nil {
		m.services[n], m.checks[n] = map[string]*catalog.Service{}, map[string]*catalog.Check{}
	}
	if r.Service != nil {
		s := *r.Service
		s.Weights = catalog.DefaultWeights
		m.services[n][catalog.Fold(s.ID)] = &s
		for _, c := range m.checks[n] {
			if catalog.EqualFold(c.ServiceID, s.ID) {
				c.ServiceName, c.ServiceTags = s.Name, s.Tags
			}
		}
	}
	for _, c := range r.Checks {
		k := *c
		if s := m.services[n][catalog.Fold(k.ServiceID)]; s != nil {
			k.ServiceName, k.ServiceTags = s.Name, s.Tags
		}
		m.checks[n][catalog.Fold(k.CheckID)] = &k
	}
	return true
}

func (m *model) deregister(d *Deregistration) {
	n := catalog.Fold(d.Node)
	switch {
	case d.ServiceID != "":
		id := catalog.Fold(d.ServiceID)
		if m.services[n][id] != nil {
			delete(m.services[n], id)
			maps.DeleteFunc(m.checks[n], func(_ string, c *catalog.Check) bool { return catalog.EqualFold(c.ServiceID, id) })
		}
	case d.CheckID != "":
		delete(m.checks[n], catalog.Fold(d.CheckID))
	default:
		m.drop(n)
	}
}

// instances tells every instance as text, without indexes.
func (m *model) instances() []string {
	var out []string
	for n, services := range m.services {
		for _, s := range services {
			var checks []string
			for _, c := range m.checks[n] {
				if c.ServiceID == "" || catalog.EqualFold(c.ServiceID, s.ID) {
					checks = append(checks, checkText(c))
				}
			}
			out = append(out, instanceText(m.nodes[n], s, checks))
		}
	}
	slices.Sort(out)
	return out
}

func checkText(c *catalog.Check) string {
	return fmt.Sprint(catalog.Fold(c.CheckID), c.Status, c.Output, catalog.Fold(c.ServiceID), c.ServiceName, c.ServiceTags)
}

func instanceText(n *catalog.Node, s *catalog.Service, checks []string) string {
	slices.Sort(checks)
	return fmt.Sprint(n.Name, n.ID, n.Address, s.ID, s.Name, s.Port, s.Tags, s.Weights, checks)
}

func texts(list []*catalog.Instance) []string {
	var out []string
	for _, i := range list {
		var checks []string
		for _, c := range i.Checks {
			checks = append(checks, checkText(c))
		}
		out = append(out, instanceText(i.Node, i.Service, checks))
	}
	slices.Sort(out)
	return out
}

// follower folds batches into instances as a view would.
type follower struct {
	nodes     map[string]*catalog.Node
	instances map[string]*catalog.Instance
}

func (f *follower) take(t *testing.T, b catalog.Batch) {
	if b.Reset || f.nodes == nil {
		f.nodes, f.instances = map[string]*catalog.Node{}, map[string]*catalog.Instance{}
	}
	for _, c := range b.Changes {
		switch c.Op {
		case catalog.NodeSet:
			f.nodes[nodeKey(c.Node.Name)] = c.Node
		case catalog.NodeGone:
			delete(f.nodes, nodeKey(c.Node.Name))
			for key := range f.instances {
				if strings.HasPrefix(key, nodeKey(c.Node.Name)) {
					t.Errorf("node %s went before its instance %q", c.Node.Name, key)
				}
			}
		case catalog.InstanceSet:
			if f.nodes[nodeKey(c.Instance.Node.Name)] == nil {
				t.Errorf("instance of %s came before its node", c.Instance.Node.Name)
			}
			f.instances[f.key(c.Instance)] = c.Instance
		case catalog.InstanceGone:
			if f.instances[f.key(c.Instance)] == nil {
				t.Errorf("instance %s on %s went without having come", c.Instance.Service.ID, c.Instance.Node.Name)
			}
			delete(f.instances, f.key(c.Instance))
		}
	}
}

// key has the service's name, as views find instances by it.
func (*follower) key(i *catalog.Instance) string {
	return serviceKey(i.Node.Name, i.Service.ID) + nameKey(i.Service.Name)
}

// randomStep makes a registration or a deregistration over few names, so that they meet.
func randomStep(r *rand.Rand) (*Registration, *Deregistration) {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	n := pick("n1", "N1", "n2", "n3")
	if r.IntN(4) == 0 {
		return nil, &Deregistration{Node: n, ServiceID: pick("", "", "a", "B"), CheckID: pick("", "c1", "C2")}
	}
	out := &Registration{Node: &catalog.Node{Name: n, Address: pick("10.0.0.1", "10.0.0.2"),
		ID: pick("", "", "aaaaaaaa-1111-1111-1111-111111111111", "aaaaaaaa-2222-2222-2222-222222222222")}, SkipNodeUpdate: r.IntN(3) == 0}
	if r.IntN(2) == 0 {
		out.Service = &catalog.Service{ID: pick("a", "A", "b"), Name: pick("web", "db", "Web"), Port: r.IntN(2)}
		for range r.IntN(3) {
			out.Service.Tags = append(out.Service.Tags, pick("x", "y", "z"))
		}
		if r.IntN(4) == 0 {
			out.Service.Proxy.DestinationServiceName = pick("web", "db")
		}
	}
	for range r.IntN(3) {
		out.Checks = append(out.Checks, &catalog.Check{CheckID: pick("c1", "c2", "C1"), ServiceID: pick("", "a", "b"),
			Status: catalog.Status(pick("passing", "warning", "critical")), Output: pick("", "out")})
	}
	return out, nil
}

// TestAgainstModel runs random steps against a naive model. After each step the
// contents agree, what the feed told agrees, no index goes back, and where a
// result changed the index rose and the watch fired. Now and then the state is
// saved and restored.
func TestAgainstModel(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			var (
				f    follower
				m    = newModel()
				fx   = newFixture(t)
				asks = queries()
			)
			for step := range 700 {
				type seen struct {
					index uint64
					text  string
					ws    memdb.WatchSet
				}
				before := make([]seen, len(asks))
				for i, q := range asks {
					ws := memdb.NewWatchSet()
					index, v := q.read(fx.State, ws)
					before[i] = seen{index, asJSON(t, v), ws}
				}
				fx.batches = nil
				in, out := randomStep(r)
				if in != nil {
					_, err := fx.do(func(tx *Txn) error { return tx.EnsureRegistration(in) })
					if ok := m.register(in); ok != (err == nil) {
						t.Fatalf("step %d: %+v: the model says %v, the state %v", step, in, ok, err)
					}
				} else {
					fx.deregister(out.Node, out.ServiceID, out.CheckID)
					m.deregister(out)
				}
				for i, q := range asks {
					index, v := q.read(fx.State, nil)
					if index < before[i].index {
						t.Fatalf("step %d: %s went back from %d to %d", step, q.name, before[i].index, index)
					}
					if asJSON(t, v) != before[i].text && (index == before[i].index || !fired(before[i].ws)) {
						t.Fatalf("step %d: %+v %+v: %s changed, its index %d to %d, its watch fired %v\n%s\n%s", step, in, out, q.name, before[i].index, index, fired(before[i].ws), before[i].text, asJSON(t, v))
					}
				}
				for _, b := range fx.batches {
					f.take(t, b)
				}
				if step%100 == 99 {
					restored := New(func(b catalog.Batch) { f.take(t, b) })
					copyState(t, fx.State, restored)
					if got, want := asJSON(t, fx.dump()), asJSON(t, (&fixture{State: restored}).dump()); got != want {
						t.Fatalf("step %d: restored\n%s\nwant\n%s", step, want, got)
					}
					fx.State = restored
					fx.State.feed = func(b catalog.Batch) { fx.batches = append(fx.batches, b) }
				}
				compare(t, step, m, fx.State, &f)
			}
		})
	}
}

func compare(t *testing.T, step int, m *model, s *State, f *follower) {
	t.Helper()
	want := m.instances()
	var got []*catalog.Instance
	_, all := s.Inventory(nil).Instances()
	byName := map[string]bool{}
	for _, i := range all {
		if !byName[catalog.Fold(i.Service.Name)] {
			byName[catalog.Fold(i.Service.Name)] = true
			_, list := s.ServiceInstances(nil, i.Service.Name, false)
			got = append(got, list...)
		}
	}
	if !slices.Equal(texts(got), want) {
		t.Fatalf("step %d: state\n%s\nwant\n%s", step, strings.Join(texts(got), "\n"), strings.Join(want, "\n"))
	}
	if told := texts(slices.Collect(maps.Values(f.instances))); !slices.Equal(told, want) {
		t.Fatalf("step %d: told\n%s\nwant\n%s", step, strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
	if _, nodes := s.Nodes(nil); len(nodes) != len(m.nodes) || len(f.nodes) != len(m.nodes) {
		t.Fatalf("step %d: %d nodes, told %d, want %d", step, len(nodes), len(f.nodes), len(m.nodes))
	}
	names := map[string]bool{}
	for _, services := range m.services {
		for _, s := range services {
			names[catalog.Fold(s.Name)] = true
		}
	}
	if _, services := s.Services(nil); len(services) != len(names) {
		t.Fatalf("step %d: services %v, want %v", step, services, names)
	}
}

func asJSON(t *testing.T, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (f *fixture) dump() []any {
	var all []any
	for table, rec := range f.Snapshot().Records() {
		all = append(all, table, rec)
	}
	return all
}

// copyState saves one state and restores it into another, through JSON.
func copyState(t *testing.T, from, to *State) {
	t.Helper()
	snap := from.Snapshot()
	r := to.Restore()
	for table, rec := range snap.Records() {
		raw := asJSON(t, rec)
		into, err := r.Record(table)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(raw), into); err != nil {
			t.Fatal(err)
		}
		if err := r.Add(table, into); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Commit(snap.Index()); err != nil {
		t.Fatal(err)
	}
}

// Every table must be in a snapshot and come back from it, those of later days too.
func TestEveryTableIsSaved(t *testing.T) {
	f := newFixture(t)
	if _, err := f.do(func(tx *Txn) error { tx.FoundCluster("c", 1); return nil }); err != nil {
		t.Fatal(err)
	}
	f.register(reg("n1", "web", &catalog.Check{CheckID: "c"}))
	f.place("n1", 1)
	if err := f.putQuery(definition("id-1", "q"), false); err != nil {
		t.Fatal(err)
	}
	if _, err := f.putConfig(configEntry(t, `{"Kind":"proxy-defaults","Name":"global","Config":{"a":1}}`), nil, false); err != nil {
		t.Fatal(err)
	}
	f.keysAndSessions()
	if _, err := f.acl(func(w ACLWriter) error {
		w.PutMethod(&acl.AuthMethod{Name: "m"})
		return errors.Join(w.PutBinding(&acl.BindingRule{ID: "b", AuthMethod: "m"}), w.PutPolicy(&acl.Policy{ID: "p", Name: "p"}), w.PutRole(&acl.Role{ID: "r", Name: "r"}),
			w.PutToken(&acl.Token{AccessorID: "a", SecretID: "s"}, false))
	}); err != nil {
		t.Fatal(err)
	}
	saved := map[string]int{}
	for table, rec := range f.Snapshot().Records() {
		saved[table]++
		for _, tb := range tables() {
			if got, want := fmt.Sprintf("%T", rec), fmt.Sprintf("%T", tb.record()); tb.schema.Name == table && got != want {
				t.Errorf("table %s holds %s, a restore makes %s", table, got, want)
			}
		}
	}
	for table := range schema().Tables {
		if saved[table] == 0 {
			t.Errorf("table %s is not saved, or the test puts nothing in", table)
		}
	}
	to := New(nil)
	copyState(t, f.State, to)
	if got, want := asJSON(t, (&fixture{State: to}).dump()), asJSON(t, f.dump()); got != want {
		t.Errorf("restored\n%s\nwant\n%s", got, want)
	}
}

func TestRestoreSwaps(t *testing.T) {
	f := newFixture(t)
	f.register(reg("n1", "web"))
	ws := memdb.NewWatchSet()
	f.ServiceInstances(ws, "web", false)

	r := f.Restore()
	if _, err := r.Record("nonsense"); err == nil {
		t.Error("an unknown table is taken")
	}
	if err := r.Add(tableServices, &serviceRow{}); err == nil {
		t.Error("an empty record is taken")
	}
	if err := r.Add(tableServices, &serviceRow{Node: "lost", Service: &catalog.Service{ID: "x", Name: "x"}}); err != nil {
		t.Fatal(err)
	}
	if err := r.Commit(99); err == nil {
		t.Error("a service without its node is restored")
	}
	if fired(ws) || f.Index() == 99 {
		t.Error("a refused restore was seen")
	}
	f.batches = nil
	other := newFixture(t)
	other.register(reg("n9", "db"))
	copyState(t, other.State, f.State)
	if !fired(ws) {
		t.Error("a watcher of the old state sleeps on")
	}
	if len(f.batches) != 1 || !f.batches[0].Reset || len(f.batches[0].Changes) != 2 {
		t.Errorf("told %+v", f.batches)
	}
	if _, list := f.ServiceInstances(nil, "web", false); len(list) != 0 {
		t.Error("the old state is still there")
	}
}
