package state

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/go-memdb"
)

// indexRow is the index at which something that is asked for as a whole (a
// table, a service's instances, a node's checks) last changed. Every blocking
// query watches exactly one such row, so a query over ten thousand instances
// costs no more watching than one over one.
//
// When a service or node is gone its rows stay as tombstones, so that the index
// of a query for it never goes back, and so that other services' ends do not wake
// it. The oldest tombstones are given up past maxTombstones; floor then keeps the
// highest index given up, which is the index of whatever has no row.
type indexRow struct {
	Key   string
	Index uint64
	Gone  bool
}

// Keys of index rows. Those that end in a slash are followed by a folded name.
const (
	keyNodes       = "nodes"         // any node record
	keyServices    = "services"      // any service record
	keyChecks      = "checks"        // any check
	keyNames       = "service-names" // the set of service names and their tags
	keyHealth      = "health/"       // a service's instances with their checks
	keyCatalog     = "catalog/"      // a service's instances without checks
	keyOwnChecks   = "own-checks/"   // the checks of a service's instances, without their nodes'
	keyConnect     = "connect/"      // instances that stand in for a service in the mesh
	keyNode        = "node/"         // a node and its services
	keyNodeChecks  = "node-checks/"  // a node's checks
	keyState       = "state/"        // checks in one status
	keyCoordinates = "coordinates"   // any node's place
	keyFloor       = "tombstones-to" // highest index among tombstones given up
	keyTombstones  = "tombstones"    // Index is how many tombstones there are
	maxTombstones  = 4096            // about 400 KB; two or three rows a vanished service or node
	tombstoneIndex = "gone"
	tableIndexes   = "indexes"
)

func indexTable() table {
	return table{
		record: func() any { return new(indexRow) },
		schema: &memdb.TableSchema{Name: tableIndexes, Indexes: indexSchemas(
			by(primary, true, func(r *indexRow) (string, bool) { return joined(r.Key), true }),
			by(tombstoneIndex, false, func(r *indexRow) (string, bool) {
				if !r.Gone {
					return "", false
				}
				return fmt.Sprintf("%016x", r.Index), true // so that the oldest come first
			}),
		)},
	}
}

// indexAt reads the index of a row, watching it. absent is called when there is
// no row, to watch whatever will change when there is one.
func indexAt(tx *memdb.Txn, ws memdb.WatchSet, key string, absent func()) uint64 {
	r, ok := first[*indexRow](tx, tableIndexes, primary, joined(key))
	switch {
	case ok:
		watched[*indexRow](tx, ws, tableIndexes, primary, joined(key))
		return max(r.Index, 1)
	case absent != nil:
		absent()
	default:
		watched[*indexRow](tx, ws, tableIndexes, primary, joined(key))
	}
	if r, ok = first[*indexRow](tx, tableIndexes, primary, joined(keyFloor)); ok {
		return max(r.Index, 1)
	}
	return 1
}

// indexing is a transaction's part in the index rows.
type indexing struct {
	records
	index  uint64             // of the present entry
	raised map[string]raising // index rows to write
	buried bool               // one of them is a tombstone
}

// raising is what becomes of an index row.
type raising struct {
	index uint64
	gone  bool // it becomes a tombstone
}

// raise notes that a row's index is the transaction's. gone rows become tombstones.
func (t *indexing) raise(key string) { t.raised[key] = raising{index: t.index} }

func (t *indexing) tombstone(key string) {
	t.raised[key] = raising{index: t.index, gone: true}
	t.buried = true
}

// hasRow reports whether a row exists, or will at the end of the transaction.
func (t *indexing) hasRow(key string) bool {
	if _, ok := t.raised[key]; ok {
		return true
	}
	_, ok := get[*indexRow](t, tableIndexes, joined(key))
	return ok
}

func (t *indexing) writeIndexes() {
	buried := int64(0)
	for _, key := range slices.Sorted(maps.Keys(t.raised)) { // in the order of the table, which is quicker
		to := t.raised[key]
		old, ok := get[*indexRow](t, tableIndexes, joined(key))
		if ok && old.Gone {
			buried--
		}
		if to.gone {
			buried++
		}
		t.putIndex(indexRow{Key: key, Index: to.index, Gone: to.gone})
	}
	clear(t.raised)
	t.buried = false
	if buried != 0 {
		t.giveUpTombstones(buried)
	}
}

func (t *indexing) putIndex(r indexRow) { t.put(tableIndexes, joined(r.Key), &r) }

func (t *indexing) giveUpTombstones(added int64) {
	var count, floor uint64
	if r, ok := get[*indexRow](t, tableIndexes, joined(keyTombstones)); ok {
		count = r.Index
	}
	count = uint64(int64(count) + added)
	var drop []*indexRow
	for r := range under[*indexRow](t.reader(tableIndexes), tableIndexes, tombstoneIndex, "") {
		if count-uint64(len(drop)) <= maxTombstones {
			break
		}
		drop = append(drop, r)
		floor = r.Index
	}
	for _, r := range drop {
		t.remove(tableIndexes, joined(r.Key), r)
	}
	t.putIndex(indexRow{Key: keyTombstones, Index: count - uint64(len(drop))})
	if floor > 0 {
		if r, ok := get[*indexRow](t, tableIndexes, joined(keyFloor)); ok {
			floor = max(floor, r.Index)
		}
		t.putIndex(indexRow{Key: keyFloor, Index: floor})
	}
}
