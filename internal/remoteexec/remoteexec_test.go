package remoteexec

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/consul/api"
	"go.uber.org/goleak"
	"go.uber.org/zap"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const session = "b54fe110-7af5-cafc-d1fb-afc8ba432b1c"

// servers keep keys of one session, and tell of events.
type servers struct {
	mu     sync.Mutex
	keys   map[string]string
	gone   bool          // the session
	events []string      // payloads
	fired  chan struct{} // closed when there is one more
}

func newServers(t *testing.T, job string) *servers {
	t.Helper()
	return &servers{keys: map[string]string{JobKey(DefaultPrefix, session): job}, fired: make(chan struct{})}
}

func (s *servers) fire(payload string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, payload)
	close(s.fired)
	s.fired = make(chan struct{})
}

func (s *servers) RoundTrip(r *http.Request) (*http.Response, error) {
	index, code, body := 1, http.StatusOK, "true"
	key, isKey := strings.CutPrefix(r.URL.Path, "/v1/kv/")
	s.mu.Lock()
	switch {
	case r.URL.Path == "/v1/event/list":
		for n := len(s.events); r.URL.Query().Get("index") == fmt.Sprint(n+1) && r.Context().Err() == nil; n = len(s.events) {
			next := s.fired
			s.mu.Unlock()
			select {
			case <-next:
			case <-r.Context().Done():
			}
			s.mu.Lock()
		}
		index = len(s.events) + 1
		var list []string
		for i, p := range s.events {
			list = append(list, fmt.Sprintf(`{"ID":"00000000-0000-0000-0000-%012x","Name":"_rexec","Payload":%q}`, i+2, base64.StdEncoding.EncodeToString([]byte(p))))
		}
		body = "[" + strings.Join(list, ",") + "]"
	case strings.HasPrefix(r.URL.Path, "/v1/session/info/"):
		if body = `[{"ID":"` + session + `"}]`; s.gone {
			body = "[]"
		}
	case isKey && r.Method == http.MethodPut:
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		if s.gone || r.URL.Query().Get("acquire") != session {
			code, body = http.StatusInternalServerError, "invalid session"
			break
		}
		s.keys[key] = string(text)
	case isKey:
		value, ok := s.keys[key]
		if !ok {
			code, body = http.StatusNotFound, ""
			break
		}
		body = fmt.Sprintf(`[{"Key":%q,"Value":%q,"Session":%q}]`, key, base64.StdEncoding.EncodeToString([]byte(value)), session)
	}
	s.mu.Unlock()
	return &http.Response{StatusCode: code, Header: http.Header{"X-Consul-Index": {fmt.Sprint(index)}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, r.Context().Err()
}

func (s *servers) agent(t *testing.T) *Agent {
	t.Helper()
	c, err := api.NewClient(&api.Config{Address: "agent.test", Scheme: "http", HttpClient: &http.Client{Transport: s}})
	if err != nil {
		t.Fatal(err)
	}
	return &Agent{Node: "n1", Client: c, Log: zap.NewNop()}
}

// written are the keys below the node's prefix.
func (s *servers) written() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]string{}
	for k, v := range s.keys {
		if name, ok := strings.CutPrefix(k, NodePrefix(DefaultPrefix, session, "n1")); ok {
			out[name] = v
		}
	}
	return out
}

