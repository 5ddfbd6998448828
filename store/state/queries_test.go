package state

import (
	"errors"
	"strings"
	"testing"

	"github.com/hashicorp/go-memdb"

	"consul.internal/internal/fault"
	prepared "consul.internal/query"
)

func definition(id, name string) *prepared.Query {
	return &prepared.Query{ID: id, Name: name, Service: prepared.Service{Service: "web", Tags: []string{"a"}}}
}

func templateOf(id, name string) *prepared.Query {
	q := definition(id, name)
	q.Template.Type = prepared.PrefixMatch
	return q
}

func (f *fixture) putQuery(q *prepared.Query, update bool) error {
	_, err := f.do(func(tx *Txn) error { return QueryWriter{tx}.Put(q, update) })
	return err
}

func (f *fixture) deleteQuery(id string) error {
	_, err := f.do(func(tx *Txn) error { return QueryWriter{tx}.Delete(id) })
	return err
}

func TestQueries(t *testing.T) {
	f := newFixture(t)
	for _, q := range []*prepared.Query{
		definition("id-1", "Web"), definition("id-2", ""), definition("id-3", ""), definition("id-4", "geo-db"),
		templateOf("t-1", ""), templateOf("t-2", "geo-"), templateOf("t-3", "geo-db-"),
	} {
		if err := f.putQuery(q, false); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"web": "id-1", "WEB": "id-1", "ID-2": "id-2", "geo-db": "id-4", "t-2": "t-2",
		"geo-db-x": "t-3", "GEO-DB-X": "t-3", "geo-db-": "t-3", "geo-x": "t-2", "geo": "t-1", "": "t-1", "webs": "t-1",
	} {
		_, q, byID := f.Queries().Find(nil, name)
		if q == nil || q.ID != want || byID != strings.EqualFold(name, want) {
			t.Errorf("%q finds %+v, %v, want %s", name, q, byID, want)
		}
	}
	if _, list := f.Queries().List(nil); len(list) != 7 || list[0].ID != "id-1" {
		t.Errorf("list %v", list)
	}
	for name, tt := range map[string]struct {
		q    *prepared.Query
		want string
	}{
		"a name twice":             {definition("n", "WEB"), "raft apply failed: name 'WEB' aliases an existing query name"},
		"a template of that name":  {templateOf("n", "web"), "raft apply failed: name 'web' aliases an existing query name"},
		"a query like a template":  {definition("n", "geo-"), "raft apply failed: name 'geo-' aliases an existing query name"},
		"a name like an ID":        {definition("n", "ID-2"), "raft apply failed: name 'ID-2' aliases an existing query ID"},
		"a second catch-all query": {templateOf("n", ""), "raft apply failed: a query template with an empty name already exists"},
	} {
		if err := f.putQuery(tt.q, false); err == nil || err.Error() != tt.want || !errors.Is(err, fault.Conflict) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	if err := f.putQuery(definition("id-9", "new"), true); !errors.Is(err, fault.NotFound) ||
		err.Error() != "Cannot modify non-existent prepared query: 'id-9'" {
		t.Errorf("update of nothing: %v", err)
	}
	if err := f.deleteQuery("id-9"); !errors.Is(err, fault.NotFound) {
		t.Errorf("delete of nothing: %v", err)
	}
}

func TestQueryLife(t *testing.T) {
	f := newFixture(t)
	in := definition("id-1", "one")
	if err := f.putQuery(in, false); err != nil {
		t.Fatal(err)
	}
	in.Service.Tags[0] = "changed by its owner"
	created, q := f.Queries().Get(nil, "ID-1")
	if q == nil || q.CreateIndex != created || q.ModifyIndex != created || q.Service.Tags[0] != "a" {
		t.Fatalf("created %+v at %d", q, created)
	}
	ws := memdb.NewWatchSet()
	f.Queries().Find(ws, "one")
	if err := f.putQuery(definition("id-1", "two"), true); err != nil {
		t.Fatal(err)
	}
	if !fired(ws) {
		t.Error("a watcher sleeps on")
	}
	index, q, _ := f.Queries().Find(nil, "two")
	if q == nil || q.CreateIndex != created || q.ModifyIndex != index || index <= created {
		t.Errorf("updated %+v at %d", q, index)
	}
	if _, q, _ := f.Queries().Find(nil, "one"); q != nil {
		t.Errorf("the old name finds %+v", q)
	}
	if err := f.deleteQuery("id-1"); err != nil {
		t.Fatal(err)
	}
	if gone, q := f.Queries().Get(nil, "id-1"); q != nil || gone <= index {
		t.Errorf("deleted: %+v at %d", q, gone)
	}
}

func TestQueriesOfSession(t *testing.T) {
	f := newFixture(t)
	for _, id := range []string{"a", "b", "c"} {
		q := definition(id, id)
		if id != "c" {
			q.Session = "S-1"
		}
		if err := f.putQuery(q, false); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.do(func(tx *Txn) error { QueryWriter{tx}.DeleteOfSession("s-1"); return nil }); err != nil {
		t.Fatal(err)
	}
	if _, list := f.Queries().List(nil); len(list) != 1 || list[0].ID != "c" {
		t.Errorf("left: %+v", list)
	}
}

// TestQueriesInOneTransaction: entries that share a transaction see each other.
func TestQueriesInOneTransaction(t *testing.T) {
	f := newFixture(t)
	tx := f.Begin(20)
	w := QueryWriter{tx}
	if err := w.Put(templateOf("a", "x-"), false); err != nil {
		t.Fatal(err)
	}
	tx.Next(21)
	if err := w.Put(definition("b", "x-"), false); !errors.Is(err, fault.Conflict) {
		t.Errorf("the same name in the same transaction: %v", err)
	}
	tx.Next(22)
	if err := w.Delete("a"); err != nil {
		t.Error(err)
	}
	tx.Next(23)
	if err := w.Put(definition("b", "x-"), false); err != nil {
		t.Error(err)
	}
	tx.Commit()
	if _, q, _ := f.Queries().Find(nil, "x-"); q == nil || q.ID != "b" || q.CreateIndex != 23 {
		t.Errorf("found %+v", q)
	}
}

func TestQueriesInSnapshot(t *testing.T) {
	f := newFixture(t)
	for _, q := range []*prepared.Query{definition("id-1", "web"), templateOf("t-1", "geo-")} {
		if err := f.putQuery(q, false); err != nil {
			t.Fatal(err)
		}
	}
	other := New(nil)
	copyState(t, f.State, other)
	want, _ := f.Queries().List(nil)
	if index, q, _ := other.Queries().Find(nil, "geo-x"); q == nil || q.ID != "t-1" || index != want {
		t.Errorf("restored %+v at %d, want index %d", q, index, want)
	}
	if _, q, _ := other.Queries().Find(nil, "web"); q == nil || q.Service.Service != "web" {
		t.Errorf("restored %+v", q)
	}
}
