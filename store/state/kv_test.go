package state

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-memdb"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/kv"
)

// key does one thing with a key and returns whether the state permitted it.
func (f *fixture) key(op kv.KeyOp) (done bool) {
	f.t.Helper()
	_, err := f.do(func(tx *Txn) (err error) {
		w := KeyWriter{tx}
		done = true
		switch op.Verb {
		case kv.Set:
			w.Set(&op)
		case kv.CAS:
			_, done = w.CAS(&op)
		case kv.Lock:
			_, done, err = w.Lock(&op)
		case kv.Unlock:
			_, done, err = w.Unlock(&op)
		case kv.Delete:
			w.Delete(op.Key)
		case kv.DeleteTree:
			w.DeleteTree(op.Key)
		case kv.DeleteCAS:
			done = w.DeleteCAS(op.Key, op.Index)
		}
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return done
}

func (f *fixture) set(key, value string) uint64 {
	f.key(kv.KeyOp{Verb: kv.Set, Key: key, Value: []byte(value)})
	return f.next
}

// session makes one on a node, without checks unless named.
func (f *fixture) session(id, node string, behavior kv.Behavior, delay time.Duration, checks ...string) {
	f.t.Helper()
	s := &kv.Session{ID: id, Node: node, Behavior: behavior, LockDelay: delay, NodeChecks: checks}
	if _, err := f.do(func(tx *Txn) error { return SessionWriter{tx}.Create(s) }); err != nil {
		f.t.Fatal(err)
	}
}

// keysAndSessions puts something into each of their tables. n1 is there.
func (f *fixture) keysAndSessions() {
	f.set("kept", "v")
	f.set("gone", "v")
	f.key(kv.KeyOp{Verb: kv.Delete, Key: "gone"})
	f.session("s1", "n1", kv.Release, time.Second)
	f.key(kv.KeyOp{Verb: kv.Lock, Key: "locked", Session: "s1"})
	f.session("s2", "n1", kv.Release, time.Second)
	f.destroy("s1")
}

func (f *fixture) destroy(id string) {
	f.t.Helper()
	if _, err := f.do(func(tx *Txn) error { SessionWriter{tx}.Destroy(id); return nil }); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) entry(key string) *kv.Entry {
	_, e := f.Keys().Get(nil, key)
	return e
}

func TestKeyVerbs(t *testing.T) {
	f := newFixture(t)
	f.register(reg("n1", ""))
	f.session("s1", "n1", kv.Release, 0)
	f.session("s2", "n1", kv.Release, 0)
	created := f.set("k", "a")
	for i, tt := range []struct {
		op    kv.KeyOp
		done  bool
		value string // afterwards, "-" = not there
		locks uint64
		by    string
	}{
		{kv.KeyOp{Verb: kv.CAS, Value: []byte("b")}, false, "a", 0, ""},
		{kv.KeyOp{Verb: kv.CAS, Value: []byte("b"), Index: created + 1}, false, "a", 0, ""},
		{kv.KeyOp{Verb: kv.CAS, Value: []byte("b"), Index: created}, true, "b", 0, ""},
		{kv.KeyOp{Verb: kv.Lock, Value: []byte("c"), Session: "s1"}, true, "c", 1, "s1"},
		{kv.KeyOp{Verb: kv.Lock, Value: []byte("d"), Session: "s1"}, true, "d", 1, "s1"},
		{kv.KeyOp{Verb: kv.Lock, Value: []byte("e"), Session: "s2"}, false, "d", 1, "s1"},
		{kv.KeyOp{Verb: kv.Set, Value: []byte("f")}, true, "f", 1, "s1"},
		{kv.KeyOp{Verb: kv.Unlock, Value: []byte("g"), Session: "s2"}, false, "f", 1, "s1"},
		{kv.KeyOp{Verb: kv.Unlock, Value: []byte("g"), Session: "s1"}, true, "g", 1, ""},
		{kv.KeyOp{Verb: kv.Unlock, Value: []byte("h"), Session: "s1"}, false, "g", 1, ""},
		{kv.KeyOp{Verb: kv.Lock, Value: []byte("i"), Session: "s2"}, true, "i", 2, "s2"},
		{kv.KeyOp{Verb: kv.DeleteCAS, Index: 1}, false, "i", 2, "s2"},
		{kv.KeyOp{Verb: kv.DeleteCAS}, false, "i", 2, "s2"},
		{kv.KeyOp{Verb: kv.Delete}, true, "-", 0, ""},
		{kv.KeyOp{Verb: kv.Delete}, true, "-", 0, ""},
		{kv.KeyOp{Verb: kv.DeleteCAS, Index: 7}, true, "-", 0, ""},
		{kv.KeyOp{Verb: kv.CAS, Value: []byte("j"), Index: 7}, false, "-", 0, ""},
		{kv.KeyOp{Verb: kv.Unlock, Session: "s2"}, false, "-", 0, ""},
		{kv.KeyOp{Verb: kv.CAS, Value: []byte("j")}, true, "j", 0, ""},
	} {
		tt.op.Key = "k"
		if done := f.key(tt.op); done != tt.done {
			t.Errorf("%d: %s: %v", i, tt.op.Verb, done)
		}
		e := f.entry("k")
		switch {
		case tt.value == "-" && e != nil, tt.value != "-" && e == nil:
			t.Errorf("%d: %s: %v", i, tt.op.Verb, e)
		case e != nil && (string(e.Value) != tt.value || e.LockIndex != tt.locks || e.Session != tt.by):
			t.Errorf("%d: %s: %+v", i, tt.op.Verb, e)
		}
	}
	for _, op := range []kv.KeyOp{{Key: "k", Session: "nobody"}, {Key: "k"}} {
		if _, err := f.do(func(tx *Txn) error { _, _, err := KeyWriter{tx}.Lock(&op); return err }); fault.Of(err) != fault.Invalid {
			t.Errorf("locking for session %q: %v", op.Session, err)
		}
	}
}

// TestSameValueRaisesNothing: a write that changes nothing wakes nobody.
func TestSameValueRaisesNothing(t *testing.T) {
	f := newFixture(t)
	at := f.set("k", "v")
	f.set("k", "v")
	if e := f.entry("k"); e.ModifyIndex != at {
		t.Errorf("index %d, want %d", e.ModifyIndex, at)
	}
}

// TestKeyIndexes follows the indexes of a key, a prefix and their neighbours.
func TestKeyIndexes(t *testing.T) {
	f := newFixture(t)
	index := func(prefix string) uint64 { i, _ := f.Keys().List(nil, prefix); return i }
	if i, _ := f.Keys().Get(nil, "a/1"); i != 1 {
		t.Errorf("nothing yet: %d", i)
	}
	f.set("a/1", "x")
	two := f.set("a/2", "x")
	other := f.set("b", "x")
	if got := []uint64{index("a/"), index("b"), index("")}; !slices.Equal(got, []uint64{two, other, other}) {
		t.Errorf("indexes %v", got)
	}
	f.key(kv.KeyOp{Verb: kv.Delete, Key: "a/1"})
	gone := f.next
	if i, e := f.Keys().Get(nil, "a/1"); i != gone || e != nil {
		t.Errorf("deleted: %d %v", i, e)
	}
	if got := []uint64{index("a/"), index("b"), index("")}; !slices.Equal(got, []uint64{gone, other, gone}) {
		t.Errorf("indexes %v", got)
	}
	restored := New(nil)
	copyState(t, f.State, restored)
	if i, _ := restored.Keys().List(nil, "a/"); i != gone {
		t.Errorf("restored: %d", i)
	}
	f.giveUp(f.next, 100)
	if got := []uint64{index("a/"), index("a/1"), index("nowhere")}; !slices.Equal(got, []uint64{gone, gone, gone}) || f.Keys().Tombstones() != 0 {
		t.Errorf("given up: %v", got)
	}
	again := f.set("a/1", "y")
	if i, _ := f.Keys().Get(nil, "a/1"); i != again {
		t.Errorf("there again: %d", i)
	}
}

func (f *fixture) giveUp(upTo uint64, most int) {
	f.t.Helper()
	if _, err := f.do(func(tx *Txn) error { KeyWriter{tx}.GiveUp(upTo, most); return nil }); err != nil {
		f.t.Fatal(err)
	}
}

// TestKeyIndexNeverGoesBack plays at random and looks at every prefix.
func TestKeyIndexNeverGoesBack(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		f := newFixture(t)
		names := []string{"a", "a/b", "a/b/c", "a/d", "b", "b\x00c", "\xff"}
		prefixes := append([]string{"", "a/", "nowhere"}, names...)
		last := map[string]uint64{}
		for range 300 {
			name := names[rng.IntN(len(names))]
			switch rng.IntN(6) {
			case 0, 1, 2:
				f.set(name, fmt.Sprint(rng.IntN(3)))
			case 3:
				f.key(kv.KeyOp{Verb: kv.Delete, Key: name})
			case 4:
				f.key(kv.KeyOp{Verb: kv.DeleteTree, Key: name})
			case 5:
				f.giveUp(f.next-uint64(rng.IntN(5)), 1+rng.IntN(3))
			}
			for _, p := range prefixes {
				one, e := f.Keys().Get(nil, p)
				all, _ := f.Keys().List(nil, p)
				if one < last["1"+p] && e == nil || all < last["*"+p] {
					t.Fatalf("seed %d: %q went from %d to %d, its tree from %d to %d", seed, p, last["1"+p], one, last["*"+p], all)
				}
				last["1"+p], last["*"+p] = one, all
			}
		}
	}
}

func TestKeyNames(t *testing.T) {
	f := newFixture(t)
	for _, k := range []string{"web/a", "web/sub/c", "web/sub/d", "webother", "x--y"} {
		f.set(k, "")
	}
	for _, tt := range []struct{ prefix, separator, want string }{
		{"", "", "web/a web/sub/c web/sub/d webother x--y"},
		{"", "/", "web/ webother x--y"},
		{"web/", "/", "web/a web/sub/"},
		{"we", "b", "web"},
		{"x", "--", "x--"},
		{"none", "/", ""},
	} {
		if _, got := f.Keys().Names(nil, tt.prefix, tt.separator); strings.Join(got, " ") != tt.want {
			t.Errorf("%q %q: %q", tt.prefix, tt.separator, got)
		}
	}
}

// TestKeyWatches: a watcher wakes for what it watches, and for its neighbours never.
func TestKeyWatches(t *testing.T) {
	f := newFixture(t)
	for _, k := range []string{"a/1", "a/2", "b/1", "b/2"} {
		f.set(k, "x")
	}
	watch := func(read func(memdb.WatchSet)) memdb.WatchSet {
		ws := memdb.NewWatchSet()
		read(ws)
		return ws
	}
	key := watch(func(ws memdb.WatchSet) { f.Keys().Get(ws, "a/1") })
	tree := watch(func(ws memdb.WatchSet) { f.Keys().List(ws, "a/") })
	f.set("b/1", "y")
	f.set("b/3", "y")
	f.key(kv.KeyOp{Verb: kv.Delete, Key: "b/2"})
	f.giveUp(f.next, 10)
	if fired(key) || fired(tree) {
		t.Error("woken by another prefix")
	}
	f.set("a/2", "y")
	if fired(key) || !fired(tree) {
		t.Errorf("a neighbour: key %v, tree %v", fired(key), fired(tree))
	}
	tree = watch(func(ws memdb.WatchSet) { f.Keys().Names(ws, "a/", "") })
	f.key(kv.KeyOp{Verb: kv.Delete, Key: "a/1"})
	if !fired(key) || !fired(tree) {
		t.Errorf("deleted: key %v, tree %v", fired(key), fired(tree))
	}
	key = watch(func(ws memdb.WatchSet) { f.Keys().Get(ws, "a/1") })
	tree = watch(func(ws memdb.WatchSet) { f.Keys().List(ws, "nothing/") })
	f.set("a/1", "z")
	f.set("nothing/yet", "z")
	if !fired(key) || !fired(tree) {
		t.Errorf("made: key %v, tree %v", fired(key), fired(tree))
	}
}

// TestSessionEnds: each way in which a session ends, and what becomes of its keys.
func TestSessionEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(f *fixture)
	}{
		{"destroyed", func(f *fixture) { f.destroy("S") }},
		{"node gone", func(f *fixture) { f.deregister("n1", "", "") }},
		{"check gone", func(f *fixture) { f.deregister("n1", "", "alive") }},
		{"check critical", func(f *fixture) {
			f.register(reg("n1", "", &catalog.Check{CheckID: "alive", Status: catalog.Critical}))
		}},
	} {
		for _, behavior := range []kv.Behavior{kv.Release, kv.DeleteEntries} {
			t.Run(tt.name+" "+string(behavior), func(t *testing.T) {
				f := newFixture(t)
				f.register(reg("n1", "", &catalog.Check{CheckID: "alive", Status: catalog.Passing}, &catalog.Check{CheckID: "other", Status: catalog.Passing}))
				f.session("s", "N1", behavior, time.Second, "ALIVE")
				f.session("else", "n1", kv.Release, 0, "other")
				f.key(kv.KeyOp{Verb: kv.Lock, Key: "mine", Value: []byte("v"), Session: "s"})
				f.key(kv.KeyOp{Verb: kv.Lock, Key: "theirs", Session: "else"})
				f.register(reg("n1", "", &catalog.Check{CheckID: "alive", Status: catalog.Warning}))
				if _, s := f.Sessions().Get(nil, "S"); s == nil || s.Node != "n1" {
					t.Fatalf("session %+v", s)
				}
				ws := memdb.NewWatchSet()
				before, _ := f.Sessions().Get(ws, "s")
				tt.end(f)
				after, s := f.Sessions().Get(nil, "s")
				if s != nil || !fired(ws) || after <= before {
					t.Fatalf("session %v, woken %v, index %d after %d", s, fired(ws), after, before)
				}
				if e := f.entry("mine"); behavior == kv.DeleteEntries && e != nil ||
					behavior == kv.Release && (e == nil || e.Session != "" || e.LockIndex != 1 || string(e.Value) != "v" || e.ModifyIndex != f.next) {
					t.Errorf("its key: %+v", e)
				}
				if tt.name == "node gone" {
					return
				}
				if e := f.entry("theirs"); e.Session != "else" {
					t.Errorf("another's key: %+v", e)
				}
				if f.key(kv.KeyOp{Verb: kv.Lock, Key: "mine", Session: "else"}) {
					t.Error("locked within the delay")
				}
				delays := f.Keys().Delays(nil)
				if len(delays) != 1 || delays[0].Key != "mine" || delays[0].Delay != time.Second {
					t.Fatalf("delays %+v", delays)
				}
				if _, err := f.do(func(tx *Txn) error { KeyWriter{tx}.EndDelays([]LockDelay{*delays[0]}); return nil }); err != nil {
					t.Fatal(err)
				}
				if !f.key(kv.KeyOp{Verb: kv.Lock, Key: "mine", Session: "else"}) {
					t.Error("not locked after the delay")
				}
			})
		}
	}
}

