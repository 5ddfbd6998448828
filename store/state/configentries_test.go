package state

import (
	"errors"
	"strings"
	"testing"

	"github.com/hashicorp/go-memdb"

	"consul.internal/configentry"
	"consul.internal/internal/fault"
)

func configEntry(t *testing.T, text string) *configentry.Entry {
	t.Helper()
	e, err := configentry.DecodeJSON([]byte(text))
	if err == nil {
		err = e.Prepare()
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (f *fixture) putConfig(e *configentry.Entry, cas *uint64, copied bool) (done bool, err error) {
	_, err = f.do(func(tx *Txn) (err error) { done, err = ConfigWriter{tx}.Put(e, cas, copied); return err })
	return done, err
}

func (f *fixture) deleteConfig(kind, name string, cas *uint64) (done bool, err error) {
	_, err = f.do(func(tx *Txn) (err error) { done, err = ConfigWriter{tx}.Delete(kind, name, cas, false); return err })
	return done, err
}

func TestConfigEntryLife(t *testing.T) {
	f := newFixture(t)
	const kind = configentry.KindServiceDefaults
	web := configEntry(t, `{"Kind":"service-defaults","Name":"web","Protocol":"http"}`)
	grpc := configEntry(t, `{"Kind":"service-defaults","Name":"Web","Protocol":"grpc"}`)
	ws := memdb.NewWatchSet()
	f.ConfigEntries().List(ws, kind)
	none, some := uint64(0), uint64(99)
	if done, err := f.putConfig(web, &some, false); done || err != nil {
		t.Fatalf("put at an index that is not: %v, %v", done, err)
	}
	if fired(ws) {
		t.Error("nothing happened, and a watcher woke")
	}
	if done, err := f.putConfig(web, &none, false); !done || err != nil {
		t.Fatalf("put where there is none: %v, %v", done, err)
	}
	if !fired(ws) {
		t.Error("a watcher sleeps on")
	}
	if done, _ := f.putConfig(grpc, &none, false); done {
		t.Error("put where there is one already")
	}
	ws = memdb.NewWatchSet()
	created, e := f.ConfigEntries().Get(ws, kind, "WEB")
	if e == nil || e.CreateIndex != created || e.ModifyIndex != created {
		t.Fatalf("%+v at %d", e, created)
	}
	if done, err := f.putConfig(web, nil, false); !done || err != nil {
		t.Fatal(done, err)
	}
	if _, err := f.putConfig(configEntry(t, `{"Kind":"mesh"}`), nil, false); err != nil {
		t.Fatal(err)
	}
	if again, _ := f.ConfigEntries().Get(nil, kind, "web"); again != created || fired(ws) {
		t.Errorf("the same again is index %d after %d, woken %v", again, created, fired(ws))
	}
	if done, err := f.putConfig(grpc, &created, false); !done || err != nil {
		t.Fatal(done, err)
	}
	index, e := f.ConfigEntries().Get(nil, kind, "web")
	if !fired(ws) || index <= created || e.CreateIndex != created || e.Body.ServiceDefaults.Protocol != "grpc" {
		t.Errorf("changed %+v at %d", e, index)
	}
	if _, list := f.ConfigEntries().List(nil, ""); len(list) != 2 || list[0].Kind != configentry.KindMesh {
		t.Errorf("all: %v", list)
	}
	if done, err := f.deleteConfig(kind, "web", &created); done || err != nil {
		t.Errorf("deleted at an old index: %v, %v", done, err)
	}
	if done, err := f.deleteConfig(kind, "web", &index); !done || err != nil {
		t.Errorf("delete: %v, %v", done, err)
	}
	if done, err := f.deleteConfig(kind, "web", &index); !done || err != nil {
		t.Errorf("delete of nothing: %v, %v", done, err)
	}
	if at, list := f.ConfigEntries().List(nil, kind); len(list) != 0 || at <= index {
		t.Errorf("left: %v at %d", list, at)
	}
}

func TestConfigEntriesFit(t *testing.T) {
	f := newFixture(t)
	router := configEntry(t, `{"Kind":"service-router","Name":"web","Routes":[{"Destination":{"Service":"admin"}}]}`)
	_, err := f.putConfig(router, nil, false)
	if !errors.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "does not permit advanced routing") {
		t.Errorf("a router over tcp: %v", err)
	}
	if _, e := f.ConfigEntries().Get(nil, router.Kind, "web"); e != nil {
		t.Errorf("what was refused is there: %+v", e)
	}
	if done, err := f.putConfig(router, nil, true); !done || err != nil {
		t.Errorf("a copy that comes before what it needs: %v, %v", done, err)
	}
	for _, text := range []string{
		`{"Kind":"service-defaults","Name":"admin","Protocol":"http"}`, `{"Kind":"service-defaults","Name":"web","Protocol":"http"}`,
	} {
		if _, err := f.putConfig(configEntry(t, text), nil, true); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.deleteConfig(configentry.KindServiceDefaults, "admin", nil); !errors.Is(err, fault.Invalid) {
		t.Errorf("taken away what a router needs: %v", err)
	}
	if _, e := f.ConfigEntries().Get(nil, configentry.KindServiceDefaults, "admin"); e == nil {
		t.Error("it is gone all the same")
	}
}
