package state

import (
	"maps"
	"slices"

	"github.com/hashicorp/go-memdb"

	"consul.internal/catalog"
	"consul.internal/configentry"
)

// Txn changes the state on behalf of one entry of the replicated log, or of
// several in a row (Next). Either all of it happens (Commit) or nothing (Abort).
type Txn struct {
	s *State
	indexing

	names map[string]*nameRow // service names touched by the present entry, as they were before (nil = not there)
	gone  []catalog.Change
	// Keys whose records changed and must be told as they are at the end, each once, in order.
	nodes, instances ordered
	resolvers        ordered // by service name
}

// records are the tables as a transaction reads and writes them.
type records struct {
	tx   *memdb.Txn
	base *memdb.Txn // the state as it was at Begin
	// What was written by now, nil where a record was taken away. memdb copies its
	// way to a record anew after each read of what it has written, so records are
	// read from here and from base.
	written map[string]map[string]any // by table, and key in the primary index
	// What memdb does not have yet of it: a record that is written time and again is
	// given to memdb once, when the table is searched or at the end.
	late map[string]map[string]late
	// Tables that must not wait: another record's key may be free only after one has changed.
	prompt map[string]bool
}

// late is a record that memdb does not have yet, or still has.
type late struct {
	rec  any
	gone bool
}

// recs lets get read what embeds records.
func (t *records) recs() *records { return t }

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
	db := s.db.Load()
	r := records{tx: db.Txn(true), base: db.Txn(false), written: map[string]map[string]any{}, late: map[string]map[string]late{}, prompt: db.prompt}
	return &Txn{s: s, indexing: indexing{records: r, index: index, raised: map[string]raising{}}, names: map[string]*nameRow{}}
}

// Next goes on with the entry at a higher index. The state becomes what it would
// be if each entry had a transaction of its own.
func (t *Txn) Next(index uint64) {
	t.endEntry()
	t.index = index
}

// endEntry does what hangs on an entry's index. What it raised can wait for the
// entries after it, unless it makes tombstones: which of them are given up hangs
// on their order.
func (t *Txn) endEntry() {
	t.raiseNames()
	clear(t.names)
	if t.buried {
		t.writeIndexes()
	}
}

// Abort forgets the transaction.
func (t *Txn) Abort() { t.tx.Abort() }

// Commit makes the transaction visible, wakes who watches and tells the feed.
// A transaction that changed nothing raises no index and tells nothing.
func (t *Txn) Commit() {
	t.endEntry()
	t.writeIndexes()
	changes := t.changes()
	for table := range t.late {
		t.settle(table)
	}
	t.tx.Commit()
	t.s.index.Store(t.index)
	if len(changes) > 0 {
		t.s.feed(catalog.Batch{Index: t.index, Changes: changes})
	}
}

// changes orders what happened so that no reader ever meets an instance without
// its node: what is gone, then nodes, then instances.
func (t *Txn) changes() []catalog.Change {
	if t.s.held {
		return nil
	}
	changes := t.gone
	for _, key := range t.nodes.list {
		if n, ok := get[*catalog.Node](t, tableNodes, key); ok {
			changes = append(changes, catalog.Change{Op: catalog.NodeSet, Node: n})
		}
	}
	for _, key := range t.instances.list {
		if row, ok := get[*serviceRow](t, tableServices, key); ok {
			i := bareIn(t, row)
			i.Checks = checksOf(t.reader(tableChecks), row)
			changes = append(changes, catalog.Change{Op: catalog.InstanceSet, Instance: i})
		}
	}
	for _, service := range t.resolvers.list {
		changes = append(changes, resolverChange(configSet{ConfigWriter{t}}.Get(configentry.KindServiceResolver, service), service))
	}
	return changes
}

// get returns the record under a key of a table's primary index.
func get[T any](of interface{ recs() *records }, table, key string) (rec T, ok bool) {
	t := of.recs()
	raw, known := t.written[table][key]
	if !known {
		return first[T](t.base, table, primary, key)
	}
	rec, ok = raw.(T) // not if it is gone
	return rec, ok
}

// reader reads what get cannot, by other indexes or by prefix.
func (t *records) reader(table string) *memdb.Txn {
	if t.written[table] == nil {
		return t.base
	}
	t.settle(table)
	return t.tx
}

// put writes a record, key being its own in the primary index.
func (t *records) put(table, key string, rec any) {
	t.note(table, key, rec)
	if t.prompt[table] {
		must(t.tx.Insert(table, rec))
		return
	}
	t.delay(table, key, late{rec: rec})
}

// remove takes a record away that is there.
func (t *records) remove(table, key string, rec any) {
	t.note(table, key, nil)
	if t.prompt[table] {
		must(t.tx.Delete(table, rec))
		return
	}
	t.delay(table, key, late{rec: rec, gone: true})
}

func (t *records) delay(table, key string, l late) {
	of := t.late[table]
	if of == nil {
		of = map[string]late{}
		t.late[table] = of
	}
	of[key] = l
}

// settle gives memdb what it does not have yet of a table.
func (t *records) settle(table string) {
	of := t.late[table]
	if len(of) == 0 {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(of)) { // in the order of the table, which is quicker
		l := of[key]
		if !l.gone {
			must(t.tx.Insert(table, l.rec))
		} else if _, there := first[any](t.tx, table, primary, key); there { // else it came and went
			must(t.tx.Delete(table, l.rec))
		}
	}
	clear(of)
}

func (t *records) note(table, key string, rec any) {
	of := t.written[table]
	if of == nil {
		of = map[string]any{}
		t.written[table] = of
	}
	of[key] = rec
}
