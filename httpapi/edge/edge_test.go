package edge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"consul.internal/internal/fault"
	"consul.internal/rpc"
)

func TestStatusAndText(t *testing.T) {
	gone, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("the agent is shutting down"))
	tooMany := &http.MaxBytesError{Limit: 1 << 20}
	for _, tt := range []struct {
		name   string
		err    error
		status int
		text   string
	}{
		{"decided", Failed(418, "a teapot"), 418, "a teapot"},
		{"decided and wrapped", fmt.Errorf("so: %w", BadRequest("bad")), 400, "so: bad"},
		{"decided wins over its kind", fault.With(fault.Denied, BadRequest("bad")), 400, "bad"},
		{"too large", tooMany, 413, tooLarge},
		{"too large, told by somebody", fmt.Errorf("read: %w", tooMany), 413, tooLarge},
		{"invalid", fault.Newf(fault.Invalid, "x"), 400, "x"},
		{"denied", fault.Newf(fault.Denied, "x"), 403, "x"},
		{"not found", fault.Newf(fault.NotFound, "x"), 404, "x"},
		{"conflict", fault.Newf(fault.Conflict, "x"), 409, "x"},
		{"too often", fault.Newf(fault.RateLimited, "x"), 429, "x"},
		{"no leader", fault.Newf(fault.NoLeader, "No cluster leader"), 500, "No cluster leader"},
		{"no route", fault.Newf(fault.NoRoute, "x"), 500, "x"},
		{"unavailable", fault.Newf(fault.Unavailable, "x"), 500, "x"},
		{"unknown outcome", fault.Newf(fault.Unknown, "x"), 500, "x"},
		{"no kind", errors.New("x"), 500, "x"},
		{"remote invalid", Remote(fault.Newf(fault.Invalid, "x")), 500, "x"},
		{"remote not found", Remote(fault.Newf(fault.NotFound, "x")), 500, "x"},
		{"remote denied", Remote(fault.Newf(fault.Denied, "x")), 403, "x"},
		{"remote too often", Remote(fault.Newf(fault.RateLimited, "x")), 429, "x"},
		{"cancelled with a cause", Remote(fmt.Errorf("call: %w", context.Canceled)), 500, "the agent is shutting down"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := StatusOf(tt.err); got != tt.status {
				t.Errorf("status %d, want %d", got, tt.status)
			}
			r := httptest.NewRequestWithContext(gone, "GET", "/", nil)
			if got := TextOf(r, tt.err); got != tt.text {
				t.Errorf("text %q, want %q", got, tt.text)
			}
		})
	}
	if Remote(nil) != nil {
		t.Error("nothing became an error")
	}
}

