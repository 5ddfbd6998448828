package state

import (
	"fmt"

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

// raise notes that a row's index is the transaction's. gone rows become tombstones.
func (t *Txn) raise(key string) { t.raised[key] = false }

func (t *Txn) tombstone(key string) { t.raised[key] = true }

// hasRow reports whether a row exists, or will at the end of the transaction.
func (t *Txn) hasRow(key string) bool {
	if _, ok := t.raised[key]; ok {
		return true
	}
	_, ok := first[*indexRow](t.tx, tableIndexes, primary, joined(key))
	return ok
}

func (t *Txn) writeIndexes() {
	buried := int64(0)
	for key, gone := range t.raised {
		old, ok := first[*indexRow](t.tx, tableIndexes, primary, joined(key))
		if ok && old.Gone {
			buried--
		}
		if gone {
			buried++
		}
		must(t.tx.Insert(tableIndexes, &indexRow{Key: key, Index: t.index, Gone: gone}))
	}
	if buried != 0 {
		t.giveUpTombstones(buried)
	}
}

func (t *Txn) giveUpTombstones(added int64) {
	var count, floor uint64
	if r, ok := first[*indexRow](t.tx, tableIndexes, primary, joined(keyTombstones)); ok {
		count = r.Index
	}
	count = uint64(int64(count) + added)
	var drop []*indexRow
	for r := range under[*indexRow](t.tx, tableIndexes, tombstoneIndex, "") {
		if count-uint64(len(drop)) <= maxTombstones {
			break
		}
		drop = append(drop, r)
		floor = r.Index
	}
	for _, r := range drop {
		must(t.tx.Delete(tableIndexes, r))
	}
	must(t.tx.Insert(tableIndexes, &indexRow{Key: keyTombstones, Index: count - uint64(len(drop))}))
	if floor > 0 {
		if r, ok := first[*indexRow](t.tx, tableIndexes, primary, joined(keyFloor)); ok {
			floor = max(floor, r.Index)
		}
		must(t.tx.Insert(tableIndexes, &indexRow{Key: keyFloor, Index: floor}))
	}
}
