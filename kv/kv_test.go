package kv

import (
	"iter"
	"maps"
	"strings"
	"testing"
	"time"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
)

func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		name string
		op   Op
		want string // "" = it is well, as far as can be told without the state
	}{
		{"nothing", Op{}, ""},
		{"set", Op{KV: &KeyOp{Verb: Set, Key: "k"}}, ""},
		{"unknown verb", Op{KV: &KeyOp{Verb: "fly", Key: "k"}}, `unknown KV verb "fly"`},
		{"no verb", Op{KV: &KeyOp{Key: "k"}}, `unknown KV verb ""`},
		{"a verb's case matters", Op{KV: &KeyOp{Verb: "SET", Key: "k"}}, `unknown KV verb "SET"`},
		{"no key", Op{KV: &KeyOp{Verb: Set}}, "Must provide key"},
		{"no key to get", Op{KV: &KeyOp{Verb: Get}}, "Must provide key"},
		{"the whole tree", Op{KV: &KeyOp{Verb: GetTree}}, ""},
		{"delete the whole tree", Op{KV: &KeyOp{Verb: DeleteTree}}, ""},
		{"longest key", Op{KV: &KeyOp{Verb: Set, Key: strings.Repeat("k", MaxKey)}}, ""},
		{"longer key", Op{KV: &KeyOp{Verb: Set, Key: strings.Repeat("k", MaxKey+1)}}, "the key is too long: 32769 bytes, at most 32768"},
		{"longer prefix", Op{KV: &KeyOp{Verb: GetTree, Key: strings.Repeat("k", MaxKey+1)}}, "the key is too long"},
		{"lock without a session", Op{KV: &KeyOp{Verb: Lock, Key: "k"}}, "missing session"},
		{"unlock without a session", Op{KV: &KeyOp{Verb: Unlock, Key: "k"}}, "missing session"},
		{"check without a session", Op{KV: &KeyOp{Verb: CheckSession, Key: "k"}}, ""},
		{"verb of keys for a node", Op{Node: &NodeOp{Verb: Lock}}, `unknown Node verb "lock"`},
		{"node", Op{Node: &NodeOp{Verb: CAS}}, ""},
		{"verb of keys for a service", Op{Service: &ServiceOp{Verb: GetTree}}, `unknown Service verb "get-tree"`},
		{"verb of keys for a check", Op{Check: &CheckOp{Verb: CheckIndex, Check: catalog.Check{}}}, `unknown Check verb "check-index"`},
		{"check", Op{Check: &CheckOp{Verb: DeleteCAS}}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// Behind another one that is well, so that the index tells them apart.
			failed := Judge([]Op{{KV: &KeyOp{Verb: Get, Key: "k"}}, tt.op})
			switch {
			case tt.want == "" && len(failed) > 0:
				t.Errorf("it failed: %v", failed)
			case tt.want == "":
			case len(failed) != 1 || failed[0].OpIndex != 1 || !strings.HasPrefix(failed[0].What, tt.want):
				t.Errorf("%v, want %q of operation 1", failed, tt.want)
			}
		})
	}
}

func TestJudgeTellsOfAll(t *testing.T) {
	failed := Judge([]Op{{KV: &KeyOp{Verb: "a"}}, {KV: &KeyOp{Verb: Get, Key: "k"}}, {Node: &NodeOp{Verb: "b"}}})
	if len(failed) != 2 || failed[0].OpIndex != 0 || failed[1].OpIndex != 2 {
		t.Errorf("%v", failed)
	}
	if got := failed.Error(); got != `transaction failed: operation 0: unknown KV verb "a"` {
		t.Error(got)
	}
	if got := (Failed{}).Error(); got != "transaction failed" {
		t.Error(got)
	}
}

// TestVerbs: each verb is known where it should be, and those that change
// something are the ones that may not be read anywhere.
func TestVerbs(t *testing.T) {
	for _, tt := range []struct {
		verb                   Verb
		changes, keys, catalog bool
	}{
		{Set, true, true, true}, {CAS, true, true, true}, {Delete, true, true, true}, {DeleteCAS, true, true, true},
		{Get, false, true, true},
		{Lock, true, true, false}, {Unlock, true, true, false}, {DeleteTree, true, true, false},
		{GetOrEmpty, false, true, false}, {GetTree, false, true, false}, {CheckIndex, false, true, false},
		{CheckSession, false, true, false}, {CheckNotExists, false, true, false},
		{"", false, false, false}, {"SET", false, false, false}, {"set ", false, false, false},
	} {
		if got := tt.verb.Changes(); got != tt.changes {
			t.Errorf("%q changes: %v", tt.verb, got)
		}
		if got := tt.verb.OfKeys(); got != tt.keys {
			t.Errorf("%q of keys: %v", tt.verb, got)
		}
		if got := tt.verb.OfCatalog(); got != tt.catalog {
			t.Errorf("%q of the catalog: %v", tt.verb, got)
		}
	}
	for _, op := range []Op{{}, {Node: &NodeOp{Verb: Lock}}, {KV: &KeyOp{Verb: "fly"}}, {Check: &CheckOp{Verb: Get}}} {
		if op.Changes() {
			t.Errorf("%+v changes something", op)
		}
	}
	if !(&Op{Service: &ServiceOp{Verb: DeleteCAS}}).Changes() {
		t.Error("the deletion of a service changes nothing")
	}
}