func TestSessionRefused(t *testing.T) {
	f := newFixture(t)
	f.register(reg("n1", "", &catalog.Check{CheckID: "bad", Status: catalog.Critical}))
	for _, tt := range []struct {
		s    kv.Session
		want string
	}{
		{kv.Session{ID: "a", Node: "nobody"}, "Missing node registration"},
		{kv.Session{ID: "a", Node: "n1", NodeChecks: []string{"nope"}}, "Missing check 'nope' registration"},
		{kv.Session{ID: "a", Node: "n1", ServiceChecks: []kv.ServiceCheck{{ID: "bad"}}}, "Check 'bad' is in critical state"},
		{kv.Session{ID: "a", Node: "n1", Behavior: "explode"}, "Invalid Behavior setting 'explode'"},
		{kv.Session{ID: "a", Node: "n1", TTL: "999ms"}, "Invalid Session TTL '999000000', must be between [1s=24h0m0s]"},
		{kv.Session{ID: "a", Node: "n1", TTL: "25h"}, "must be between"},
		{kv.Session{ID: "a", Node: "n1", TTL: "x"}, "Session TTL 'x' invalid"},
		{kv.Session{ID: "a", Node: "n1", TTL: "-10s"}, "must be between"},
		{kv.Session{ID: "a", Node: "n1", LockDelay: -1}, "must not be negative"},
		{kv.Session{Node: "n1"}, "Must provide ID"},
	} {
		if _, err := f.do(func(tx *Txn) error { return SessionWriter{tx}.Create(&tt.s) }); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v", tt.s, err)
		}
	}
}

