package watch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/consul/api"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script answers requests one after the other; when it has no more, requests hang
// until they are given up.
type script struct {
	steps []step
	asked []string
}

type step struct {
	index uint64
	body  string
	code  int
	after time.Duration
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	s.asked = append(s.asked, r.URL.RequestURI())
	if len(s.steps) == 0 {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	next := s.steps[0]
	s.steps = s.steps[1:]
	time.Sleep(next.after)
	h := http.Header{"X-Consul-Index": {strconv.FormatUint(next.index, 10)}}
	if next.code == 0 {
		next.code = http.StatusOK
	}
	return &http.Response{StatusCode: next.code, Header: h, Body: io.NopCloser(strings.NewReader(next.body)), Request: r}, nil
}

func (s *script) client(t *testing.T) *api.Client {
	t.Helper()
	c, err := api.NewClient(&api.Config{Address: "agent.test", Scheme: "http", HttpClient: &http.Client{Transport: s}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// follow runs a query for a minute of fake time and returns what was told.
func follow(t *testing.T, s *script, q Query) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var told []string
	err := Follow(ctx, s.client(t), q, Calls{
		Changed: func(_ context.Context, index uint64, value any) error {
			text, err := json.Marshal(value)
			told = append(told, strconv.FormatUint(index, 10)+" "+string(text))
			return err
		},
		Failed: func(err error, again time.Duration) error {
			if again > lastRetry {
				t.Errorf("the next attempt is in %s", again)
			}
			told = append(told, "failed")
			return nil
		},
	})
	if err != nil {
		t.Error(err)
	}
	return told
}

func TestFollow(t *testing.T) {
	const one, two = `[{"Node":"n1"}]`, `[{"Node":"n1"},{"Node":"n2"}]`
	nodes := func(body string) string {
		var list []*api.Node
		if err := json.Unmarshal([]byte(body), &list); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, tt := range []struct {
		name  string
		q     Query
		steps []step
		want  []string
		asked string // parts of the requests, one after the other
	}{
		{"changes", Query{Type: "nodes"}, []step{{index: 5, body: one}, {index: 6, body: two}}, []string{"5 " + nodes(one), "6 " + nodes(two)}, "nodes index=5 index=6"},
		{"a wait without news", Query{Type: "nodes"}, []step{{index: 5, body: one}, {index: 5, body: one}}, []string{"5 " + nodes(one)}, "nodes index=5 index=5"},
		{"another index, the same answer", Query{Type: "nodes"}, []step{{index: 5, body: one}, {index: 9, body: one}}, []string{"5 " + nodes(one)}, "nodes index=5 index=9"},
		{"an index that falls", Query{Type: "nodes"}, []step{{index: 50, body: one}, {index: 3, body: two}, {index: 3, body: two}}, []string{"50 " + nodes(one), "0 " + nodes(two)}, "nodes index=50 nodes index=3"},
		{"no index", Query{Type: "nodes"}, []step{{body: one}, {body: one}, {index: 2, body: two}}, []string{"1 " + nodes(one), "2 " + nodes(two)}, "nodes index=1 nodes index=2"},
		{"failures", Query{Type: "nodes"}, []step{{code: 500}, {index: 5, body: one}, {code: 500}, {code: 500}, {index: 5, body: one}, {index: 7, body: two}},
			[]string{"failed", "5 " + nodes(one), "failed", "failed", "7 " + nodes(two)}, "nodes nodes index=5 index=5 index=5 index=5 index=7"},
		{"a key that is not there", Query{Type: "key", Key: "a"}, []step{{index: 5, code: 404}, {index: 6, body: `[{"Key":"a","Value":"eA=="}]`}, {index: 8, code: 404}},
			[]string{"5 null", `6 {"Key":"a","CreateIndex":0,"ModifyIndex":0,"LockIndex":0,"Flags":0,"Value":"eA==","Session":""}`, "8 null"}, "kv/a index=5"},
		{"keys", Query{Type: "keyprefix", Prefix: "a/", Datacenter: "dc2", Stale: true}, []step{{index: 5, code: 404}}, []string{"5 null"}, "kv/a/?dc=dc2&recurse=&stale="},
		{"services", Query{Type: "services", Filter: "x"}, []step{{index: 5, body: `{"web":["a"]}`}}, []string{`5 {"web":["a"]}`}, "catalog/services?filter=x"},
		{"service", Query{Type: "service", Service: "web", Tags: []string{"a", "b"}, PassingOnly: true}, []step{{index: 5, body: `[]`}}, []string{"5 []"}, "health/service/web?passing=1&tag=a&tag=b"},
		{"checks", Query{Type: "checks"}, []step{{index: 5, body: `[]`}}, []string{"5 []"}, "health/state/any"},
		{"checks in a state", Query{Type: "checks", State: "passing"}, []step{{index: 5, body: `[]`}}, []string{"5 []"}, "health/state/passing"},
		{"checks of a service", Query{Type: "checks", Service: "web"}, []step{{index: 5, body: `[]`}}, []string{"5 []"}, "health/checks/web"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{steps: tt.steps}
				if got := follow(t, s, tt.q); strings.Join(got, "\n") != strings.Join(tt.want, "\n") {
					t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
				}
				rest := strings.Join(s.asked, "\n")
				for _, part := range strings.Fields(tt.asked) {
					_, after, ok := strings.Cut(rest, part)
					if !ok {
						t.Fatalf("asked\n%s\nwant %s", strings.Join(s.asked, "\n"), tt.asked)
					}
					rest = after
				}
			})
		})
	}
}

// TestNoHurry: servers that fail for long are not asked all the time, and an
// answer without an index is not asked for in a loop.
func TestNoHurry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{}
		for range 100 {
			s.steps = append(s.steps, step{code: 500})
		}
		if got := follow(t, s, Query{Type: "nodes"}); len(got) < 4 || len(got) > 12 {
			t.Errorf("%d attempts in a minute", len(got))
		}
	})
}

