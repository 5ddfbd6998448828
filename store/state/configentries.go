package state

import (
	"iter"
	"slices"

	"github.com/hashicorp/go-memdb"

	"consul.internal/catalog"
	"consul.internal/configentry"
	"consul.internal/internal/fault"
)

const (
	tableConfig = "config-entries"
	keyConfig   = "config-entries"  // any config entry
	keyKind     = "config-entries/" // any of a kind, which follows
)

func configTable() table {
	return table{
		record: func() any { return new(configentry.Entry) },
		schema: &memdb.TableSchema{Name: tableConfig, Indexes: indexSchemas(
			by(primary, true, func(e *configentry.Entry) (string, bool) { return configKey(e.Kind, e.Name), true }),
		)},
	}
}

func configKey(kind, name string) string { return joined(kind) + nameKey(name) }

// ConfigEntries reads config entries.
type ConfigEntries struct{ s *State }

// ConfigEntries gives the config entries.
func (s *State) ConfigEntries() ConfigEntries { return ConfigEntries{s} }

// List returns the entries of a kind by name, or with "" all of them by kind and name.
func (r ConfigEntries) List(ws memdb.WatchSet, kind string) (uint64, []*configentry.Entry) {
	tx := r.s.read(ws)
	if kind == "" {
		return indexAt(tx, ws, keyConfig, nil), slices.Collect(under[*configentry.Entry](tx, tableConfig, primary, ""))
	}
	return indexAt(tx, ws, keyKind+kind, nil), slices.Collect(under[*configentry.Entry](tx, tableConfig, primary, joined(kind)))
}

// Get returns an entry, nil if there is none.
func (r ConfigEntries) Get(ws memdb.WatchSet, kind, name string) (uint64, *configentry.Entry) {
	tx := r.s.read(ws)
	if e, ok := watched[*configentry.Entry](tx, ws, tableConfig, primary, configKey(kind, name)); ok {
		return e.ModifyIndex, e
	}
	return indexAt(tx, nil, keyKind+kind, nil), nil
}

// ConfigWriter changes config entries in a transaction.
type ConfigWriter struct{ *Txn }

// Put creates or replaces an entry, which has been found right by itself. With
// cas it does so only if the entry was last written at that index; 0 = if there
// is none. copied entries were found right elsewhere, so they are not held against
// the others: those may not have been copied yet.
func (t ConfigWriter) Put(in *configentry.Entry, cas *uint64, copied bool) (bool, error) {
	e := *in
	key := configKey(e.Kind, e.Name)
	old, exists := get[*configentry.Entry](t, tableConfig, key)
	if cas != nil && (exists && old.ModifyIndex != *cas || !exists && *cas != 0) {
		return false, nil
	}
	e.CreateIndex, e.ModifyIndex = t.index, t.index
	if exists {
		if e.Same(old) {
			return true, nil
		}
		e.CreateIndex = old.CreateIndex
	}
	t.put(tableConfig, key, &e)
	return true, t.changed(e.Kind, e.Name, copied)
}

// Delete takes an entry away. With cas it does so only if the entry was last
// written at that index. That there is none is no failure.
func (t ConfigWriter) Delete(kind, name string, cas *uint64, copied bool) (bool, error) {
	key := configKey(kind, name)
	old, exists := get[*configentry.Entry](t, tableConfig, key)
	if !exists {
		return true, nil
	}
	if cas != nil && old.ModifyIndex != *cas {
		return false, nil
	}
	t.remove(tableConfig, key, old)
	return true, t.changed(kind, name, copied)
}

func (t ConfigWriter) changed(kind, name string, copied bool) error {
	t.raise(keyConfig)
	t.raise(keyKind + kind)
	if kind == configentry.KindServiceResolver {
		t.resolvers.add(name)
	}
	if copied {
		return nil
	}
	if err := configentry.Check(configSet{t}, kind, name); err != nil {
		return fault.With(fault.Invalid, err)
	}
	return nil
}

// resolverChange says what became of a service's resolver; e is nil if it is gone.
func resolverChange(e *configentry.Entry, service string) catalog.Change {
	if e != nil {
		if r := e.Names(); r != nil {
			return catalog.Change{Op: catalog.ResolverSet, Resolver: r}
		}
	}
	return catalog.Change{Op: catalog.ResolverGone, Resolver: &catalog.Resolver{Service: service}}
}

// configSet is the entries as the transaction has them.
type configSet struct{ t ConfigWriter }

func (s configSet) Get(kind, name string) *configentry.Entry {
	e, _ := get[*configentry.Entry](s.t, tableConfig, configKey(kind, name))
	return e
}

func (s configSet) List(kind string) iter.Seq[*configentry.Entry] {
	return under[*configentry.Entry](s.t.reader(tableConfig), tableConfig, primary, joined(kind))
}