func TestReadOptions(t *testing.T) {
	cfg := Settings{Datacenter: "dc1", NodeName: "me", DefaultQueryTime: 5 * time.Minute, MaxQueryTime: 10 * time.Minute}
	relaxed := cfg
	relaxed.DiscoveryMaxStale = 3 * time.Second
	for _, tt := range []struct {
		query  string
		cfg    Settings
		want   rpc.ReadOptions
		failed string
	}{
		{"", cfg, rpc.ReadOptions{MaxWait: 5 * time.Minute}, ""},
		{"index=7&wait=10s", cfg, rpc.ReadOptions{MinIndex: 7, MaxWait: 10 * time.Second}, ""},
		{"index=18446744073709551615", cfg, rpc.ReadOptions{MinIndex: 1<<64 - 1, MaxWait: 5 * time.Minute}, ""},
		{"index=0&wait=100h", cfg, rpc.ReadOptions{MaxWait: 10 * time.Minute}, ""},
		{"index=7&wait=-5s", cfg, rpc.ReadOptions{MinIndex: 7, MaxWait: 1}, ""},
		{"index=7&wait=0s", cfg, rpc.ReadOptions{MinIndex: 7, MaxWait: 1}, ""},
		{"index=-1", cfg, rpc.ReadOptions{}, "Invalid index"},
		{"index=1.5", cfg, rpc.ReadOptions{}, "Invalid index"},
		{"index=18446744073709551616", cfg, rpc.ReadOptions{}, "Invalid index"},
		{"wait=10", cfg, rpc.ReadOptions{}, "Invalid wait time"},
		{"wait=soon", cfg, rpc.ReadOptions{}, "Invalid wait time"},
		{"wait=9999999999999h", cfg, rpc.ReadOptions{}, "Invalid wait time"},
		{"stale", cfg, rpc.ReadOptions{Consistency: rpc.Stale, MaxWait: 5 * time.Minute}, ""},
		{"consistent", cfg, rpc.ReadOptions{Consistency: rpc.Consistent, MaxWait: 5 * time.Minute}, ""},
		{"stale&consistent", cfg, rpc.ReadOptions{}, "Cannot specify ?stale with ?consistent, conflicting semantics."},
		{"consistent&cached", cfg, rpc.ReadOptions{}, "Cannot specify ?consistent with ?cached, conflicting semantics."},
		{"cached", cfg, rpc.ReadOptions{Cached: true, MaxWait: 5 * time.Minute}, ""},
		{"", relaxed, rpc.ReadOptions{Consistency: rpc.Stale, MaxStale: 3 * time.Second, MaxWait: 5 * time.Minute}, ""},
		{"consistent", relaxed, rpc.ReadOptions{Consistency: rpc.Consistent, MaxWait: 5 * time.Minute}, ""},
		{"max_stale=2s", cfg, rpc.ReadOptions{Consistency: rpc.Stale, MaxStale: 2 * time.Second, MaxWait: 5 * time.Minute}, ""},
		{"max_stale=-2s", cfg, rpc.ReadOptions{}, `Invalid max_stale value "-2s"`},
		{"max_stale=much", cfg, rpc.ReadOptions{}, `Invalid max_stale value "much"`},
		{"near=_agent", cfg, rpc.ReadOptions{Near: "me", MaxWait: 5 * time.Minute}, ""},
		{"near=_agent&dc=dc1", cfg, rpc.ReadOptions{Target: rpc.Target{Datacenter: "dc1"}, Near: "me", MaxWait: 5 * time.Minute}, ""},
		{"near=_agent&dc=dc2", cfg, rpc.ReadOptions{Target: rpc.Target{Datacenter: "dc2"}, MaxWait: 5 * time.Minute}, ""},
		{"near=it&filter=a+==+b&token=t", cfg, rpc.ReadOptions{Target: rpc.Target{Token: "t"}, Near: "it", Filter: "a == b", MaxWait: 5 * time.Minute}, ""},
		{"node-meta=a:b:c&node-meta=d", cfg, rpc.ReadOptions{NodeMeta: map[string]string{"a": "b:c", "d": ""}, MaxWait: 5 * time.Minute}, ""},
	} {
		t.Run(tt.query, func(t *testing.T) {
			b := &Base{Settings: func() Settings { return tt.cfg }}
			got, err := b.ReadOptions(httptest.NewRequest("GET", "/v1/x?"+tt.query, nil))
			if tt.failed != "" {
				if err == nil || err.Error() != tt.failed || StatusOf(err) != 400 {
					t.Errorf("%v, want %q", err, tt.failed)
				}
				return
			}
			if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", tt.want); err != nil || g != w {
				t.Errorf("%s %v, want %s", g, err, w)
			}
		})
	}
}

func TestToken(t *testing.T) {
	for _, tt := range []struct{ query, header, bearer, want string }{
		{"", "", "", ""},
		{"q", "h", "Bearer b", "q"},
		{"", "h", "Bearer b", "h"},
		{"", "", "Bearer b", "b"},
		{"", "", "bearer  b ", "b"},
		{"", "", "Basic b", ""},
		{"", "", "Bearer", ""},
	} {
		r := httptest.NewRequest("GET", "/?token="+tt.query, nil)
		r.Header.Set("X-Consul-Token", tt.header)
		r.Header.Set("Authorization", tt.bearer)
		if got := Token(r); got != tt.want {
			t.Errorf("%+v: %q", tt, got)
		}
	}
}

func TestBool(t *testing.T) {
	for query, want := range map[string]string{
		"": "false", "passing": "true", "passing=": "true", "passing=1": "true", "passing=false": "false", "passing=0": "false",
		"passing=maybe": "Invalid value for ?passing", "passing=2": "Invalid value for ?passing",
	} {
		got, err := Bool(httptest.NewRequest("GET", "/?"+query, nil), "passing")
		if err == nil && fmt.Sprint(got) != want || err != nil && (err.Error() != want || StatusOf(err) != 400) {
			t.Errorf("%q: %v %v, want %s", query, got, err, want)
		}
	}
}

// held is a body that is in memory already.
type held struct {
	io.ReadCloser
	b []byte
}

func (h held) Bytes() []byte { return h.b }

