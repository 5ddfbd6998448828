package state

import (
	"fmt"

	"github.com/hashicorp/go-memdb"
)

// tombstone remembers when a key went, so that the index of a query for it, or for
// a prefix of it, goes up then and never back. The leader has old ones given up;
// the highest index among them becomes that of whatever has no tombstone.
type tombstone struct {
	Key   string
	Index uint64
}

const (
	tableTombstones = "tombstones"
	byAge           = "age"
	keyTombstonesTo = "key-tombstones-to" // highest index among those given up
)

func tombstoneTable() table {
	return table{
		record: func() any { return new(tombstone) },
		schema: &memdb.TableSchema{Name: tableTombstones, Indexes: indexSchemas(
			by(primary, true, func(t *tombstone) (string, bool) { return t.Key, true }),
			by(byAge, false, func(t *tombstone) (string, bool) { return ageKey(t.Index), true }),
		)},
	}
}

// ageKey puts the oldest first.
func ageKey(index uint64) string { return fmt.Sprintf("%016x", index) }

func tombstonesTo(tx *memdb.Txn) uint64 {
	if r, ok := first[*indexRow](tx, tableIndexes, primary, joined(keyTombstonesTo)); ok {
		return max(r.Index, 1)
	}
	return 1
}

func (t KeyWriter) bury(key string) {
	t.unbury(key) // its age changes
	t.Txn.put(tableTombstones, key, &tombstone{Key: key, Index: t.index})
}

// unbury takes the tombstone of a key away that is there again, or that gets
// another one.
func (t KeyWriter) unbury(key string) {
	if old, ok := get[*tombstone](t, tableTombstones, key); ok {
		t.remove(tableTombstones, key, old)
	}
}

// Tombstones returns how many keys have one.
func (r Keys) Tombstones() (count int) {
	for range under[*tombstone](r.s.read(nil), tableTombstones, byAge, "") {
		count++
	}
	return count
}

// GiveUp takes away the tombstones up to an index, the oldest first, and at most
// so many.
func (t KeyWriter) GiveUp(upTo uint64, most int) {
	var old []*tombstone
	for row := range under[*tombstone](t.reader(tableTombstones), tableTombstones, byAge, "") {
		if row.Index > upTo || len(old) == most {
			break
		}
		old = append(old, row)
	}
	if len(old) == 0 {
		return
	}
	for _, row := range old {
		t.remove(tableTombstones, row.Key, row)
	}
	to := old[len(old)-1].Index
	if r, ok := get[*indexRow](t, tableIndexes, joined(keyTombstonesTo)); ok {
		to = max(to, r.Index)
	}
	t.putIndex(indexRow{Key: keyTombstonesTo, Index: to})
}
