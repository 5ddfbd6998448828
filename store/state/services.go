package state

import (
	"maps"
	"slices"

	"github.com/hashicorp/go-memdb"

	"consul.internal/catalog"
)

// serviceRow is a service as the node of that name carries it.
type serviceRow struct {
	Node    string
	Service *catalog.Service
}

// nameRow counts, for one service name, the instances and how many of them
// carry each tag; it spares the list of services a walk over all instances.
type nameRow struct {
	Name      string // as first registered
	Instances int
	Tags      map[string]int
}

const (
	tableServices = "services"
	tableNames    = "names"
	byName        = "name"
	byConnect     = "connect"
)

func serviceTable() table {
	return table{
		record: func() any { return new(serviceRow) },
		schema: &memdb.TableSchema{Name: tableServices, Indexes: indexSchemas(
			by(primary, true, func(r *serviceRow) (string, bool) { return r.key(), true }),
			by(byName, false, func(r *serviceRow) (string, bool) { return nameKey(r.Service.Name), true }),
			by(byConnect, false, func(r *serviceRow) (string, bool) { return nameKey(standsFor(r.Service)), standsFor(r.Service) != "" }),
		)},
	}
}

func nameTable() table {
	return table{
		record: func() any { return new(nameRow) },
		schema: &memdb.TableSchema{Name: tableNames, Indexes: indexSchemas(
			by(primary, true, func(r *nameRow) (string, bool) { return nameKey(r.Name), true }),
		)},
	}
}

func serviceKey(node, id string) string { return joined(catalog.Fold(node), catalog.Fold(id)) }
func nameKey(name string) string        { return joined(catalog.Fold(name)) }

func (r *serviceRow) key() string { return serviceKey(r.Node, r.Service.ID) }

// standsFor is the service that callers inside the mesh reach through s: the one
// behind a sidecar, or s itself if it speaks the mesh's protocol; "" for none.
func standsFor(s *catalog.Service) string {
	switch {
	case s.Proxy.DestinationServiceName != "":
		return s.Proxy.DestinationServiceName
	case s.Connect.Native:
		return s.Name
	}
	return ""
}

// Services returns all service names with the tags that any instance carries.
func (s *State) Services(ws memdb.WatchSet) (uint64, map[string][]string) {
	tx := s.read(ws)
	out := map[string][]string{}
	for r := range under[*nameRow](tx, tableNames, primary, "") {
		tags := make([]string, 0, len(r.Tags))
		out[r.Name] = slices.AppendSeq(tags, maps.Keys(r.Tags))
		slices.Sort(out[r.Name])
	}
	return indexAt(tx, ws, keyNames, nil), out
}

// Instances returns every instance of every service, without checks, by node and ID.
func (s *State) Instances(ws memdb.WatchSet) (uint64, []*catalog.Instance) {
	tx := s.read(ws)
	out := []*catalog.Instance{}
	for row := range under[*serviceRow](tx, tableServices, primary, "") {
		out = append(out, bare(tx, row))
	}
	return max(indexAt(tx, ws, keyServices, nil), indexAt(tx, ws, keyNodes, nil)), out
}

// CatalogService returns a service's instances, without checks, by node and ID.
// connect asks for those that stand in for the service in the mesh.
func (s *State) CatalogService(ws memdb.WatchSet, name string, connect bool) (uint64, []*catalog.Instance) {
	return s.instances(ws, name, keyCatalog, connect, bare)
}

// ServiceInstances is CatalogService with the checks that bear on each instance.
func (s *State) ServiceInstances(ws memdb.WatchSet, name string, connect bool) (uint64, []*catalog.Instance) {
	return s.instances(ws, name, keyHealth, connect, instance)
}

func (s *State) instances(ws memdb.WatchSet, name, key string, connect bool, load func(*memdb.Txn, *serviceRow) *catalog.Instance) (uint64, []*catalog.Instance) {
	tx := s.read(ws)
	index := byName
	absent := func() { watched[*nameRow](tx, ws, tableNames, primary, nameKey(name)) }
	if connect {
		key, index = keyConnect, byConnect
		absent = func() { watched[*serviceRow](tx, ws, tableServices, byConnect, nameKey(name)) }
	}
	out := []*catalog.Instance{}
	for row := range every[*serviceRow](tx, tableServices, index, nameKey(name)) {
		out = append(out, load(tx, row))
	}
	return indexAt(tx, ws, key+catalog.Fold(name), absent), out
}

// bare joins a service and its node.
func bare(tx *memdb.Txn, row *serviceRow) *catalog.Instance {
	n, _ := first[*catalog.Node](tx, tableNodes, primary, nodeKey(row.Node))
	return &catalog.Instance{Node: n, Service: row.Service}
}

// instance joins a service, its node and the checks that bear on it.
func instance(tx *memdb.Txn, row *serviceRow) *catalog.Instance {
	i := bare(tx, row)
	i.Checks = []*catalog.Check{}
	for c := range every[*catalog.Check](tx, tableChecks, byTarget, serviceKey(row.Node, "")) {
		i.Checks = append(i.Checks, c)
	}
	for c := range every[*catalog.Check](tx, tableChecks, byTarget, row.key()) {
		i.Checks = append(i.Checks, c)
	}
	return i
}