func (f *fixture) transact(ops ...kv.Op) ([]kv.Result, error) {
	var out []kv.Result
	_, err := f.do(func(tx *Txn) (err error) { out, err = Operations{tx}.Apply(ops); return err })
	return out, err
}

// TestOperations: all of a transaction happens or nothing.
func TestOperations(t *testing.T) {
	f := newFixture(t)
	at := f.set("k", "v")
	before := asJSON(t, f.dump())
	_, err := f.transact(
		kv.Op{KV: &kv.KeyOp{Verb: kv.Set, Key: "new", Value: []byte("x")}},
		kv.Op{Node: &kv.NodeOp{Verb: kv.Set, Node: *node("n1")}},
		kv.Op{KV: &kv.KeyOp{Verb: kv.Get, Key: "none"}},
		kv.Op{KV: &kv.KeyOp{Verb: kv.CAS, Key: "k", Index: at + 1}},
		kv.Op{Service: &kv.ServiceOp{Verb: kv.Set, Node: "nobody", Service: catalog.Service{Name: "web"}}},
	)
	failed, ok := errors.AsType[kv.Failed](err)
	if !ok || len(failed) != 3 || failed[0].OpIndex != 2 || failed[1].OpIndex != 3 || failed[2].OpIndex != 4 || fault.Of(err) != fault.Conflict {
		t.Fatalf("failed %+v, %v", failed, err)
	}
	if after := asJSON(t, f.dump()); after != before {
		t.Errorf("a failed transaction left\n%s\nof\n%s", after, before)
	}
	results, err := f.transact(
		kv.Op{Node: &kv.NodeOp{Verb: kv.Set, Node: *node("n1")}},
		kv.Op{Service: &kv.ServiceOp{Verb: kv.CAS, Node: "n1", Service: catalog.Service{Name: "web"}}},
		kv.Op{Check: &kv.CheckOp{Verb: kv.Set, Check: catalog.Check{Node: "n1", Name: "c", Status: catalog.Passing}}},
		kv.Op{KV: &kv.KeyOp{Verb: kv.CheckIndex, Key: "k", Index: at}},
		kv.Op{KV: &kv.KeyOp{Verb: kv.Delete, Key: "k"}},
		kv.Op{KV: &kv.KeyOp{Verb: kv.CheckNotExists, Key: "k"}},
		kv.Op{},
		kv.Op{Check: &kv.CheckOp{Verb: kv.Get, Check: catalog.Check{Node: "n1", CheckID: "c"}}},
	)
	if err != nil || len(results) != 5 || results[1].Service.ModifyIndex != f.next || results[4].Check.Status != catalog.Passing {
		t.Fatalf("results %s, %v", asJSON(t, results), err)
	}
	if f.entry("k") != nil {
		t.Error("the key is still there")
	}
	read, err := f.Keys().Read([]kv.Op{
		{Node: &kv.NodeOp{Verb: kv.Get, Node: *node("n1")}}, {KV: &kv.KeyOp{Verb: kv.GetTree}}, {KV: &kv.KeyOp{Verb: kv.GetOrEmpty, Key: "x"}},
	})
	if err != nil || len(read) != 2 || read[0].Node.Name != "n1" || read[1].KV.Key != "x" {
		t.Errorf("read %s, %v", asJSON(t, read), err)
	}
	if _, err := f.transact(kv.Op{Node: &kv.NodeOp{Verb: kv.DeleteCAS, Node: catalog.Node{Name: "n1", ModifyIndex: 1}}}); err == nil {
		t.Error("a node of another index is deleted")
	}
	if _, err := f.transact(kv.Op{Node: &kv.NodeOp{Verb: kv.Delete, Node: catalog.Node{Name: "n1"}}}); err != nil {
		t.Error(err)
	}
}
