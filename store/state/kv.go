package state

import (
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-memdb"

	"consul.internal/internal/fault"
	"consul.internal/kv"
)

const (
	tableKeys   = "keys"
	tableDelays = "lock-delays"
)

// keyTable has the keys under their own bytes, so that those with a prefix stand
// in a row and are watched together, apart from all others.
func keyTable() table {
	return table{
		record: func() any { return new(kv.Entry) },
		schema: &memdb.TableSchema{Name: tableKeys, Indexes: indexSchemas(
			by(primary, true, func(e *kv.Entry) (string, bool) { return e.Key, true }),
			by(bySession, false, func(e *kv.Entry) (string, bool) { return sessionKey(e.Session), e.Session != "" }),
		)},
	}
}

// LockDelay keeps a key from being locked after a session that held it ended. It
// lasts until a command ends it: only the leader measures time.
type LockDelay struct {
	Key   string
	Delay time.Duration
	Index uint64 // of the entry that began it
}

func delayTable() table {
	return table{
		record: func() any { return new(LockDelay) },
		schema: &memdb.TableSchema{Name: tableDelays, Indexes: indexSchemas(
			by(primary, true, func(d *LockDelay) (string, bool) { return d.Key, true }),
		)},
	}
}

// Keys reads keys.
type Keys struct{ s *State }

// Keys gives the keys.
func (s *State) Keys() Keys { return Keys{s} }

// Get returns a key, nil if it is not there. The index is that of its last change,
// its end included.
func (r Keys) Get(ws memdb.WatchSet, key string) (uint64, *kv.Entry) {
	tx := r.s.read(ws)
	e, ok := watched[*kv.Entry](tx, ws, tableKeys, primary, key)
	if ok {
		return max(e.ModifyIndex, 1), e
	}
	return goneAt(tx, key), nil
}

// goneAt is the index at which a key that is not there went, as far as it is known.
func goneAt(tx *memdb.Txn, key string) uint64 {
	if t, ok := first[*tombstone](tx, tableTombstones, primary, key); ok {
		return max(t.Index, 1)
	}
	return tombstonesTo(tx)
}

// List returns the keys with a prefix, in order of their bytes. The index is that
// of the last change among them, ends included.
func (r Keys) List(ws memdb.WatchSet, prefix string) (uint64, []*kv.Entry) {
	var out []*kv.Entry
	index := r.each(ws, prefix, func(e *kv.Entry) { out = append(out, e) })
	return index, out
}

// Count is how many keys there are.
func (r Keys) Count() (n int) {
	for range under[*kv.Entry](r.s.read(nil), tableKeys, primary, "") {
		n++
	}
	return n
}

// Names returns the keys with a prefix. What follows the first separator behind the
// prefix is left out, so that each such branch is there once; "" is no separator.
func (r Keys) Names(ws memdb.WatchSet, prefix, separator string) (uint64, []string) {
	var out []string
	index := r.each(ws, prefix, func(e *kv.Entry) { out = kv.AddName(out, e.Key, prefix, separator) })
	return index, out
}

func (r Keys) each(ws memdb.WatchSet, prefix string, do func(*kv.Entry)) (index uint64) {
	tx := r.s.read(ws)
	it, err := tx.Get(tableKeys, primary+"_prefix", prefix)
	must(err)
	ws.Add(it.WatchCh())
	drain(it, func(e *kv.Entry) bool {
		index = max(index, e.ModifyIndex)
		do(e)
		return true
	})
	// A key that went leaves a tombstone, or was counted when that was given up.
	for t := range under[*tombstone](tx, tableTombstones, primary, prefix) {
		index = max(index, t.Index)
	}
	return max(index, tombstonesTo(tx))
}

// Delays returns the lock delays that are in force.
func (r Keys) Delays(ws memdb.WatchSet) []*LockDelay {
	tx := r.s.read(ws)
	it, err := tx.Get(tableDelays, primary+"_prefix", "")
	must(err)
	ws.Add(it.WatchCh())
	var out []*LockDelay
	drain(it, func(d *LockDelay) bool {
		out = append(out, d)
		return true
	})
	return out
}

// KeyWriter changes keys in a transaction.
type KeyWriter struct{ *Txn }

// entry is a key as it is now.
func (t KeyWriter) entry(key string) (*kv.Entry, bool) { return get[*kv.Entry](t, tableKeys, key) }

// put writes an entry over old, nil if there is none. One that changes nothing
// raises no index.
func (t KeyWriter) put(e, old *kv.Entry) *kv.Entry {
	if len(e.Value) == 0 {
		e.Value = nil
	}
	e.CreateIndex, e.ModifyIndex = t.index, t.index
	if old != nil {
		if old.Same(e) {
			return old
		}
		e.CreateIndex = old.CreateIndex
	} else {
		t.unbury(e.Key)
	}
	t.Txn.put(tableKeys, e.Key, e)
	return e
}

