package state

import (
	"slices"

	"github.com/hashicorp/go-memdb"

	"consul.internal/catalog"
)

// serviceRow is a service as the node of that name carries it.
type serviceRow struct {
	Node    string
	Service *catalog.Service
}

// nameRow is a service name with its instances and the tags that any of them
// carries. Only the name is saved; the rest comes back from the instances.
type nameRow struct {
	Name string // as first registered
	rows rowList
	tags []string // sorted, each once
}

const (
	tableServices = "services"
	tableNames    = "names"
	byConnect     = "connect"
)

func serviceTable() table {
	return table{
		record: func() any { return new(serviceRow) },
		schema: &memdb.TableSchema{Name: tableServices, Indexes: indexSchemas(
			by(primary, true, func(r *serviceRow) (string, bool) { return r.key(), true }),
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
		out[r.Name] = append([]string{}, r.tags...)
	}
	return indexAt(tx, ws, keyNames, nil), out
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
	named, _ := first[*nameRow](tx, tableNames, primary, nameKey(name))
	rows := named.all()
	absent := func() { watched[*nameRow](tx, ws, tableNames, primary, nameKey(name)) }
	if connect {
		key, rows = keyConnect, every[*serviceRow](tx, tableServices, byConnect, nameKey(name))
		absent = func() { watched[*serviceRow](tx, ws, tableServices, byConnect, nameKey(name)) }
	}
	out := []*catalog.Instance{}
	for row := range rows {
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
	i.Checks = checksOf(tx, row)
	return i
}

// checksOf lists the checks that bear on an instance: its node's, then its own.
func checksOf(tx *memdb.Txn, row *serviceRow) []*catalog.Check {
	checks := slices.AppendSeq([]*catalog.Check{}, every[*catalog.Check](tx, tableChecks, byTarget, serviceKey(row.Node, "")))
	return slices.AppendSeq(checks, every[*catalog.Check](tx, tableChecks, byTarget, row.key()))
}

// bareIn is bare in the middle of a transaction.
func bareIn(t *Txn, row *serviceRow) *catalog.Instance {
	n, _ := get[*catalog.Node](t, tableNodes, nodeKey(row.Node))
	return &catalog.Instance{Node: n, Service: row.Service}
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
	old, exists := get[*serviceRow](t, tableServices, row.key())
	if exists {
		if old.Service.SameContent(&s) {
			return
		}
		s.CreateIndex = old.Service.CreateIndex
		if nameKey(old.Service.Name) != nameKey(s.Name) {
			t.touch(old, true)
			t.gone = append(t.gone, catalog.Change{Op: catalog.InstanceGone, Instance: bareIn(t, old)})
		} else if standsFor(old.Service) != standsFor(&s) {
			t.touch(old, true)
		}
	}
	t.list(old, row)
	t.put(tableServices, row.key(), row)
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
	for _, c := range slices.Collect(every[*catalog.Check](t.reader(tableChecks), tableChecks, byTarget, row.key())) {
		check := *c
		check.ServiceName, check.ServiceTags = row.Service.Name, row.Service.Tags
		t.putCheck(&check, c)
	}
}

// touch notes that an instance differs from before: its service is to be told,
// and the queries that show it are to wake. record says that its service or node
// record changed, not only its checks.
func (t *Txn) touch(row *serviceRow, record bool) {
	if !t.s.held {
		t.instances.add(row.key())
	}
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
	if row, ok := get[*serviceRow](t, tableServices, serviceKey(node, id)); ok {
		t.deleteService(row)
	}
}

func (t *Txn) deleteService(row *serviceRow) {
	for _, c := range slices.Collect(every[*catalog.Check](t.reader(tableChecks), tableChecks, byTarget, row.key())) {
		t.deleteCheck(c)
	}
	t.touch(row, true)
	t.gone = append(t.gone, catalog.Change{Op: catalog.InstanceGone, Instance: bareIn(t, row)})
	t.remove(tableServices, row.key(), row)
	t.list(row, nil)
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
	if _, ok := get[*nameRow](t, tableNames, nameKey(old.Service.Name)); !ok {
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
	if _, ok := first[*serviceRow](t.reader(tableServices), tableServices, byConnect, nameKey(to)); !ok {
		t.tombstone(keyConnect + catalog.Fold(to))
	}
}
