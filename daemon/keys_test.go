package daemon_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// TestKeys goes through the official client's calls on keys, and keys that only
// paths can say.
func TestKeys(t *testing.T) {
	n := start(t, freeAddr(t), "-dev")
	kv := n.client.KV()
	if p, meta, err := kv.Get("none", nil); err != nil || p != nil || meta.LastIndex == 0 {
		t.Errorf("missing: %v %v %v", p, meta, err)
	}
	for _, key := range []string{"a", "dir/", "a b?c#d%e", "ünï/ćode", "a\x00b", "x\xff\xfe", ".hidden", "a=b&c", strings.Repeat("k", 4000)} {
		if _, err := kv.Put(&api.KVPair{Key: key, Value: []byte(key), Flags: 1 << 63}, nil); err != nil {
			t.Fatalf("%q: %v", key, err)
		}
		p, _, err := kv.Get(key, nil)
		if err != nil || p == nil || p.Key != key && !strings.Contains(key, "\xff") || string(p.Value) != key || p.Flags != 1<<63 {
			t.Errorf("%q: %+v %v", key, p, err)
		}
	}
	for path, key := range map[string]string{"%2Flead": "/lead", "a%2F%2Fb": "a//b", "%2e%2e%2Fup": "../up", "p%2Bq+r": "p+q+r"} {
		status, body := n.request(t, http.MethodPut, "/v1/kv/"+path, []byte("v"))
		if status != 200 || body != "true" {
			t.Errorf("PUT %s: %d %s", path, status, body)
		}
		if status, body := n.request(t, http.MethodGet, "/v1/kv/"+path+"?keys", nil); status != 200 || body != `["`+key+`"]` {
			t.Errorf("GET %s: %d %s", path, status, body)
		}
	}
	if ok, _, err := kv.CAS(&api.KVPair{Key: "a"}, nil); err != nil || ok {
		t.Errorf("created twice: %v %v", ok, err)
	}
	if ok, resp, _, err := kv.Txn(api.KVTxnOps{
		{Verb: api.KVSet, Key: "t", Value: []byte("1")}, {Verb: api.KVGet, Key: "t"}, {Verb: api.KVCheckNotExists, Key: "nothing"},
	}, nil); err != nil || !ok || len(resp.Results) != 2 || string(resp.Results[1].Value) != "1" {
		t.Errorf("transaction: %v %+v %v", ok, resp, err)
	}
	if ok, resp, _, err := n.client.Txn().Txn(api.TxnOps{
		{Node: &api.NodeTxnOp{Verb: api.NodeSet, Node: api.Node{Node: "ext", Address: "10.0.0.7"}}},
		{Service: &api.ServiceTxnOp{Verb: api.ServiceSet, Node: "ext", Service: api.AgentService{Service: "db", ID: "db1", Port: 1}}},
		{Check: &api.CheckTxnOp{Verb: api.CheckSet, Check: api.HealthCheck{Node: "ext", CheckID: "c", Name: "c", Status: "passing", ServiceID: "db1"}}},
	}, nil); err != nil || !ok || len(resp.Results) != 3 {
		t.Errorf("transaction: %v %+v %v", ok, resp, err)
	}
	if found, _, err := n.client.Health().Service("db", "", true, nil); err != nil || len(found) != 1 || found[0].Node.Datacenter != "dc1" {
		t.Errorf("found %+v %v", found, err)
	}
	if _, err := kv.DeleteTree("", nil); err != nil {
		t.Fatal(err)
	}
	if left, _, err := kv.Keys("", "", nil); err != nil || len(left) != 0 {
		t.Errorf("left %q %v", left, err)
	}
}

