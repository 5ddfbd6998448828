package daemon_test

import (
	"testing"

	"github.com/hashicorp/consul/api"
)

// TestKeysOfDatacenter: keys, locks, transactions, sessions and events of another
// datacenter, through the official client.
func TestKeysOfDatacenter(t *testing.T) {
	one := start(t, freeAddr(t), "-dev", "-datacenter=dc1", "-node=one")
	two := start(t, freeAddr(t), "-dev", "-datacenter=dc2", "-node=two", "-retry-join-wan="+one.addr)
	w := &api.WriteOptions{Datacenter: "dc2"}
	one.await(t, "the way to the other datacenter", func() bool {
		list, _, err := one.client.Catalog().Nodes(&api.QueryOptions{Datacenter: "dc2"})
		return err == nil && len(list) == 1
	})
	kv, sessions := one.client.KV(), one.client.Session()
	if _, err := kv.Put(&api.KVPair{Key: "a/b", Value: []byte("v"), Flags: 7}, w); err != nil {
		t.Fatal(err)
	}
	if e, _, err := kv.Get("a/b", nil); err != nil || e != nil {
		t.Errorf("the own datacenter has it: %v, %v", e, err)
	}
	for name, q := range map[string]*api.QueryOptions{
		"default": {Datacenter: "dc2"}, "consistent": {Datacenter: "dc2", RequireConsistent: true}, "stale": {Datacenter: "dc2", AllowStale: true},
	} {
		if e, _, err := kv.Get("a/b", q); err != nil || e == nil || string(e.Value) != "v" || e.Flags != 7 {
			t.Errorf("%s: %v, %v", name, e, err)
		}
		if names, _, err := kv.Keys("a/", "", q); err != nil || len(names) != 1 {
			t.Errorf("%s: names %v, %v", name, names, err)
		}
		ok, out, _, err := kv.Txn(api.KVTxnOps{{Verb: api.KVGet, Key: "a/b"}}, q)
		if err != nil || !ok || len(out.Results) != 1 || string(out.Results[0].Value) != "v" {
			t.Errorf("%s: transaction %v %+v, %v", name, ok, out, err)
		}
	}
	// A session is one of a node of its own datacenter.
	if _, _, err := sessions.Create(&api.SessionEntry{Name: "s"}, w); err == nil {
		t.Error("a session in dc2 on a node of dc1")
	}
	id, _, err := sessions.Create(&api.SessionEntry{Name: "s", Node: "two", TTL: "10s", Behavior: api.SessionBehaviorDelete}, w)
	if err != nil {
		t.Fatal(err)
	}
	if s, _, err := sessions.Info(id, nil); err != nil || s != nil {
		t.Errorf("the own datacenter has the session: %v, %v", s, err)
	}
	if s, _, err := sessions.Renew(id, w); err != nil || s == nil {
		t.Errorf("renewed: %v, %v", s, err)
	}
	if done, _, err := kv.Acquire(&api.KVPair{Key: "lock", Session: id}, w); err != nil || !done {
		t.Fatalf("acquire: %v, %v", done, err)
	}
	if e, _, err := two.client.KV().Get("lock", nil); err != nil || e == nil || e.Session != id {
		t.Errorf("there: %v, %v", e, err)
	}
	if _, err := sessions.Destroy(id, w); err != nil {
		t.Error(err)
	}
	if e, _, err := two.client.KV().Get("lock", nil); err != nil || e != nil {
		t.Errorf("after the session's end: %v, %v", e, err)
	}
	if _, err := kv.DeleteTree("a/", w); err != nil {
		t.Error(err)
	}
	if e, _, err := two.client.KV().Get("a/b", nil); err != nil || e != nil {
		t.Errorf("after the deletion: %v, %v", e, err)
	}
	if _, _, err := one.client.Event().Fire(&api.UserEvent{Name: "deploy", Payload: []byte("x")}, w); err != nil {
		t.Fatal(err)
	}
	two.await(t, "the event", func() bool {
		list, _, err := two.client.Event().List("deploy", nil)
		return err == nil && len(list) == 1 && string(list[0].Payload) == "x"
	})
	if list, _, err := one.client.Event().List("deploy", nil); err != nil || len(list) != 0 {
		t.Errorf("the own datacenter has the event: %v, %v", list, err)
	}
	if _, err := kv.Put(&api.KVPair{Key: "k"}, &api.WriteOptions{Datacenter: "dc9"}); err == nil {
		t.Error("a write to a datacenter that nobody knows")
	} else {
		refused(t, err, 500, "No path to datacenter")
	}
}
