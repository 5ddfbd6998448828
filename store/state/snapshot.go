package state

import (
	"fmt"
	"iter"
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
func (s *Snapshot) Cluster() Cluster {
	if c, ok := first[*Cluster](s.tx, tableCluster, primary, "the"); ok {
		return *c
	}
	return Cluster{}
}

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
}

// Restore begins a restore.
func (s *State) Restore() *Restore {
	r := &Restore{s: s, db: newDatabase(), records: map[string]func() any{}}
	for _, t := range tables() {
		r.records[t.schema.Name] = t.record
	}
	r.tx = r.db.Txn(true)
	return r
}

// Add puts in one record of a table; decode fills the record that it is given.
func (r *Restore) Add(table string, decode func(record any) error) error {
	record, ok := r.records[table]
	if !ok {
		return fmt.Errorf("unknown table %q: the snapshot is of a newer version", table)
	}
	rec := record()
	if err := decode(rec); err != nil {
		return fmt.Errorf("table %s: %w", table, err)
	}
	if err := r.tx.Insert(table, rec); err != nil {
		return fmt.Errorf("table %s: %w", table, err)
	}
	return nil
}

// Commit puts the restored state in the place of the old one, wakes all who
// watch the old one, and tells the feed the whole state.
func (r *Restore) Commit(index uint64) error {
	for row := range under[*serviceRow](r.tx, tableServices, primary, "") {
		if _, ok := first[*catalog.Node](r.tx, tableNodes, primary, nodeKey(row.Node)); !ok {
			return fmt.Errorf("service %q is on node %q, which the snapshot does not hold", row.Service.ID, row.Node)
		}
	}
	r.tx.Commit()
	old := r.s.db.Swap(r.db)
	r.s.index.Store(index)
	close(old.abandoned)
	r.s.feed(catalog.Batch{Index: index, Reset: true, Changes: r.s.everything()})
	return nil
}

// everything is the whole state as changes.
func (s *State) everything() []catalog.Change {
	tx := s.read(nil)
	var changes []catalog.Change
	for n := range under[*catalog.Node](tx, tableNodes, primary, "") {
		changes = append(changes, catalog.Change{Op: catalog.NodeSet, Node: n})
	}
	for row := range under[*serviceRow](tx, tableServices, primary, "") {
		changes = append(changes, catalog.Change{Op: catalog.InstanceSet, Instance: instance(tx, row)})
	}
	return slices.Clip(changes)
}
