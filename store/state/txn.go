package state

import (
	"github.com/hashicorp/go-memdb"

	"consul.internal/catalog"
)

// Txn changes the state on behalf of one entry of the replicated log. Either
// all of it happens (Commit) or nothing (Abort).
type Txn struct {
	s     *State
	tx    *memdb.Txn
	index uint64

	raised map[string]bool     // index rows to write; true = as a tombstone
	names  map[string]*nameRow // service names touched, as they were before (nil = not there)
	gone   []catalog.Change
	// Keys whose records changed and must be told as they are at the end, each once, in order.
	nodes, instances ordered
}

// ordered is a set of keys that remembers the order of arrival.
type ordered struct {
	seen map[string]bool
	list []string
}

func (o *ordered) add(key string) {
	if !o.seen[key] {
		if o.seen == nil {
			o.seen = map[string]bool{}
		}
		o.seen[key] = true
		o.list = append(o.list, key)
	}
}

// Begin starts a transaction at an index of the log, which must be above that
// of the transaction before. The caller ends it by Commit or Abort.
func (s *State) Begin(index uint64) *Txn {
	return &Txn{s: s, tx: s.db.Load().Txn(true), index: index, raised: map[string]bool{}, names: map[string]*nameRow{}}
}

// Abort forgets the transaction.
func (t *Txn) Abort() { t.tx.Abort() }

// Commit makes the transaction visible, wakes who watches and tells the feed.
// A transaction that changed nothing raises no index and tells nothing.
func (t *Txn) Commit() {
	t.raiseNames()
	t.writeIndexes()
	changes := t.changes()
	t.tx.Commit()
	t.s.index.Store(t.index)
	if len(changes) > 0 {
		t.s.feed(catalog.Batch{Index: t.index, Changes: changes})
	}
}

// changes orders what happened so that no reader ever meets an instance without
// its node: what is gone, then nodes, then instances.
func (t *Txn) changes() []catalog.Change {
	changes := t.gone
	for _, key := range t.nodes.list {
		if n, ok := first[*catalog.Node](t.tx, tableNodes, primary, key); ok {
			changes = append(changes, catalog.Change{Op: catalog.NodeSet, Node: n})
		}
	}
	for _, key := range t.instances.list {
		if row, ok := first[*serviceRow](t.tx, tableServices, primary, key); ok {
			changes = append(changes, catalog.Change{Op: catalog.InstanceSet, Instance: instance(t.tx, row)})
		}
	}
	return changes
}