// request sends what no client would.
func (n *node) request(t *testing.T, method, path string, body []byte) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+n.addr+":8500"+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// TestKeysBadInput: status and text of what is refused, and nothing half done.
func TestKeysBadInput(t *testing.T) {
	n := start(t, freeAddr(t), "-dev")
	big, huge := bytes.Repeat([]byte("x"), 512<<10+1), bytes.Repeat([]byte("x"), 10<<20)
	many := "[" + strings.Repeat(`{"KV":{"Verb":"set","Key":"bad"}},`, 128) + `{"KV":{"Verb":"set","Key":"bad"}}]`
	for _, tt := range []struct {
		method, path, body string
		status             int
		text               string
	}{
		{"PUT", "/v1/kv/bad", string(big), 413, "Request body(524289 bytes) too large, max size: 524288 bytes"},
		{"PUT", "/v1/kv/bad", string(huge), 413, "too large"},
		{"PUT", "/v1/txn", string(big), 413, "too large"},
		{"PUT", "/v1/session/create", string(huge), 413, "too large"},
		{"PUT", "/v1/event/fire/x", string(huge), 413, "too large"},
		{"PUT", "/v1/event/fire/x", strings.Repeat("x", 600), 500, "exceeds limit of 512 bytes"},
		{"PUT", "/v1/txn", many, 413, "too many operations (129 > 128)"},
		{"PUT", "/v1/txn", `[{"KV":{"Verb":"set","Key":"bad"}},{"KV":{"Verb":"fly","Key":"bad"}}]`, 409, `unknown KV verb \"fly\"`},
		{"PUT", "/v1/txn", `[{"KV":{"Verb":"set","Key":"bad"}},{"KV":{"Verb":"set","Key":""}}]`, 409, "Must provide key"},
		{"PUT", "/v1/txn", `[{"KV":{"Verb":"set","Key":"bad"}},{"KV":{"Verb":"lock","Key":"bad","Session":"no"}}]`, 409, `invalid session \"no\"`},
		{"PUT", "/v1/txn", `[{"KV":{"Verb":"set","Key":"bad"}},`, 400, "Failed to parse body"},
		{"PUT", "/v1/kv/bad?acquire=no", "x", 500, `invalid session "no"`},
		{"PUT", "/v1/kv/bad?acquire", "x", 500, "missing session"},
		{"PUT", "/v1/kv/bad?release=no", "x", 200, "false"},
		{"PUT", "/v1/kv/bad?acquire=no&cas=0", "x", 400, "Conflicting flags"},
		{"PUT", "/v1/kv/bad?flags=-1", "x", 500, "invalid syntax"},
		{"PUT", "/v1/kv/bad?cas=99999999999999999999", "x", 500, "value out of range"},
		{"GET", "/v1/kv/bad?index=1&wait=-5s", "", 404, ""},
		{"PUT", "/v1/session/create", `{"TTL":"9999999999h"}`, 500, "invalid"},
		{"PUT", "/v1/session/create", `{"LockDelay":"soon"}`, 400, "Request decode failed"},
		{"PUT", "/v1/session/create", `{"LockDelay":-5}`, 500, "must not be negative"},
		{"GET", "/v1/kv/bad", "", 404, ""},
	} {
		status, text := n.request(t, tt.method, tt.path, []byte(tt.body))
		if status != tt.status || !strings.Contains(text, tt.text) {
			t.Errorf("%s %s %.60s: %d %q, want %d %q", tt.method, tt.path, tt.body, status, text, tt.status, tt.text)
		}
	}
}