// Set gives a key its value and flags. Who holds its lock keeps it.
func (t KeyWriter) Set(op *kv.KeyOp) *kv.Entry {
	old, ok := t.entry(op.Key)
	e := &kv.Entry{Key: op.Key, Value: op.Value, Flags: op.Flags}
	if ok {
		e.LockIndex, e.Session = old.LockIndex, old.Session
	}
	return t.put(e, old)
}

// CAS sets a key that has not changed since an index; 0 = that is not there.
func (t KeyWriter) CAS(op *kv.KeyOp) (*kv.Entry, bool) {
	old, ok := t.entry(op.Key)
	if ok && old.ModifyIndex != op.Index || !ok && op.Index != 0 || ok && op.Index == 0 {
		return nil, false
	}
	return t.Set(op), true
}

// Lock sets a key and takes its lock, which a session may do again that holds it.
func (t KeyWriter) Lock(op *kv.KeyOp) (*kv.Entry, bool, error) {
	if op.Session == "" {
		return nil, false, fault.Newf(fault.Invalid, "missing session")
	}
	session, ok := get[*kv.Session](t, tableSessions, sessionKey(op.Session))
	if !ok {
		return nil, false, fault.Newf(fault.Invalid, "invalid session %q", op.Session)
	}
	old, ok := t.entry(op.Key)
	e := &kv.Entry{Key: op.Key, Value: op.Value, Flags: op.Flags, Session: session.ID, LockIndex: 1}
	switch {
	case ok && old.Session == session.ID:
		e.LockIndex = old.LockIndex
	case ok && old.Session != "":
		return nil, false, nil
	case t.Delayed(op.Key):
		return nil, false, nil
	case ok:
		e.LockIndex = old.LockIndex + 1
	}
	return t.put(e, old), true, nil
}

// Delayed reports whether a key's lock delay is in force.
func (t KeyWriter) Delayed(key string) bool {
	_, ok := get[*LockDelay](t, tableDelays, key)
	return ok
}

// Unlock sets a key and gives its lock back, if the session holds it.
func (t KeyWriter) Unlock(op *kv.KeyOp) (*kv.Entry, bool, error) {
	if op.Session == "" {
		return nil, false, fault.Newf(fault.Invalid, "missing session")
	}
	old, ok := t.entry(op.Key)
	if !ok || !strings.EqualFold(old.Session, op.Session) {
		return nil, false, nil
	}
	return t.put(&kv.Entry{Key: op.Key, Value: op.Value, Flags: op.Flags, LockIndex: old.LockIndex}, old), true, nil
}

// Delete takes a key away. One that is not there is no error.
func (t KeyWriter) Delete(key string) {
	if e, ok := t.entry(key); ok {
		t.delete(e)
	}
}

func (t KeyWriter) delete(e *kv.Entry) {
	t.remove(tableKeys, e.Key, e)
	t.bury(e.Key)
}

// DeleteCAS takes a key away that has not changed since an index. One that is not
// there is well.
func (t KeyWriter) DeleteCAS(key string, index uint64) bool {
	e, ok := t.entry(key)
	if !ok {
		return true
	}
	if e.ModifyIndex != index {
		return false
	}
	t.delete(e)
	return true
}

// DeleteTree takes all keys with a prefix away.
func (t KeyWriter) DeleteTree(prefix string) {
	for _, e := range t.tree(prefix) {
		t.delete(e)
	}
}

// tree are the keys with a prefix.
func (t KeyWriter) tree(prefix string) []*kv.Entry {
	return slices.Collect(under[*kv.Entry](t.reader(tableKeys), tableKeys, primary, prefix))
}

// free releases what a session held, or deletes it, and begins its delay.
func (t KeyWriter) free(s *kv.Session) {
	held := slices.Collect(every[*kv.Entry](t.reader(tableKeys), tableKeys, bySession, sessionKey(s.ID)))
	for _, e := range held {
		if s.Behavior == kv.DeleteEntries {
			t.delete(e)
		} else {
			t.put(&kv.Entry{Key: e.Key, Value: e.Value, Flags: e.Flags, LockIndex: e.LockIndex}, e)
		}
		if delay := s.Delay(); delay > 0 {
			t.Txn.put(tableDelays, e.Key, &LockDelay{Key: e.Key, Delay: delay, Index: t.index})
		}
	}
}

// EndDelays ends the lock delays of keys, unless they began after an index.
func (t KeyWriter) EndDelays(ended []LockDelay) {
	for _, d := range ended {
		if row, ok := get[*LockDelay](t, tableDelays, d.Key); ok && row.Index <= d.Index {
			t.remove(tableDelays, d.Key, row)
		}
	}
}
