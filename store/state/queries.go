package state

import (
	"slices"
	"strings"

	"github.com/hashicorp/go-memdb"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
	prepared "consul.internal/query"
)

const (
	tableQueries = "queries"
	keyQueries   = "queries" // any prepared query
	byQueryName  = "name"    // of queries that are no templates
	byTemplate   = "template"
	bySession    = "session"
)

func queryTable() table {
	return table{
		record: func() any { return new(prepared.Query) },
		schema: &memdb.TableSchema{Name: tableQueries, Indexes: indexSchemas(
			by(primary, true, func(q *prepared.Query) (string, bool) { return queryKey(q.ID), true }),
			by(byQueryName, true, func(q *prepared.Query) (string, bool) { return nameKey(q.Name), q.Name != "" && !q.IsTemplate() }),
			by(byTemplate, true, func(q *prepared.Query) (string, bool) { return templateKey(q.Name), q.IsTemplate() }),
			by(bySession, false, func(q *prepared.Query) (string, bool) { return joined(strings.ToLower(q.Session)), q.Session != "" }),
		)},
	}
}

func queryKey(id string) string { return joined(strings.ToLower(id)) }

// templateKey has no end of its own, so that one is found that another begins
// with, and a beginning, so that the one without a name has a key.
func templateKey(name string) string { return ":" + catalog.Fold(name) }

// Queries reads prepared queries.
type Queries struct{ s *State }

// Queries gives the prepared queries.
func (s *State) Queries() Queries { return Queries{s} }

// List returns all queries by ID.
func (r Queries) List(ws memdb.WatchSet) (uint64, []*prepared.Query) {
	tx := r.s.read(ws)
	return indexAt(tx, ws, keyQueries, nil), slices.Collect(under[*prepared.Query](tx, tableQueries, primary, ""))
}

// Get returns the query of an ID, nil if there is none.
func (r Queries) Get(ws memdb.WatchSet, id string) (uint64, *prepared.Query) {
	tx := r.s.read(ws)
	q, _ := first[*prepared.Query](tx, tableQueries, primary, queryKey(id))
	return indexAt(tx, ws, keyQueries, nil), q
}

// Find returns the query that is executed under an ID or a name, nil if there is
// none: the one of that ID, else the one of that very name, else the template with
// the longest name that it begins with. byID tells the first from the others.
func (r Queries) Find(ws memdb.WatchSet, name string) (index uint64, q *prepared.Query, byID bool) {
	tx := r.s.read(ws)
	index = indexAt(tx, ws, keyQueries, nil)
	if q, ok := first[*prepared.Query](tx, tableQueries, primary, queryKey(name)); ok {
		return index, q, true
	}
	if q, ok := first[*prepared.Query](tx, tableQueries, byQueryName, nameKey(name)); ok {
		return index, q, false
	}
	raw, err := tx.LongestPrefix(tableQueries, byTemplate+"_prefix", templateKey(name))
	must(err)
	q, _ = raw.(*prepared.Query)
	return index, q, false
}

// QueryWriter changes prepared queries in a transaction.
type QueryWriter struct{ *Txn }

// Put creates a query or, with update, replaces the one of its ID. The definition
// has been found right.
func (t QueryWriter) Put(in *prepared.Query, update bool) error {
	q := in.Clone()
	old, exists := get[*prepared.Query](t, tableQueries, queryKey(q.ID))
	if update && !exists {
		return missingQuery(q.ID)
	}
	for _, other := range t.alike(q) {
		if queryKey(other.ID) == queryKey(q.ID) {
			continue
		}
		if q.Name == "" {
			return fault.Newf(fault.Conflict, "raft apply failed: a query template with an empty name already exists")
		}
		return fault.Newf(fault.Conflict, "raft apply failed: name '%s' aliases an existing query name", q.Name)
	}
	if _, ok := get[*prepared.Query](t, tableQueries, queryKey(q.Name)); ok && q.Name != "" {
		return fault.Newf(fault.Conflict, "raft apply failed: name '%s' aliases an existing query ID", q.Name)
	}
	q.CreateIndex, q.ModifyIndex = t.index, t.index
	if exists {
		q.CreateIndex = old.CreateIndex
		t.remove(tableQueries, queryKey(q.ID), old) // its other keys may differ
	}
	t.put(tableQueries, queryKey(q.ID), q)
	t.raise(keyQueries)
	return nil
}

// alike returns the queries of the same name: there may be one in the end.
func (t QueryWriter) alike(q *prepared.Query) (out []*prepared.Query) {
	if q.Name == "" && !q.IsTemplate() {
		return nil
	}
	tx := t.reader(tableQueries)
	if other, ok := first[*prepared.Query](tx, tableQueries, byQueryName, nameKey(q.Name)); ok {
		out = append(out, other)
	}
	if other, ok := first[*prepared.Query](tx, tableQueries, byTemplate, templateKey(q.Name)); ok {
		out = append(out, other)
	}
	return out
}

// Delete takes a query away.
func (t QueryWriter) Delete(id string) error {
	q, ok := get[*prepared.Query](t, tableQueries, queryKey(id))
	if !ok {
		return missingQuery(id)
	}
	t.delete(q)
	return nil
}

func (t QueryWriter) delete(q *prepared.Query) {
	t.remove(tableQueries, queryKey(q.ID), q)
	t.raise(keyQueries)
}

func missingQuery(id string) error {
	return fault.Newf(fault.NotFound, "Cannot modify non-existent prepared query: '%s'", id)
}

// DeleteOfSession takes away what was to end with a session.
func (t QueryWriter) DeleteOfSession(session string) {
	key := joined(strings.ToLower(session))
	for _, q := range slices.Collect(every[*prepared.Query](t.reader(tableQueries), tableQueries, bySession, key)) {
		t.delete(q)
	}
}