// TestClientLock uses the official client's lock and semaphore from several hands.
func TestClientLock(t *testing.T) {
	n := start(t, freeAddr(t), "-dev")
	first := good(n.client.LockOpts(&api.LockOptions{Key: "lock", SessionTTL: "10s"}))(t)
	second := good(n.client.LockOpts(&api.LockOptions{Key: "lock", SessionTTL: "10s"}))(t)
	lost := good(first.Lock(nil))(t)
	got := make(chan error, 1)
	go func() {
		_, err := second.Lock(nil)
		got <- err
	}()
	n.await(t, "the second to wait", func() bool {
		sessions, _, err := n.client.Session().List(nil)
		return err == nil && len(sessions) == 2
	})
	select {
	case <-lost:
		t.Fatal("the lock was lost")
	case err := <-got:
		t.Fatalf("two hold the lock: %v", err)
	default:
	}
	if err := first.Unlock(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	if err := second.Unlock(); err != nil {
		t.Fatal(err)
	}
	if err := second.Destroy(); err != nil {
		t.Fatal(err)
	}
	semaphore := func() *api.Semaphore {
		return good(n.client.SemaphoreOpts(&api.SemaphoreOptions{Prefix: "sem", Limit: 2, SemaphoreTryOnce: true, SemaphoreWaitTime: time.Second}))(t)
	}
	a, b, c := semaphore(), semaphore(), semaphore()
	for _, s := range []*api.Semaphore{a, b} {
		if ch, err := s.Acquire(nil); err != nil || ch == nil {
			t.Fatalf("acquire: %v %v", ch, err)
		}
	}
	if ch, err := c.Acquire(nil); err != nil || ch != nil {
		t.Errorf("a third one got in: %v %v", ch, err)
	}
	if err := a.Release(); err != nil {
		t.Fatal(err)
	}
	if ch, err := c.Acquire(nil); err != nil || ch == nil {
		t.Errorf("no place after a release: %v %v", ch, err)
	}
	for _, s := range []*api.Semaphore{b, c} {
		if err := s.Release(); err != nil {
			t.Error(err)
		}
	}
}

// TestLeaderElection does as libkv does: a session with half a TTL that deletes its
// keys and delays for a moment, renewed; whoever holds the key leads, the others watch it.
func TestLeaderElection(t *testing.T) {
	n := start(t, freeAddr(t), "-dev")
	candidate := func() string {
		id, _, err := n.client.Session().CreateNoChecks(&api.SessionEntry{Behavior: api.SessionBehaviorDelete, TTL: "10s", LockDelay: time.Millisecond}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	run := func(id string) bool {
		ok, _, err := n.client.KV().Acquire(&api.KVPair{Key: "leader", Value: []byte(id), Session: id}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	one, two := candidate(), candidate()
	if !run(one) || run(two) || !run(one) {
		t.Fatal("there is not one leader")
	}
	p, meta, err := n.client.KV().Get("leader", &api.QueryOptions{RequireConsistent: true})
	if err != nil || p.Session != one || p.LockIndex != 1 {
		t.Fatalf("%+v %v", p, err)
	}
	if e, _, err := n.client.Session().Renew(one, nil); err != nil || e == nil || e.ID != one {
		t.Errorf("renew: %v %v", e, err)
	}
	woken := make(chan error, 1)
	go func() {
		p, _, err := n.client.KV().Get("leader", &api.QueryOptions{WaitIndex: meta.LastIndex, WaitTime: 15 * time.Second})
		if err == nil && p != nil {
			err = fmt.Errorf("the key is still there: %+v", p)
		}
		woken <- err
	}()
	if _, err := n.client.Session().Destroy(one, nil); err != nil {
		t.Fatal(err)
	}
	if err := <-woken; err != nil {
		t.Fatal(err)
	}
	n.await(t, "the other to lead after the lock delay", func() bool { return run(two) })
	if e, _, err := n.client.Session().Renew(one, nil); err != nil || e != nil {
		t.Errorf("renewed after its end: %v %v", e, err)
	}
}

// TestEvents fires some and waits for them.
func TestEvents(t *testing.T) {
	n := start(t, freeAddr(t), "-dev")
	ev := n.client.Event()
	if err := n.client.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "web", Tags: []string{"v1"}}); err != nil {
		t.Fatal(err)
	}
	_, meta, err := ev.List("deploy", nil)
	if err != nil || meta.LastIndex == 0 {
		t.Fatalf("%v %v", meta, err)
	}
	type result struct {
		events []*api.UserEvent
		index  uint64
		err    error
	}
	got := make(chan result, 1)
	go func() {
		events, m, err := ev.List("deploy", &api.QueryOptions{WaitIndex: meta.LastIndex})
		got <- result{events, m.LastIndex, err}
	}()
	for _, e := range []*api.UserEvent{
		{Name: "other"},
		{Name: "deploy", NodeFilter: "^elsewhere"},
		{Name: "deploy", ServiceFilter: "^db"},
		{Name: "deploy", ServiceFilter: "^web", TagFilter: "v2"},
	} {
		if _, _, err := ev.Fire(e, nil); err != nil {
			t.Fatal(err)
		}
	}
	id, _, err := ev.Fire(&api.UserEvent{Name: "deploy", Payload: []byte("p"), NodeFilter: "^node-", ServiceFilter: "w.b", TagFilter: "v1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := <-got
	if r.err != nil || len(r.events) != 1 || r.events[0].ID != id || string(r.events[0].Payload) != "p" || r.index != ev.IDToIndex(id) {
		t.Errorf("got %+v, event %s with index %d", r, id, ev.IDToIndex(id))
	}
}
