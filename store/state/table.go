package state

import (
	"fmt"
	"iter"
	"strings"

	"github.com/hashicorp/go-memdb"
)

// table is a memdb table and how its records come back from a snapshot.
type table struct {
	schema *memdb.TableSchema
	record func() any // an empty record, as a pointer
}

// tables lists every table in the order in which a snapshot holds them. All of
// them are saved, derived ones too: a restore then needs no second pass.
func tables() []table {
	return []table{
		clusterTable(),
		indexTable(),
		nodeTable(),
		serviceTable(),
		nameTable(),
		checkTable(),
		queryTable(),
		coordinateTable(),
		configTable(),
		tokenTable(),
		policyTable(),
		roleTable(),
		methodTable(),
		bindingTable(),
		sessionTable(), // from here on nothing bears on names: see afterNames
		keyTable(),
		tombstoneTable(),
		delayTable(),
	}
}

// Tables names all tables in snapshot order.
func Tables() []string {
	var names []string
	for _, t := range tables() {
		names = append(names, t.schema.Name)
	}
	return names
}

func schema() *memdb.DBSchema {
	s := &memdb.DBSchema{Tables: map[string]*memdb.TableSchema{}}
	for _, t := range tables() {
		s.Tables[t.schema.Name] = t.schema
	}
	return s
}

// primary is the name that memdb demands for a table's unique index.
const primary = "id"

// by makes an index over records of type T. key gives the index value, made by
// joined; ok = false leaves the record out of this index.
func by[T any](name string, unique bool, key func(T) (value string, ok bool)) *memdb.IndexSchema {
	return &memdb.IndexSchema{Name: name, Unique: unique, AllowMissing: name != primary, Indexer: indexer[T]{key}}
}

type indexer[T any] struct{ key func(T) (string, bool) }

func (x indexer[T]) FromObject(o any) (bool, []byte, error) {
	r, ok := o.(T)
	if !ok {
		return false, nil, fmt.Errorf("record is %T", o)
	}
	k, ok := x.key(r)
	return ok, []byte(k), nil
}

func (x indexer[T]) FromArgs(args ...any) ([]byte, error) {
	if len(args) == 1 {
		if k, ok := args[0].(string); ok {
			return []byte(k), nil
		}
	}
	return nil, fmt.Errorf("want one string, got %v", args)
}

func (x indexer[T]) PrefixFromArgs(args ...any) ([]byte, error) { return x.FromArgs(args...) }

// joined makes an index value. Each part ends in NUL, so that no value is the
// prefix of another one by accident; names with NUL are refused at the door.
func joined(parts ...string) string { return strings.Join(parts, "\x00") + "\x00" }

func indexSchemas(list ...*memdb.IndexSchema) map[string]*memdb.IndexSchema {
	m := map[string]*memdb.IndexSchema{}
	for _, x := range list {
		m[x.Name] = x
	}
	return m
}

// must ends the program on an error of memdb. They can only come from a table or
// index name that does not exist, which the first run of any test shows; going on
// would let servers differ.
func must(err error) {
	if err != nil {
		panic("state: " + err.Error())
	}
}

// first returns the record under a key of an index.
func first[T any](tx *memdb.Txn, table, index, key string) (rec T, ok bool) {
	raw, err := tx.First(table, index, key)
	must(err)
	if raw == nil {
		return rec, false
	}
	return raw.(T), true
}

// watched is first with a channel that closes when the answer may differ.
func watched[T any](tx *memdb.Txn, ws memdb.WatchSet, table, index, key string) (rec T, ok bool) {
	ch, raw, err := tx.FirstWatch(table, index, key)
	must(err)
	ws.Add(ch)
	if raw == nil {
		return rec, false
	}
	return raw.(T), true
}

// every iterates the records under a key of an index, in index order.
func every[T any](tx *memdb.Txn, table, index, key string) iter.Seq[T] {
	return func(yield func(T) bool) {
		it, err := tx.Get(table, index, key)
		must(err)
		drain(it, yield)
	}
}

// under iterates the records whose index value begins with a prefix ("" = all).
func under[T any](tx *memdb.Txn, table, index, prefix string) iter.Seq[T] {
	return func(yield func(T) bool) {
		it, err := tx.Get(table, index+"_prefix", prefix)
		must(err)
		drain(it, yield)
	}
}

func drain[T any](it memdb.ResultIterator, yield func(T) bool) {
	for raw := it.Next(); raw != nil; raw = it.Next() {
		if !yield(raw.(T)) {
			return
		}
	}
}
