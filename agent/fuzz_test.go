package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"testing"

	"consul.internal/catalog"
	"consul.internal/checks"
)

func FuzzDecodeService(f *testing.F) {
	for _, s := range []string{
		`{"Name":"web"}`, `{"ID":"web-2","Name":"web","Tags":["a"],"TaggedAddresses":{"lan":{"address":"10.0.0.2","port":1}},"Weights":{"Passing":1}}`,
		`{"name":"x","check":{"ttl":"1h","header":{"a":["b"]}},"checks":[{"http":"http://x","interval":10}]}`,
		`{"Name":"p","Kind":"connect-proxy","Proxy":{"Config":{"a":[1,{"b":null}]},"Upstreams":[{}]},"Connect":{"SidecarService":{}}}`,
		`{"Name":`, `[[[[`, "{\"Name\":\"\xff\"}",
	} {
		f.Add([]byte(s))
	}
	cfg := testConfig()
	cfg.EnableScriptChecks = false // what was made up is not to be run
	r := fuzzRunner(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		if def, err := DecodeService(bytes.NewReader(body)); err == nil {
			if p, err := cfg.planService(def, fromAPI); err == nil {
				for _, v := range []any{p.service, p.checks} {
					if _, err := json.Marshal(v); err != nil {
						t.Errorf("what was accepted cannot be written: %v", err)
					}
				}
				for _, c := range p.checks {
					runs(t, r, c)
				}
				if again, err := saveAndLoad(p); err != nil || !sameService(p.service, again.service) {
					t.Errorf("%q is not restored: %v", body, err)
				}
			}
		}
		if def, err := DecodeCheck(bytes.NewReader(body)); err == nil {
			if p, err := cfg.planCheck(def, fromAPI); err == nil {
				runs(t, r, p)
			}
		}
		_, _ = DecodeCheckUpdate(bytes.NewReader(body))
	})
}

func FuzzPersisted(f *testing.F) {
	f.Add([]byte(`{"Format":1,"Token":"t","Service":{"ID":"web","Service":"web","Weights":{"Passing":1,"Warning":1}}}`))
	f.Add([]byte(`{"Format":1,"OfService":true,"Definition":{"ID":"x","Name":"x","ServiceID":"web","TTL":1000000000}}`))
	f.Add([]byte(`{"Format":1,"Definition":{"ID":"_service_maintenance:web","ServiceID":"web"}}`))
	f.Add([]byte(`{"Format":1,"ID":"x","Status":"passing","Expires":"2026-01-01T00:00:00Z"}`))
	cfg := testConfig()
	f.Fuzz(func(t *testing.T, data []byte) {
		if p, err := decodeSavedService(data); err == nil && (p.service.ID == "" || p.service.Name == "") {
			t.Errorf("a service without a name was accepted: %q", data)
		}
		if p, err := decodeSavedCheck(&cfg, data); err == nil && (p.id == "" || !p.check.Status.Valid()) {
			t.Errorf("a check without ID or status was accepted: %q", data)
		}
		if s, err := decodeSavedState(data); err == nil && (s.ID == "" || !s.Status.Valid()) {
			t.Errorf("a state without ID or status was accepted: %q", data)
		}
		var any json.RawMessage
		if json.Unmarshal(data, &any) == nil {
			if _, err := parseBytes(data); err == nil && depth(data) > maxDepth+1 {
				t.Errorf("depth %d of %q, which is not so deep", depth(data), data)
			}
		}
	})
}

// FuzzPersistedFiles starts an agent on a data directory that holds anything.
func FuzzPersistedFiles(f *testing.F) {
	f.Add([]byte(`{"Format":1,"Service":{"ID":"web","Service":"web","Weights":{"Passing":1,"Warning":1}}}`),
		[]byte(`{"Format":1,"OfService":true,"Definition":{"ID":"x","Name":"x","ServiceID":"web","TTL":1000000000}}`),
		[]byte(`{"Format":1,"ID":"x","Status":"passing","Expires":"2226-01-01T00:00:00Z"}`))
	f.Add([]byte(nil), []byte("\x00"), []byte("[[["))
	cfg := testConfig()
	cfg.EnableScriptChecks = false
	f.Fuzz(func(t *testing.T, service, check, state []byte) {
		cfg := cfg
		cfg.DataDir = t.TempDir()
		files := &files{dir: cfg.DataDir}
		if err := files.open(); err != nil {
			t.Fatal(err)
		}
		for path, data := range map[string][]byte{files.servicePath("web"): service, files.checkPath("x"): check, files.statePath("x"): state} {
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		l, err := New(cfg, Deps{Caller: newServers()})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Open(t.Context()); err != nil {
			t.Errorf("the agent does not start: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

// nobody is a sink that forgets.
type nobody struct{}

func (nobody) UpdateCheck(string, catalog.Status, string) {}

func fuzzRunner(f *testing.F) *checks.Runner {
	follow := func(ctx context.Context, _ string, _ *checks.Definition, _ uint64) (checks.Followed, error) {
		<-ctx.Done()
		return checks.Followed{}, ctx.Err()
	}
	// The first run is at the end of the interval, when the check is long gone.
	r, err := checks.New(checks.Config{}, checks.Deps{Sink: nobody{}, Follow: follow, Rand: func(n int64) int64 { return n - 1 }})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = r.Close() })
	return r
}

// runs fails if a check that was accepted cannot be run.
func runs(t *testing.T, r *checks.Runner, p *checkPlan) {
	if err := r.Add(p.id, p.def, 0); err != nil {
		t.Errorf("%+v was accepted and cannot be run: %v", p.def, err)
	}
	r.Remove(p.id)
}

func saveAndLoad(p *servicePlan) (*servicePlan, error) {
	data, err := json.Marshal(savedService{Format: fileFormat, Token: p.token, Service: p.service})
	if err != nil {
		return nil, err
	}
	return decodeSavedService(data)
}
