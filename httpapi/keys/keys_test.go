package keys_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"consul.internal/httpapi/edge"
	"consul.internal/httpapi/keys"
	"consul.internal/internal/fault"
	"consul.internal/kv"
	"consul.internal/rpc"
)

// caller keeps what it was asked, and answers by a function.
type caller struct {
	method string
	in     any
	answer func(out any) error
}

func (c *caller) Call(_ context.Context, method string, in, out any) error {
	c.method, c.in = method, in
	if c.answer == nil {
		return nil
	}
	return c.answer(out)
}

func settings() edge.Settings {
	return edge.Settings{Datacenter: "dc1", NodeName: "me", DefaultQueryTime: time.Minute, MaxQueryTime: time.Minute, KVMaxValueSize: 8}
}

// do sends a request as httpapi does, and gives status, headers and text.
func do(t *testing.T, c *caller, events keys.Events, method, target, body string) (int, http.Header, string) {
	t.Helper()
	mux := http.NewServeMux()
	for _, rt := range keys.Routes(&edge.Base{Caller: c, Settings: settings}, events) {
		pattern := rt.Path
		if strings.HasSuffix(pattern, "/") {
			pattern += "{item...}"
		}
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if !slices.Contains(rt.Methods, r.Method) {
				t.Errorf("%s %s is not in the table", r.Method, r.URL)
			}
			v, err := rt.Handle(w, r)
			if err != nil {
				edge.Plain(w, edge.StatusOf(err), edge.TextOf(r, err))
				return
			}
			if _, done := v.(edge.Sent); done {
				return
			}
			if under, ok := v.(edge.WithStatus); ok {
				w.WriteHeader(under.Code)
				v = under.Value
			}
			if raw, ok := v.(edge.Raw); ok {
				_, err = w.Write(raw)
			} else {
				err = json.NewEncoder(w).Encode(v)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(method, target, strings.NewReader(body)))
	return w.Code, w.Header(), strings.TrimSpace(w.Body.String())
}

// TestRefused: what is wrong by itself is refused with a known status and text, and
// nobody is asked.
func TestRefused(t *testing.T) {
	many := "[" + strings.Repeat(`{"KV":{"Verb":"get","Key":"k"}},`, kv.MaxOps) + `{}]`
	for _, tt := range []struct {
		method, target, body string
		status               int
		text                 string
	}{
		{"GET", "/v1/kv/", "", 400, "Missing key name"},
		{"PUT", "/v1/kv/", "v", 400, "Missing key name"},
		{"PUT", "/v1/kv/?recurse", "v", 400, "Missing key name"},
		{"DELETE", "/v1/kv/", "", 400, "Missing key name"},
		{"DELETE", "/v1/kv/?keys", "", 400, "Missing key name"},
		{"PUT", "/v1/kv/k?cas=1&acquire=s", "v", 400, "Conflicting flags: acquire=s&cas=1"},
		{"PUT", "/v1/kv/k?acquire=s&release=s", "v", 400, "Conflicting flags"},
		{"PUT", "/v1/kv/k?cas=0&release", "v", 400, "Conflicting flags"},
		{"DELETE", "/v1/kv/k?cas=1&recurse", "", 400, "Conflicting flags"},
		{"PUT", "/v1/kv/k?flags=-1", "v", 500, `strconv.ParseUint: parsing "-1": invalid syntax`},
		{"PUT", "/v1/kv/k?flags", "v", 500, `strconv.ParseUint: parsing "": invalid syntax`},
		{"PUT", "/v1/kv/k?flags=18446744073709551616", "v", 500, "value out of range"},
		{"PUT", "/v1/kv/k?cas=first", "v", 500, "invalid syntax"},
		{"DELETE", "/v1/kv/k?cas", "", 500, "invalid syntax"},
		{"GET", "/v1/kv/k?index=x", "", 400, "Invalid index"},
		{"GET", "/v1/kv/k?index=1&wait=forever", "", 400, "Invalid wait time"},
		{"GET", "/v1/kv/k?stale&consistent", "", 400, "Cannot specify ?stale with ?consistent"},

		{"PUT", "/v1/txn", "", 400, "Failed to parse body: EOF"},
		{"PUT", "/v1/txn", `[{"KV":`, 400, "Failed to parse body: unexpected EOF"},
		{"PUT", "/v1/txn", `{"KV":{}}`, 400, "Failed to parse body: json: cannot unmarshal object"},
		{"PUT", "/v1/txn", `[{"KV":{"Verb":"set","Key":"k","Value":"no base64!"}}]`, 400, "Failed to parse body: illegal base64 data"},
		{"PUT", "/v1/txn", `[{"KV":{"Verb":"set","Key":"k","Index":-1}}]`, 400, "Failed to parse body: json: cannot unmarshal number -1"},
		{"PUT", "/v1/txn", `[{"KV":{"Verb":7}}]`, 400, "Failed to parse body: json: cannot unmarshal number"},
		{"PUT", "/v1/txn", many, 413, "Transaction contains too many operations (129 > 128)"},
		{"PUT", "/v1/txn", `[{"KV":{"Verb":"set","Key":"k","Value":"MTIzNDU2Nzg5"}}]`, 413, `Value for key "k" is too large (9 > 8 bytes)`},
		{"PUT", "/v1/txn?wait=x", `[]`, 400, "Invalid wait time"},

		{"PUT", "/v1/session/create", `{"Name":`, 400, "Request decode failed: unexpected EOF"},
		{"PUT", "/v1/session/create", `{"TTL":30}`, 400, "Request decode failed: json: cannot unmarshal number"},
		{"PUT", "/v1/session/create", `{"LockDelay":"soon"}`, 400, `Request decode failed: time: invalid duration "soon"`},
		{"PUT", "/v1/session/create", `{"LockDelay":[1]}`, 400, `Request decode failed: [1] is not a duration`},
		{"PUT", "/v1/session/create", `{"NodeChecks":"serfHealth"}`, 400, "Request decode failed"},
		{"PUT", "/v1/session/destroy/", "", 400, "Missing session"},
		{"PUT", "/v1/session/renew/", "", 400, "Missing session"},
		{"GET", "/v1/session/info/", "", 400, "Missing session"},
		{"GET", "/v1/session/node/", "", 400, "Missing node name"},
		{"GET", "/v1/session/list?index=-1", "", 400, "Invalid index"},

		{"PUT", "/v1/event/fire/", "", 400, "Missing name"},
		{"PUT", "/v1/event/fire/e?tag=v1", "", 500, "Cannot provide tag filter without service filter"},
		{"PUT", "/v1/event/fire/e?node=(", "", 500, "Invalid node filter"},
		{"GET", "/v1/event/list?wait=x", "", 400, "Invalid wait time"},
	} {
		t.Run(fmt.Sprintf("%s %.40s %.60s", tt.method, tt.target, tt.body), func(t *testing.T) {
			c := new(caller)
			status, _, text := do(t, c, nil, tt.method, tt.target, tt.body)
			if status != tt.status || !strings.Contains(text, tt.text) {
				t.Errorf("%d %q, want %d %q", status, text, tt.status, tt.text)
			}
			if c.in != nil {
				t.Errorf("%s was asked: %+v", c.method, c.in)
			}
		})
	}
}

// TestAsked: what a request asks for.
func TestAsked(t *testing.T) {
	read := rpc.ReadOptions{MaxWait: time.Minute}
	session := kv.Session{Node: "me", LockDelay: kv.DefaultLockDelay, Behavior: kv.Release, NodeChecks: []string{"serfHealth"}}
	create := func(change func(*kv.Session)) any {
		s := session
		change(&s)
		return &rpc.SessionCreateRequest{Session: s}
	}
	apply := func(op kv.KeyOp) any { return &rpc.KeyApplyRequest{KeyOp: op} }
	for _, tt := range []struct {
		method, target, body string
		want                 any
	}{
		{"PUT", "/v1/kv/a/b", "v", apply(kv.KeyOp{Verb: kv.Set, Key: "a/b", Value: []byte("v")})},
		{"PUT", "/v1/kv/k?flags=18446744073709551615", "", apply(kv.KeyOp{Verb: kv.Set, Key: "k", Flags: 1<<64 - 1})},
		{"PUT", "/v1/kv/k?cas=0", "v", apply(kv.KeyOp{Verb: kv.CAS, Key: "k", Value: []byte("v")})},
		{"PUT", "/v1/kv/k?cas=7&flags=2", "v", apply(kv.KeyOp{Verb: kv.CAS, Key: "k", Value: []byte("v"), Index: 7, Flags: 2})},
		{"PUT", "/v1/kv/k?acquire=s", "v", apply(kv.KeyOp{Verb: kv.Lock, Key: "k", Value: []byte("v"), Session: "s"})},
		{"PUT", "/v1/kv/k?release=s", "", apply(kv.KeyOp{Verb: kv.Unlock, Key: "k", Session: "s"})},
		{"PUT", "/v1/kv/k?acquire", "", apply(kv.KeyOp{Verb: kv.Lock, Key: "k"})},
		{"DELETE", "/v1/kv/k", "", apply(kv.KeyOp{Verb: kv.Delete, Key: "k"})},
		{"DELETE", "/v1/kv/k?cas=0", "", apply(kv.KeyOp{Verb: kv.DeleteCAS, Key: "k"})},
		{"DELETE", "/v1/kv/?recurse", "", apply(kv.KeyOp{Verb: kv.DeleteTree})},
		{"DELETE", "/v1/kv/k?recurse&dc=dc2&token=t", "", &rpc.KeyApplyRequest{
			Target: rpc.Target{Datacenter: "dc2", Token: "t"}, KeyOp: kv.KeyOp{Verb: kv.DeleteTree, Key: "k"},
		}},
		{"GET", "/v1/kv/k", "", &rpc.KeyGetRequest{ReadOptions: read, Key: "k"}},
		{"GET", "/v1/kv/k?recurse", "", &rpc.KeyListRequest{ReadOptions: read, Prefix: "k"}},
		{"GET", "/v1/kv/?keys&separator=/", "", &rpc.KeyListRequest{ReadOptions: read, Separator: "/"}},

		{"PUT", "/v1/session/create", "", create(func(*kv.Session) {})},
		{"PUT", "/v1/session/create", "{}", create(func(*kv.Session) {})},
		{"PUT", "/v1/session/create", `{"Checks":[]}`, create(func(s *kv.Session) { s.NodeChecks = []string{} })},
		{"PUT", "/v1/session/create", `{"Checks":["a"],"NodeChecks":["b"]}`, create(func(s *kv.Session) { s.NodeChecks = []string{"b"} })},
		{"PUT", "/v1/session/create", `{"LockDelay":20}`, create(func(s *kv.Session) { s.LockDelay = 20 * time.Second })},
		{"PUT", "/v1/session/create", `{"LockDelay":0.5}`, create(func(s *kv.Session) { s.LockDelay = 500 * time.Millisecond })},
		{"PUT", "/v1/session/create", `{"LockDelay":3e9}`, create(func(s *kv.Session) { s.LockDelay = 3 * time.Second })},
		{"PUT", "/v1/session/create", `{"LockDelay":1e300}`, create(func(s *kv.Session) { s.LockDelay = kv.MaxLockDelay })},
		{"PUT", "/v1/session/create", `{"LockDelay":-1e300}`, create(func(s *kv.Session) { s.LockDelay = -1 })},
		{"PUT", "/v1/session/create", `{"LockDelay":"1ms"}`, create(func(s *kv.Session) { s.LockDelay = time.Millisecond })},
		{"PUT", "/v1/session/create", `{"LockDelay":"0s"}`, create(func(s *kv.Session) { s.LockDelay = 0 })},
		{"PUT", "/v1/session/create", `{"LockDelay":null}`, create(func(*kv.Session) {})},
		{"PUT", "/v1/session/create", `{"name":"n","node":"o","ttl":"10s","behavior":"delete"}`, create(func(s *kv.Session) {
			s.Name, s.Node, s.TTL, s.Behavior = "n", "o", "10s", kv.DeleteEntries
		})},
		{"PUT", "/v1/session/destroy/id", "", &rpc.SessionRequest{ID: "id"}},
		{"GET", "/v1/session/info/id", "", &rpc.SessionGetRequest{ReadOptions: read, ID: "id"}},
		{"GET", "/v1/session/list", "", &rpc.SessionListRequest{ReadOptions: read}},
		{"GET", "/v1/session/node/n", "", &rpc.SessionListRequest{ReadOptions: read, Node: "n"}},

		{"PUT", "/v1/txn", "null", &rpc.TxnReadRequest{ReadOptions: read, Ops: []kv.Op{}}},
		{"PUT", "/v1/txn", "[{}]", &rpc.TxnReadRequest{ReadOptions: read, Ops: []kv.Op{{}}}},
		{"PUT", "/v1/txn", `[{"KV":{"Verb":"fly","Key":"k"}}]`, &rpc.TxnReadRequest{
			ReadOptions: read, Ops: []kv.Op{{KV: &kv.KeyOp{Verb: "fly", Key: "k"}}},
		}},
		{"PUT", "/v1/txn", `[{"KV":{"Verb":"get","Key":"k"}},{"KV":{"Verb":"set","Key":"k","Value":"dg=="}}] and more`, &rpc.TxnRequest{
			Ops: []kv.Op{{KV: &kv.KeyOp{Verb: kv.Get, Key: "k"}}, {KV: &kv.KeyOp{Verb: kv.Set, Key: "k", Value: []byte("v")}}},
		}},

		{"PUT", "/v1/event/fire/e?service=w&tag=t&node=n", "p", &rpc.EventFireRequest{Event: kv.Event{
			Name: "e", Payload: []byte("p"), NodeFilter: "n", ServiceFilter: "w", TagFilter: "t", Version: kv.EventVersion,
		}}},
	} {
		t.Run(fmt.Sprintf("%s %s %.60s", tt.method, tt.target, tt.body), func(t *testing.T) {
			c := new(caller)
			status, _, text := do(t, c, nil, tt.method, tt.target, tt.body)
			// Nobody answered, so that a single key is missing.
			if status != 200 && status != 404 {
				t.Errorf("%d %q", status, text)
			}
			got, err := json.Marshal(c.in)
			if err != nil {
				t.Fatal(err)
			}
			want, err := json.Marshal(tt.want)
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Sprintf("%T", c.in) != fmt.Sprintf("%T", tt.want) || string(got) != string(want) {
				t.Errorf("asked %T %s\nwant  %T %s", c.in, got, tt.want, want)
			}
		})
	}
}

// TestAnswered: what becomes of answers and of errors.
func TestAnswered(t *testing.T) {
	fails := func(err error) func(any) error { return func(any) error { return err } }
	entry := &kv.Entry{Key: "k", Value: []byte("<v>"), ModifyIndex: 5}
	gives := func(reply any) func(any) error {
		return func(out any) error {
			switch out := out.(type) {
			case *rpc.EntriesReply:
				*out = *reply.(*rpc.EntriesReply)
			case *rpc.KeyNamesReply:
				*out = *reply.(*rpc.KeyNamesReply)
			case *rpc.TxnReply:
				*out = *reply.(*rpc.TxnReply)
			case *rpc.SessionsReply:
				*out = *reply.(*rpc.SessionsReply)
			case *rpc.KeyApplyReply:
				*out = *reply.(*rpc.KeyApplyReply)
			default:
				return fmt.Errorf("no answer for a %T", out)
			}
			return nil
		}
	}
	meta := rpc.ReadMeta{Index: 9, KnownLeader: true}
	for _, tt := range []struct {
		name, method, target, body string
		answer                     func(any) error
		status                     int
		text                       string
		header                     map[string]string
	}{
		{"key", "GET", "/v1/kv/k", "", gives(&rpc.EntriesReply{ReadMeta: meta, Entries: []*kv.Entry{entry}}), 200,
			`[{"LockIndex":0,"Key":"k","Flags":0,"Value":"PHY+","CreateIndex":0,"ModifyIndex":5}]`,
			map[string]string{"X-Consul-Index": "9", "X-Consul-Knownleader": "true", "X-Consul-Effective-Consistency": ""}},
		{"raw", "GET", "/v1/kv/k?raw", "", gives(&rpc.EntriesReply{ReadMeta: meta, Entries: []*kv.Entry{entry}}), 200, "<v>",
			map[string]string{"Content-Type": "text/plain", "Content-Security-Policy": "sandbox"}},
		{"missing", "GET", "/v1/kv/k", "", gives(&rpc.EntriesReply{ReadMeta: meta}), 404, "", map[string]string{"X-Consul-Index": "9"}},
		{"missing raw", "GET", "/v1/kv/k?raw", "", gives(&rpc.EntriesReply{ReadMeta: meta}), 404, "", map[string]string{"X-Consul-Index": "9"}},
		{"empty tree", "GET", "/v1/kv/k?recurse", "", gives(&rpc.EntriesReply{ReadMeta: meta}), 404, "", map[string]string{"X-Consul-Index": "9"}},
		{"no names", "GET", "/v1/kv/k?keys", "", gives(&rpc.KeyNamesReply{ReadMeta: meta}), 404, "", map[string]string{"X-Consul-Index": "9"}},
		{"no names at all", "GET", "/v1/kv/?keys", "", gives(&rpc.KeyNamesReply{ReadMeta: meta}), 200, "[]", nil},
		{"done", "PUT", "/v1/kv/k", "v", gives(&rpc.KeyApplyReply{Done: true}), 200, "true", nil},
		{"not done", "PUT", "/v1/kv/k?cas=1", "v", gives(&rpc.KeyApplyReply{}), 200, "false", nil},
		{"wrong session", "PUT", "/v1/kv/k?acquire=s", "v", fails(fault.Newf(fault.Invalid, `invalid session "s"`)), 500, `invalid session "s"`, nil},
		{"denied", "PUT", "/v1/kv/k", "v", fails(fault.Newf(fault.Denied, "Permission denied")), 403, "Permission denied", nil},
		{"no leader", "GET", "/v1/kv/k", "", fails(fault.Newf(fault.NoLeader, "No cluster leader")), 500, "No cluster leader",
			map[string]string{"X-Consul-Index": ""}},
		{"too often", "PUT", "/v1/kv/k", "v", fails(fault.Newf(fault.RateLimited, "slow down")), 429, "slow down", nil},
		{"transaction", "PUT", "/v1/txn", `[{"KV":{"Verb":"set","Key":"k"}}]`, gives(&rpc.TxnReply{}), 200, `{"Results":[],"Errors":null}`, nil},
		{"failed transaction", "PUT", "/v1/txn", `[{"KV":{"Verb":"set","Key":"k"}}]`,
			gives(&rpc.TxnReply{Errors: []kv.OpError{{OpIndex: 0, What: "no"}}}), 409, `{"Results":null,"Errors":[{"OpIndex":0,"What":"no"}]}`, nil},
		{"failed read", "PUT", "/v1/txn", `[{"KV":{"Verb":"get","Key":"k"}}]`,
			gives(&rpc.TxnReply{Errors: []kv.OpError{{OpIndex: 0, What: "no"}}}), 409, `"Errors":[{"OpIndex":0,"What":"no"}]`,
			map[string]string{"X-Consul-Knownleader": ""}},
		{"read", "PUT", "/v1/txn", `[{"KV":{"Verb":"get","Key":"k"}}]`, gives(&rpc.TxnReply{ReadMeta: meta}), 200, `"Results":[]`,
			map[string]string{"X-Consul-Knownleader": "true"}},
		{"unknown session", "GET", "/v1/session/info/s", "", gives(&rpc.SessionsReply{ReadMeta: meta}), 200, "[]", nil},
		{"renewed", "PUT", "/v1/session/renew/s", "", gives(&rpc.SessionsReply{Sessions: []*kv.Session{{ID: "s"}}}), 200, `"ID":"s"`, nil},
		{"renewed too late", "PUT", "/v1/session/renew/s", "", gives(&rpc.SessionsReply{}), 404, "Session id 's' not found", nil},
		{"session for nobody", "PUT", "/v1/session/create", `{"Node":"nobody"}`, fails(fault.Newf(fault.NotFound, "Missing node registration")), 500, "Missing node registration", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, header, text := do(t, &caller{answer: tt.answer}, nil, tt.method, tt.target, tt.body)
			if status != tt.status || !strings.Contains(text, tt.text) || tt.text == "" && text != "" {
				t.Errorf("%d %q, want %d %q", status, text, tt.status, tt.text)
			}
			for name, want := range tt.header {
				if got := header.Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
		})
	}
}

// ring holds some events.
type ring []*kv.Event

func (r ring) List(ctx context.Context, name string, pass func(*kv.Event) bool, min uint64) (uint64, []*kv.Event) {
	if min != 0 {
		<-ctx.Done() // there are no others
	}
	var out []*kv.Event
	for _, e := range r {
		if (name == "" || e.Name == name) && pass(e) {
			out = append(out, e)
		}
	}
	return 7, out
}

func TestEventList(t *testing.T) {
	events := ring{{Name: "a"}, {Name: "b", NodeFilter: "n"}, {Name: "b", ServiceFilter: "s", TagFilter: "t"}}
	for target, want := range map[string]int{
		"/v1/event/list": 3, "/v1/event/list?name=b": 2, "/v1/event/list?name=c": 0, "/v1/event/list?node=n": 1,
		"/v1/event/list?service=s&tag=t": 1, "/v1/event/list?name=b&service=x": 0, "/v1/event/list?index=7&wait=-1s": 3,
	} {
		status, header, text := do(t, new(caller), events, "GET", target, "")
		var got []*kv.Event
		if err := json.Unmarshal([]byte(text), &got); err != nil || status != 200 || len(got) != want || got == nil {
			t.Errorf("%s: %d %s %v, want %d", target, status, text, err, want)
		}
		if header.Get("X-Consul-Index") != "7" {
			t.Errorf("%s: index %q", target, header.Get("X-Consul-Index"))
		}
	}
	if status, header, text := do(t, new(caller), nil, "GET", "/v1/event/list", ""); status != 200 || text != "[]" || header.Get("X-Consul-Index") != "1" {
		t.Errorf("no events: %d %s %s", status, text, header.Get("X-Consul-Index"))
	}
}