// ensureService puts a service on a node, or leaves it when it is the same already.
func (t *Txn) ensureService(node *catalog.Node, in *catalog.Service) {
	s := *in
	if s.ID == "" {
		s.ID = s.Name
	}
	if s.Tags == nil {
		s.Tags = []string{} // clients know no absent list
	}
	if s.Weights == (catalog.Weights{}) {
		s.Weights = catalog.DefaultWeights
	}
	s.CreateIndex, s.ModifyIndex = t.index, t.index
	row := &serviceRow{Node: node.Name, Service: &s}
	old, exists := first[*serviceRow](t.tx, tableServices, primary, row.key())
	if exists {
		if old.Service.SameContent(&s) {
			return
		}
		s.CreateIndex = old.Service.CreateIndex
		t.count(old.Service, -1)
		if nameKey(old.Service.Name) != nameKey(s.Name) {
			t.touch(old, true)
			t.gone = append(t.gone, catalog.Change{Op: catalog.InstanceGone, Instance: bare(t.tx, old)})
		} else if standsFor(old.Service) != standsFor(&s) {
			t.touch(old, true)
		}
	}
	must(t.tx.Insert(tableServices, row))
	t.count(&s, +1)
	t.raise(keyServices)
	t.raise(keyNode + catalog.Fold(node.Name))
	t.touch(row, true)
	if exists && (old.Service.Name != s.Name || !slices.Equal(old.Service.Tags, s.Tags)) {
		t.relabelChecks(row)
	}
	t.buryIfLast(old, exists) // last: whatever raises a row of the old name has done so
}

// relabelChecks carries a service's new name and tags into its checks.
func (t *Txn) relabelChecks(row *serviceRow) {
	for _, c := range slices.Collect(every[*catalog.Check](t.tx, tableChecks, byTarget, row.key())) {
		check := *c
		check.ServiceName, check.ServiceTags = row.Service.Name, row.Service.Tags
		t.putCheck(&check, c)
	}
}

// touch notes that an instance differs from before: its service is to be told,
// and the queries that show it are to wake. record says that its service or node
// record changed, not only its checks.
func (t *Txn) touch(row *serviceRow, record bool) {
	t.instances.add(row.key())
	t.raise(keyHealth + catalog.Fold(row.Service.Name))
	if record {
		t.raise(keyCatalog + catalog.Fold(row.Service.Name))
	}
	if to := standsFor(row.Service); to != "" {
		t.raise(keyConnect + catalog.Fold(to))
	}
}

// DeleteService takes a service off a node, with its checks. One that does not
// exist is no error.
func (t *Txn) DeleteService(node, id string) {
	if row, ok := first[*serviceRow](t.tx, tableServices, primary, serviceKey(node, id)); ok {
		t.deleteService(row)
	}
}

func (t *Txn) deleteService(row *serviceRow) {
	for _, c := range slices.Collect(every[*catalog.Check](t.tx, tableChecks, byTarget, row.key())) {
		t.deleteCheck(c)
	}
	t.touch(row, true)
	t.gone = append(t.gone, catalog.Change{Op: catalog.InstanceGone, Instance: bare(t.tx, row)})
	must(t.tx.Delete(tableServices, row))
	t.count(row.Service, -1)
	t.raise(keyServices)
	t.raise(keyNode + catalog.Fold(row.Node))
	t.buryIfLast(row, true)
}

// buryIfLast makes tombstones of the index rows of a service whose last
// instance is gone.
func (t *Txn) buryIfLast(old *serviceRow, existed bool) {
	if !existed {
		return
	}
	if _, ok := first[*serviceRow](t.tx, tableServices, byName, nameKey(old.Service.Name)); !ok {
		t.tombstone(keyHealth + catalog.Fold(old.Service.Name))
		t.tombstone(keyCatalog + catalog.Fold(old.Service.Name))
		if key := keyOwnChecks + catalog.Fold(old.Service.Name); t.hasRow(key) {
			t.tombstone(key)
		}
	}
	to := standsFor(old.Service)
	if to == "" {
		return
	}
	if _, ok := first[*serviceRow](t.tx, tableServices, byConnect, nameKey(to)); !ok {
		t.tombstone(keyConnect + catalog.Fold(to))
	}
}

// count adds an instance to the list of service names, or takes one away.
func (t *Txn) count(s *catalog.Service, delta int) {
	row := nameRow{Name: s.Name}
	old, exists := first[*nameRow](t.tx, tableNames, primary, nameKey(s.Name))
	if exists {
		row = nameRow{Name: old.Name, Instances: old.Instances, Tags: maps.Clone(old.Tags)}
	}
	if _, noted := t.names[nameKey(s.Name)]; !noted {
		t.names[nameKey(s.Name)] = old
	}
	row.Instances += delta
	for i, tag := range s.Tags {
		if slices.Contains(s.Tags[:i], tag) {
			continue // an instance counts once, however often it names a tag
		}
		if row.Tags == nil {
			row.Tags = map[string]int{}
		}
		if row.Tags[tag] += delta; row.Tags[tag] == 0 {
			delete(row.Tags, tag)
		}
	}
	if row.Instances == 0 {
		must(t.tx.Delete(tableNames, old))
	} else {
		must(t.tx.Insert(tableNames, &row))
	}
}

// raiseNames raises the index of the list of services if, taken together, the
// transaction changed what that list shows.
func (t *Txn) raiseNames() {
	for key, old := range t.names {
		now, _ := first[*nameRow](t.tx, tableNames, primary, key)
		if !old.shows(now) {
			t.raise(keyNames)
		}
	}
}

// shows reports whether two rows, nil for none, look the same in the list of services.
func (r *nameRow) shows(o *nameRow) bool {
	if r == nil || o == nil {
		return r == o
	}
	if r.Name != o.Name || len(r.Tags) != len(o.Tags) {
		return false
	}
	for tag := range r.Tags {
		if o.Tags[tag] == 0 {
			return false
		}
	}
	return true
}