func TestSessionValidate(t *testing.T) {
	for _, tt := range []struct {
		name string
		s    Session
		want string // "" = valid
	}{
		{"least", Session{Node: "n"}, ""},
		{"no node", Session{}, "Must provide Node"},
		{"NUL in the node", Session{Node: "a\x00b"}, `node name "a\x00b" holds a NUL byte`},
		{"behaviour", Session{Node: "n", Behavior: "explode"}, "Invalid Behavior setting 'explode'"},
		{"delete", Session{Node: "n", Behavior: DeleteEntries}, ""},
		{"least TTL", Session{Node: "n", TTL: "10s"}, ""},
		{"most TTL", Session{Node: "n", TTL: "24h"}, ""},
		{"TTL of nothing", Session{Node: "n", TTL: "0s"}, ""},
		{"little TTL", Session{Node: "n", TTL: "9999ms"}, "Invalid Session TTL '9999000000', must be between [10s=24h0m0s]"},
		{"much TTL", Session{Node: "n", TTL: "24h1ns"}, "Invalid Session TTL '86400000000001', must be between [10s=24h0m0s]"},
		{"negative TTL", Session{Node: "n", TTL: "-10s"}, "Invalid Session TTL '-10000000000', must be between [10s=24h0m0s]"},
		{"absurd TTL", Session{Node: "n", TTL: "9999999999h"}, "Session TTL '9999999999h' invalid: time: invalid duration"},
		{"TTL without a unit", Session{Node: "n", TTL: "10"}, "Session TTL '10' invalid: time: missing unit in duration"},
		{"text", Session{Node: "n", TTL: "soon"}, "Session TTL 'soon' invalid: time: invalid duration"},
		{"negative delay", Session{Node: "n", LockDelay: -1}, "Invalid LockDelay '-1ns': it must not be negative"},
		{"long delay", Session{Node: "n", LockDelay: time.Hour}, ""}, // cut when it is used
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.s.Validate(MinTTL)
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want == "" && tt.s.Behavior != Release && tt.s.Behavior != DeleteEntries:
				t.Errorf("behaviour %q", tt.s.Behavior)
			case tt.want == "":
			case err == nil || !strings.HasPrefix(err.Error(), tt.want) || fault.Of(err) != fault.Invalid:
				t.Errorf("%v (%s), want %q", err, fault.Of(err), tt.want)
			}
		})
	}
}

// TestSessionTTLMin: the least TTL is what the server says, and stands in what the
// user reads.
func TestSessionTTLMin(t *testing.T) {
	for _, tt := range []struct {
		least time.Duration
		ttl   string
		want  string // "" = valid
	}{
		{LeastTTL, "1s", ""},
		{LeastTTL, "999ms", "Invalid Session TTL '999000000', must be between [1s=24h0m0s]"},
		{5 * time.Second, "5s", ""},
		{5 * time.Second, "4s", "Invalid Session TTL '4000000000', must be between [5s=24h0m0s]"},
		{time.Minute, "60s", ""},
		{time.Minute, "59s", "Invalid Session TTL '59000000000', must be between [1m0s=24h0m0s]"},
		{time.Minute, "0s", ""}, // it needs no renewing
		{time.Minute, "", ""},
		{MaxTTL, "24h", ""},
		{MaxTTL, "25h", "Invalid Session TTL '90000000000000', must be between [24h0m0s=24h0m0s]"},
	} {
		s := Session{Node: "n", TTL: tt.ttl}
		if err := s.Validate(tt.least); (err == nil) != (tt.want == "") || err != nil && err.Error() != tt.want {
			t.Errorf("%q where %v is the least: %v, want %q", tt.ttl, tt.least, err, tt.want)
		}
	}
}