// TestEvents: only the new ones are told, in whatever order their indexes are.
func TestEvents(t *testing.T) {
	const a, b, c = "b54fe110-7af5-cafc-d1fb-afc8ba432b1c", "00000000-0000-0001-0000-000000000000", "f07f3fcc-4b7d-3a7c-6d1e-cf414039fcee"
	event := func(ids ...string) string {
		var out []string
		for _, id := range ids {
			out = append(out, `{"ID":"`+id+`","Name":"deploy"}`)
		}
		return "[" + strings.Join(out, ",") + "]"
	}
	index := new(api.Event).IDToIndex
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []step{{index: index(a), body: event(a)}, {index: index(b), body: event(a, b)}, {index: index(c), body: event(a, b, c)}}}
		got := follow(t, s, Query{Type: "event", Name: "deploy"})
		if len(got) != 3 {
			t.Fatalf("told %q", got)
		}
		for i, id := range []string{a, b, c} {
			if strings.Count(got[i], `"ID":`) != 1 || !strings.Contains(got[i], id) {
				t.Errorf("%d: %s", i, got[i])
			}
		}
	})
}

func TestCallsEndIt(t *testing.T) {
	enough := errors.New("enough")
	for _, steps := range [][]step{{{index: 1, body: "[]"}}, {{code: 500}}} {
		s := &script{steps: steps}
		err := Follow(t.Context(), s.client(t), Query{Type: "nodes"}, Calls{
			Changed: func(context.Context, uint64, any) error { return enough },
			Failed:  func(error, time.Duration) error { return enough },
		})
		if !errors.Is(err, enough) || len(s.asked) != 1 {
			t.Errorf("%v, asked %q", err, s.asked)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		q    Query
		want string // "" = it is good
	}{
		{Query{}, "Watch type must be specified"},
		{Query{Type: "zzz"}, "Unsupported watch type: zzz"},
		{Query{Type: "key"}, "Must specify a single key to watch"},
		{Query{Type: "keyprefix"}, "Must specify a single prefix to watch"},
		{Query{Type: "service"}, "Must specify a single service to watch"},
		{Query{Type: "checks", Service: "a", State: "passing"}, "Cannot specify service and state"},
		{Query{Type: "nodes", Key: "a"}, "key is nothing that a watch of type nodes knows"},
		{Query{Type: "event", Service: "a"}, "service is nothing"},
		{Query{Type: "checks", PassingOnly: true}, "passingonly is nothing"},
		{Query{Type: "key", Key: "a", Filter: "x"}, "has no filter"},
		{Query{Type: "key", Key: "a", Datacenter: "dc2", Token: "t", Stale: true}, ""},
		{Query{Type: "service", Service: "a", Tags: []string{"t"}, PassingOnly: true, Filter: "x"}, ""},
		{Query{Type: "checks"}, ""},
		{Query{Type: "event"}, ""},
	} {
		err := tt.q.Check()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.q, err, tt.want)
		}
	}
}