func payload(t *testing.T) string {
	t.Helper()
	text, err := Notice(DefaultPrefix, session)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTake(t *testing.T) {
	t.Setenv("SHELL", "")
	for _, tt := range []struct {
		name string
		job  Job
		want map[string]string
	}{
		{"a line for the shell", Job{Command: "echo hi; echo oh >&2; exit 3"}, map[string]string{"ack": "", "out/00000": "hi\noh\n", "exit": "3"}},
		{"a program", Job{Args: []string{"echo", "a b"}}, map[string]string{"ack": "", "out/00000": "a b\n", "exit": "0"}},
		{"a script", Job{Script: []byte("#!/bin/sh\necho script\n")}, map[string]string{"ack": "", "out/00000": "script\n", "exit": "0"}},
		{"no output", Job{Command: "true"}, map[string]string{"ack": "", "exit": "0"}},
		{"nothing to run", Job{}, map[string]string{"ack": "", "out/00000": "the job says nothing to run\n", "exit": "255"}},
		{"no such program", Job{Args: []string{"/nothing/here"}}, map[string]string{"ack": "", "out/00000": "fork/exec /nothing/here: no such file or directory\n", "exit": "255"}},
		{"pieces", Job{Command: "head -c 6000 /dev/zero | tr '\\0' x"}, map[string]string{"ack": "", "out/00000": strings.Repeat("x", pieceSize), "out/00001": strings.Repeat("x", 6000-pieceSize), "exit": "0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text, err := json.Marshal(tt.job)
			if err != nil {
				t.Fatal(err)
			}
			s := newServers(t, string(text))
			if err := s.agent(t).take(t.Context(), []byte(payload(t))); err != nil {
				t.Error(err)
			}
			if got := s.written(); !maps.Equal(got, tt.want) {
				t.Errorf("written %q, want %q", got, tt.want)
			}
		})
	}
}

func TestTooMuchOutput(t *testing.T) {
	s := newServers(t, `{"Command":"head -c 3000000 /dev/zero | tr '\\0' x"}`)
	if err := s.agent(t).take(t.Context(), []byte(payload(t))); err != nil {
		t.Error(err)
	}
	total := 0
	for name, text := range s.written() {
		if strings.HasPrefix(name, outDir) {
			total += len(text)
		}
	}
	if got := s.written()["exit"]; got != "0" || total < maxOutput || total > maxOutput+100 {
		t.Errorf("exit %q, %d bytes", got, total)
	}
}

func TestRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		job, payload, want string
	}{
		"no JSON":            {"{}", "zzz", "names no session"},
		"no session":         {"{}", "{}", "names no session"},
		"a session as a way": {"{}", `{"Session":"../../../../../../../../../secret/keys/"}`, "names no session"},
		"another session":    {"{}", `{"Session":"00000000-0000-0000-0000-000000000000"}`, "the job is gone"},
		"another prefix":     {"{}", `{"Prefix":"other","Session":"` + session + `"}`, "the job is gone"},
		"a job of no sense":  {"[", payload(t), "cannot be understood"},
	} {
		s := newServers(t, tt.job)
		err := s.agent(t).take(t.Context(), []byte(tt.payload))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
		if got := s.written(); len(got) > 0 {
			t.Errorf("%s: written %q", name, got)
		}
	}
}

// TestNobodyWaits: a program whose session has ended is killed.
func TestNobodyWaits(t *testing.T) {
	s := newServers(t, `{"Command":"echo hi; while :; do echo more; sleep 0.1; done"}`)
	a := s.agent(t)
	ended := make(chan error, 1)
	go func() { ended <- a.take(t.Context(), []byte(payload(t))) }()
	for len(s.written()) < 2 {
		select {
		case err := <-ended:
			t.Fatalf("it ended before: %v", err)
		default:
		}
	}
	s.mu.Lock()
	s.gone = true
	s.mu.Unlock()
	if err := <-ended; err == nil {
		t.Error("the exit code was written into a session that is gone")
	}
}

// TestRun: jobs from before the agent began are not run, later ones once.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers(t, `{}`) // what runs no program needs no time but the bubble's
		s.fire(payload(t))
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { s.agent(t).Run(ctx) })
		time.Sleep(time.Minute)
		if got := s.written(); len(got) != 0 {
			t.Errorf("an old job was run: %q", got)
		}
		s.fire("rubbish")
		s.fire(payload(t))
		time.Sleep(time.Minute)
		if got := slices.Sorted(maps.Keys(s.written())); !slices.Equal(got, []string{"ack", "exit", "out/00000"}) {
			t.Errorf("written %q", got)
		}
		cancel()
		wg.Wait()
	})
}

func TestRead(t *testing.T) {
	for key, want := range map[string]News{
		"p/s/n1/ack":       {Node: "n1", Ack: true},
		"p/s/n1/exit":      {Node: "n1", Exit: "v"},
		"p/s/n1/out/00001": {Node: "n1", Output: []byte("v")},
	} {
		got, ok := Read("p", "s", &api.KVPair{Key: key, Value: []byte("v")})
		if !ok || got.Node != want.Node || got.Ack != want.Ack || got.Exit != want.Exit || string(got.Output) != string(want.Output) {
			t.Errorf("%s: %+v, %v", key, got, ok)
		}
	}
	for _, key := range []string{"p/s/job", "p/s/n1", "p/s/n1/other", "p/x/n1/ack", "q/s/n1/ack", ""} {
		if got, ok := Read("p", "s", &api.KVPair{Key: key}); ok {
			t.Errorf("%s: %+v", key, got)
		}
	}
}