func TestSessionTimes(t *testing.T) {
	for _, tt := range []struct {
		s            Session
		lease, delay time.Duration
	}{
		{Session{}, 0, 0},
		{Session{TTL: "30s", LockDelay: time.Second}, 30 * time.Second, time.Second},
		{Session{TTL: "soon", LockDelay: -1}, 0, 0},
		{Session{TTL: "-1s", LockDelay: time.Hour}, 0, MaxLockDelay},
	} {
		if got := tt.s.Lease(); got != tt.lease {
			t.Errorf("%+v: lease %v, want %v", tt.s, got, tt.lease)
		}
		if got := tt.s.Delay(); got != tt.delay {
			t.Errorf("%+v: delay %v, want %v", tt.s, got, tt.delay)
		}
	}
	s := Session{NodeChecks: []string{"serfHealth"}, ServiceChecks: []ServiceCheck{{ID: "web"}}}
	if !s.HangsOn("SERFHEALTH", strings.EqualFold) || !s.HangsOn("web", strings.EqualFold) || s.HangsOn("db", strings.EqualFold) {
		t.Error("it hangs on other checks")
	}
	if got := strings.Join(s.Checks(), " "); got != "serfHealth web" || len(s.NodeChecks) != 1 {
		t.Errorf("checks %s", got)
	}
}

func TestEventFilter(t *testing.T) {
	for _, tt := range []struct {
		name string
		e    Event
		want string // error
		kept bool
	}{
		{"no name", Event{}, "Missing name", false},
		{"no filter", Event{Name: "e"}, "", true},
		{"node", Event{Name: "e", NodeFilter: "^no"}, "", true},
		{"another node", Event{Name: "e", NodeFilter: "^de$"}, "", false},
		{"service", Event{Name: "e", ServiceFilter: "web"}, "", true},
		{"another service", Event{Name: "e", ServiceFilter: "^db$"}, "", false},
		{"tag", Event{Name: "e", ServiceFilter: "web", TagFilter: "v[12]"}, "", true},
		{"another service's tag", Event{Name: "e", ServiceFilter: "web", TagFilter: "old"}, "", false},
		{"tag without a service", Event{Name: "e", TagFilter: "v1"}, "Cannot provide tag filter without service filter", false},
		{"no regular expression", Event{Name: "e", NodeFilter: "("}, "Invalid node filter: error parsing regexp", false},
		{"nor this", Event{Name: "e", ServiceFilter: "["}, "Invalid service filter: error parsing regexp", false},
		{"nor that", Event{Name: "e", ServiceFilter: "a", TagFilter: "*"}, "Invalid tag filter: error parsing regexp", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := tt.e.Filter()
			if tt.want != "" {
				if err == nil || !strings.HasPrefix(err.Error(), tt.want) || fault.Of(err) != fault.Invalid {
					t.Errorf("%v, want %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var services iter.Seq2[string, []string] = maps.All(map[string][]string{"web": {"v1"}, "db1": {"old"}})
			if got := f.Keeps("node-1", services); got != tt.kept {
				t.Errorf("kept: %v", got)
			}
		})
	}
}

func TestEventIndex(t *testing.T) {
	for id, want := range map[string]uint64{
		"": 1, "zz": 1, strings.Repeat("g", 32): 1,
		"00000000-0000-0000-0000-000000000000": 1, // no index is 0
		"00000000-0000-0001-0000-000000000002": 3,
		"ffffffff-ffff-ffff-0000-000000000000": 1<<64 - 1,
	} {
		if got := (&Event{ID: id}).Index(); got != want {
			t.Errorf("%q: %d, want %d", id, got, want)
		}
	}
}

func TestAddName(t *testing.T) {
	for _, tt := range []struct {
		prefix, separator, want string
	}{
		{"", "", "a a/ a/b a/b/c b//c"},
		{"", "/", "a a/ b/"},
		{"a/", "/", "a/ a/b a/b/"},
		{"a", "/b", "a a/ a/b"},
		{"b", "/", "b/"},
	} {
		var names []string
		for _, key := range []string{"a", "a/", "a/b", "a/b/c", "b//c"} {
			if strings.HasPrefix(key, tt.prefix) {
				names = AddName(names, key, tt.prefix, tt.separator)
			}
		}
		if got := strings.Join(names, " "); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
}

func TestEntrySame(t *testing.T) {
	a := Entry{Key: "k", Value: []byte("v"), Flags: 1, LockIndex: 2, Session: "s", CreateIndex: 3, ModifyIndex: 4}
	for what, change := range map[string]func(*Entry){
		"value": func(e *Entry) { e.Value = []byte("w") }, "flags": func(e *Entry) { e.Flags++ },
		"lock": func(e *Entry) { e.LockIndex++ }, "session": func(e *Entry) { e.Session = "" },
	} {
		b := a
		if change(&b); a.Same(&b) {
			t.Errorf("another %s is no difference", what)
		}
	}
	b := a
	b.ModifyIndex, b.CreateIndex = 9, 9
	if !a.Same(&b) {
		t.Error("indexes are a difference")
	}
	if bare := a.Bare(); bare.Value != nil || a.Value == nil || bare.Key != "k" {
		t.Errorf("%+v of %+v", bare, a)
	}
}