func TestProgram(t *testing.T) {
	var out bytes.Buffer
	p := &Program{Args: Shell("cat; echo index=$CONSUL_INDEX; exit 7"), Out: &out}
	err := p.Run(t.Context(), 42, map[string]int{"a": 1})
	if err == nil || err.Error() != "exit status 7" || out.String() != "{\"a\":1}\nindex=42\n" {
		t.Errorf("%v, %q", err, out.String())
	}
	for _, args := range [][]string{nil, {"/nothing/here"}} {
		if err := (&Program{Args: args}).Run(t.Context(), 1, nil); err == nil {
			t.Errorf("%q ran", args)
		}
	}
	// One that does not read what it is given, and much of it.
	if err := (&Program{Args: []string{"true"}}).Run(t.Context(), 1, strings.Repeat("x", 1<<20)); err != nil {
		t.Error(err)
	}
}

// TestProgramIsKilled with what it has started.
func TestProgramIsKilled(t *testing.T) {
	started := filepath.Join(t.TempDir(), "started")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- (&Program{Args: Shell("sleep 600 & touch " + started + "; wait")}).Run(ctx, 1, nil)
	}()
	for {
		if _, err := os.Stat(started); err == nil {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("it ended before: %v", err)
		default:
		}
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("killed, but no error")
	}
}

func TestURL(t *testing.T) {
	var got string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		got = strings.Join([]string{r.Method, r.Host, r.Header.Get("X-Consul-Index"), r.Header.Get("Content-Type"), strings.Join(r.Header["X-Foo"], "+"), string(body)}, " ")
		if err != nil || r.URL.Path == "/refused" {
			http.Error(w, "no", http.StatusTeapot)
			return
		}
		_, _ = io.WriteString(w, strings.Repeat("fine ", 100_000))
	}))
	defer s.Close()
	var out bytes.Buffer
	u := &URL{Path: s.URL, Header: map[string][]string{"x-foo": {"bar", "baz"}, "Host": {"other"}}, Out: &out}
	if err := u.Run(t.Context(), 42, []int{1}); err != nil || got != "POST other 42 application/json bar+baz [1]\n" {
		t.Errorf("%v, %q", err, got)
	}
	if out.Len() != maxAnswer {
		t.Errorf("%d bytes of the answer were read", out.Len())
	}
	u = &URL{Path: s.URL + "/refused", Method: http.MethodPut, Timeout: time.Minute}
	if err := u.Run(t.Context(), 1, nil); err == nil || !strings.Contains(err.Error(), "418") || !strings.HasPrefix(got, "PUT ") {
		t.Errorf("%v, %q", err, got)
	}
	tls := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	tls.Config.ErrorLog = log.New(io.Discard, "", 0) // of the refused handshake
	defer tls.Close()
	if err := (&URL{Path: tls.URL}).Run(t.Context(), 1, nil); err == nil {
		t.Error("a certificate of nobody was taken")
	}
	if err := (&URL{Path: tls.URL, TLSSkipVerify: true}).Run(t.Context(), 1, nil); err != nil {
		t.Error(err)
	}
	if err := (&URL{Path: "::"}).Run(t.Context(), 1, nil); err == nil {
		t.Error("a URL that is none was taken")
	}
}