func TestBodyAndDecode(t *testing.T) {
	for _, tt := range []struct {
		name         string
		body         io.Reader
		text, failed string // of Body
		decoded      string // the error of Decode, "" = none
		status       int    // of that
	}{
		{"none", http.NoBody, "", "", "Request decode failed: EOF", 400},
		{"a document", strings.NewReader(`{"A":1}`), `{"A":1}`, "", "", 0},
		{"more than one", strings.NewReader(`{"A":1} x`), `{"A":1} x`, "", "", 0},
		{"cut short", strings.NewReader(`{"A":`), `{"A":`, "", "Request decode failed: unexpected EOF", 400},
		{"another type", strings.NewReader(`{"A":"1"}`), `{"A":"1"}`, "", "Request decode failed: json: cannot unmarshal string", 400},
		{"no JSON", strings.NewReader("A=1"), "A=1", "", "Request decode failed: invalid character", 400},
		{"the client goes", iotest.ErrReader(io.ErrUnexpectedEOF), "", "unexpected EOF", "Request decode failed: unexpected EOF", 400},
		{"too much", iotest.ErrReader(&http.MaxBytesError{Limit: 3}), "", "http: request body too large", "http: request body too large", 413},
		{"too much at once", iotest.ErrReader(fault.Newf(fault.RateLimited, "wait")), "", "wait", "wait", 429},
		{"decided before", iotest.ErrReader(Failed(413, "no")), "", "no", "no", 413},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text, bodyErr := io.ReadAll(tt.body)
			request := func() *http.Request {
				r := httptest.NewRequest("PUT", "/", nil)
				r.Body = io.NopCloser(io.MultiReader(strings.NewReader(string(text)), end(bodyErr)))
				return r
			}
			got, err := Body(request())
			if string(got) != tt.text || (err == nil) != (tt.failed == "") || err != nil && err.Error() != tt.failed {
				t.Errorf("body %q %v, want %q %q", got, err, tt.text, tt.failed)
			}
			var v struct{ A int }
			switch err := Decode(request(), &v); {
			case tt.decoded == "" && (err != nil || v.A != 1):
				t.Errorf("decoded %+v %v", v, err)
			case tt.decoded != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.decoded) || StatusOf(err) != tt.status):
				t.Errorf("decode: %v, want %q as %d", err, tt.decoded, tt.status)
			}
		})
	}
	r := httptest.NewRequest("PUT", "/", nil)
	r.Body = held{b: []byte("here")}
	if b, err := Body(r); string(b) != "here" || err != nil {
		t.Errorf("a body in memory: %q %v", b, err)
	}
	r.Body = nil
	if b, err := Body(r); b != nil || err != nil {
		t.Errorf("no body: %q %v", b, err)
	}
}

// end is a reader that ends as another one did.
func end(err error) io.Reader {
	if err == nil {
		return strings.NewReader("")
	}
	return iotest.ErrReader(err)
}

func TestSetMeta(t *testing.T) {
	for _, tt := range []struct {
		query string
		meta  rpc.ReadMeta
		want  map[string]string
	}{
		{"", rpc.ReadMeta{}, map[string]string{
			"X-Consul-Index": "1", "X-Consul-Knownleader": "false", "X-Consul-Lastcontact": "0",
			"X-Consul-Effective-Consistency": "leader", "X-Consul-Query-Backend": "blocking-query", "X-Cache": "", "Age": "",
		}},
		{"stale", rpc.ReadMeta{Index: 9, KnownLeader: true, LastContact: 1500 * time.Millisecond, Consistency: rpc.Stale}, map[string]string{
			"X-Consul-Index": "9", "X-Consul-Knownleader": "true", "X-Consul-Lastcontact": "1500", "X-Consul-Effective-Consistency": "stale",
		}},
		{"cached", rpc.ReadMeta{Index: 9, Age: 2900 * time.Millisecond}, map[string]string{
			"X-Consul-Index": "9", "X-Cache": "HIT", "Age": "2", "X-Consul-Query-Backend": "",
		}},
	} {
		w := httptest.NewRecorder()
		SetMeta(w, httptest.NewRequest("GET", "/?"+tt.query, nil), &tt.meta)
		for name, want := range tt.want {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%q: %s is %q, want %q", tt.query, name, got, want)
			}
		}
	}
}

func TestItemAndList(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	if v, err := Item(r, "Missing it"); v != "" || err == nil || err.Error() != "Missing it" || StatusOf(err) != 400 {
		t.Errorf("%q %v", v, err)
	}
	r.SetPathValue("item", "a/b")
	if v, err := Item(r, "Missing it"); v != "a/b" || err != nil {
		t.Errorf("%q %v", v, err)
	}
	for want, list := range map[string][]int{"[]": nil, "[1]": {1}} {
		if got, err := json.Marshal(List(list)); err != nil || string(got) != want {
			t.Errorf("%s %v, want %s", got, err, want)
		}
	}
}
