package state

import (
	"iter"
	"slices"

	"github.com/hashicorp/go-memdb"

	"consul.internal/catalog"
	"consul.internal/configentry"
)

// HoldFeed keeps all changes from the feed until ReleaseFeed tells it the whole
// state instead: whoever brings thousands of entries in before anybody reads has
// no use for each. Both are called by the writer.
func (s *State) HoldFeed() { s.held = true }

// Foretell has a restore tell the catalog as soon as it is there, although the feed
// is held: what comes after it in a snapshot, keys for the most part, can take a
// hundred times as long. The batch has no index yet, and ReleaseFeed replaces it.
func (s *State) Foretell() { s.foretell = s.held }

// ReleaseFeed ends HoldFeed and Foretell.
func (s *State) ReleaseFeed() {
	s.held, s.foretell = false, false
	if s.Index() > 0 {
		s.tellAll()
	}
}

func (s *State) tellAll() {
	if !s.held {
		s.feed(catalog.Batch{Index: s.Index(), Reset: true, Changes: everything(s.read(nil))})
	}
}

// Everything is the whole of what the feed tells, as it is now, for any goroutine.
func (s *State) Everything() []catalog.Change { return everything(s.read(nil)) }

// everything is the whole state as changes. Nodes, services and checks are each
// in the order of node, then service ID, so one walk over all joins them.
func everything(tx *memdb.Txn) []catalog.Change {
	rows := newWalk[*serviceRow](tx, tableServices, primary)
	checks := newWalk[*catalog.Check](tx, tableChecks, byTarget)
	var changes, instances []catalog.Change
	for n := range under[*catalog.Node](tx, tableNodes, primary, "") {
		changes = append(changes, catalog.Change{Op: catalog.NodeSet, Node: n})
		own := slices.Clip(slices.AppendSeq([]*catalog.Check{}, checksAt(checks, n.Name, "")))
		for rows.ok && catalog.EqualFold(rows.rec.Node, n.Name) {
			i := &catalog.Instance{Node: n, Service: rows.rec.Service}
			i.Checks = slices.AppendSeq(own, checksAt(checks, n.Name, i.Service.ID))
			instances = append(instances, catalog.Change{Op: catalog.InstanceSet, Instance: i})
			rows.next()
		}
	}
	changes = append(changes, instances...)
	for e := range under[*configentry.Entry](tx, tableConfig, primary, joined(configentry.KindServiceResolver)) {
		if c := resolverChange(e, e.Name); c.Op == catalog.ResolverSet {
			changes = append(changes, c)
		}
	}
	return changes
}

// checksAt iterates the checks of a node and service ID, passing over those
// before them, and leaves the walk behind them.
func checksAt(w *walk[*catalog.Check], node, serviceID string) iter.Seq[*catalog.Check] {
	return func(yield func(*catalog.Check) bool) {
		for ; w.ok; w.next() {
			c := catalog.CompareFold(w.rec.Node, node)
			if c == 0 {
				c = catalog.CompareFold(w.rec.ServiceID, serviceID)
			}
			if c > 0 || c == 0 && !yield(w.rec) {
				return
			}
		}
	}
}

// walk is a place in a table.
type walk[T any] struct {
	it  memdb.ResultIterator
	rec T
	ok  bool // there is a record here
}

func newWalk[T any](tx *memdb.Txn, table, index string) *walk[T] {
	it, err := tx.Get(table, index+"_prefix", "")
	must(err)
	w := &walk[T]{it: it}
	w.next()
	return w
}

func (w *walk[T]) next() {
	raw := w.it.Next()
	if w.ok = raw != nil; w.ok {
		w.rec = raw.(T)
	}
}
