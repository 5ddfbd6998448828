package state

import (
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/hashicorp/go-memdb"

	"consul.internal/catalog"
)

// Snapshot is the state at one index. It stays as it is while the state goes on.
type Snapshot struct {
	tx    *memdb.Txn
	index uint64
}

// Snapshot takes a snapshot. It costs next to nothing. The writer calls it, so
// that index and tables belong together.
func (s *State) Snapshot() *Snapshot {
	return &Snapshot{tx: s.read(nil), index: s.Index()}
}

// Index is that of the last transaction in the snapshot.
func (s *Snapshot) Index() uint64 { return s.index }

// Cluster returns the cluster's record in the snapshot.
func (s *Snapshot) Cluster() Cluster { return cluster(s.tx) }

// Records iterates every record with its table's name, table by table in the
// order of Tables.
func (s *Snapshot) Records() iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		for _, name := range Tables() {
			for rec := range under[any](s.tx, name, primary, "") {
				if !yield(name, rec) {
					return
				}
			}
		}
	}
}

// Restore builds a state out of a snapshot's records, beside the one in use.
// Nothing changes for anyone until Commit.
type Restore struct {
	s       *State
	db      *database
	tx      *memdb.Txn
	records map[string]func() any
	names   map[string]*nameRow // by key; their instances are in parts of one until the catalog is whole
	whole   bool                // every record of the catalog is there, and joined to the others
}

// inCatalog reports whether a table's records are joined to those of others.
func inCatalog(table string) bool {
	switch table {
	case tableNodes, tableServices, tableNames, tableChecks:
		return true
	}
	return false
}

// afterNames reports whether a table, and all that follow it in a snapshot, have
// nothing to do with what names are answered from.
func afterNames(table string) bool {
	return table == tableSessions || table == tableKeys || table == tableTombstones || table == tableDelays
}

// Restore begins a restore.
func (s *State) Restore() *Restore {
	r := &Restore{
		s: s, db: newDatabase(), records: map[string]func() any{}, names: map[string]*nameRow{},
	}
	for _, t := range tables() {
		r.records[t.schema.Name] = t.record
	}
	r.tx = r.db.Txn(true)
	return r
}

// Record makes an empty record of a table, as a pointer. Any number of
// goroutines may call it.
func (r *Restore) Record(table string) (any, error) {
	record, ok := r.records[table]
	if !ok {
		return nil, fmt.Errorf("unknown table %q: the snapshot is of a newer version", table)
	}
	return record(), nil
}

// Add puts in a record that Record made and the caller filled.
func (r *Restore) Add(table string, record any) error {
	if r.whole && inCatalog(table) {
		return fmt.Errorf("table %s: its records are not together", table)
	}
	if !r.whole && afterNames(table) {
		if err := r.join(); err != nil {
			return err
		}
		if r.s.foretell {
			r.s.feed(catalog.Batch{Reset: true, Changes: everything(r.tx)})
		}
	}
	switch rec := record.(type) {
	case *catalog.Node:
		rec.Datacenter = intern(rec.Datacenter)
	case *serviceRow:
		if rec.Service == nil {
			return fmt.Errorf("table %s: a record is empty", table)
		}
		n := r.name(rec.Service.Name)
		n.rows = append(n.rows, []*serviceRow{rec})
	case *nameRow:
		r.name(rec.Name).Name = rec.Name
		return nil // its instances are not all known yet
	case *catalog.Check:
		share(rec)
	case *coordinateRow:
		if err := rec.Coord.Validate(); err != nil {
			return fmt.Errorf("table %s: %w", table, err)
		}
	}
	if err := r.tx.Insert(table, record); err != nil {
		return fmt.Errorf("table %s: %w", table, err)
	}
	return nil
}

// name is the row of a service name, spelled so unless a record says otherwise.
func (r *Restore) name(name string) *nameRow {
	row := r.names[nameKey(name)]
	if row == nil {
		row = &nameRow{Name: name}
		r.names[nameKey(name)] = row
	}
	return row
}

// join has the catalog's records share what they have in common, once all of
// them are there. None is changed afterwards.
func (r *Restore) join() error {
	for row := range under[*serviceRow](r.tx, tableServices, primary, "") {
		n, ok := first[*catalog.Node](r.tx, tableNodes, primary, nodeKey(row.Node))
		if !ok {
			return fmt.Errorf("service %q is on node %q, which the snapshot does not hold", row.Service.ID, row.Node)
		}
		if row.Node == n.Name {
			row.Node = n.Name // the same bytes, kept once
		}
	}
	for _, key := range slices.Sorted(maps.Keys(r.names)) {
		if row := r.names[key].gathered(); row != nil {
			must(r.tx.Insert(tableNames, row))
		}
	}
	r.shareChecks()
	r.whole = true
	return nil
}

// Commit puts the restored state in the place of the old one, wakes all who
// watch the old one, and tells the feed the whole state.
func (r *Restore) Commit(index uint64) error {
	if !r.whole {
		if err := r.join(); err != nil {
			return err
		}
	}
	r.tx.Commit()
	old := r.s.db.Swap(r.db)
	r.s.index.Store(index)
	close(old.abandoned)
	r.s.tellAll()
	return nil
}

// gathered is the row with its instances in order and its tags, nil if it has none.
func (r *nameRow) gathered() *nameRow {
	rows := slices.SortedFunc(r.all(), (*serviceRow).compare)
	if len(rows) == 0 {
		return nil
	}
	g := &nameRow{Name: r.Name}
	for part := range slices.Chunk(rows, maxPart) {
		g.rows = append(g.rows, slices.Clone(part))
	}
	for _, row := range rows {
		row.share(rows[0])
		if row == rows[0] || !slices.Equal(row.Service.Tags, rows[0].Service.Tags) {
			g.retag(nil, row)
		}
	}
	return g
}

// shareChecks has the checks use the names of what they check.
func (r *Restore) shareChecks() {
	for c := range under[*catalog.Check](r.tx, tableChecks, primary, "") {
		if n, ok := first[*catalog.Node](r.tx, tableNodes, primary, nodeKey(c.Node)); ok && n.Name == c.Node {
			c.Node = n.Name
		}
		row, ok := first[*serviceRow](r.tx, tableServices, primary, serviceKey(c.Node, c.ServiceID))
		if !ok {
			continue
		}
		if s := row.Service; s.ID == c.ServiceID && s.Name == c.ServiceName && slices.Equal(s.Tags, c.ServiceTags) {
			c.ServiceID, c.ServiceName, c.ServiceTags = s.ID, s.Name, s.Tags
		}
	}
}
