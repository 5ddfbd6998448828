package agent

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/catalog"
	"consul.internal/checks"
	"consul.internal/internal/fault"
)

func persistent(t *testing.T) Config {
	cfg := testConfig()
	cfg.DataDir = filepath.Join(t.TempDir(), "data")
	return cfg
}

// count counts the files of a kind.
func count(t *testing.T, cfg Config, sub string) int {
	t.Helper()
	n := 0
	entries, err := os.ReadDir(filepath.Join(cfg.DataDir, sub))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.IsDir() {
			n++
		}
	}
	return n
}

func TestRestartKeeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := persistent(t)
		cfg.Set = Set{Services: []ServiceDefinition{{Name: "fromfile", Port: 9}}, Checks: []checks.Definition{ttlCheck("filecheck", time.Hour)}}
		l := open(t, newServers(), cfg)
		l.service(`{"Name":"keep","Port":80,"Tags":["x"],"Token":"t","Meta":{"a":"b"},"Weights":{"Passing":3,"Warning":2},"Check":{"CheckID":"kc","TTL":"1h"}}`)
		l.service(`{"Name":"bare"}`)
		l.check(`{"Name":"node check","TTL":"1h","Notes":"n"}`)
		l.check(`{"Name":"short","TTL":"10s"}`)
		l.check(`{"Name":"onfile","ServiceID":"fromfile","HTTP":"http://127.0.0.1:1/","Header":{"A":["b"]},"Interval":"10h"}`)
		l.ttl("kc", catalog.Passing, "good")
		l.ttl("short", catalog.Warning, "soon")
		l.ttl("filecheck", catalog.Passing, "file")
		for _, err := range []error{l.EnableServiceMaintenance("fromfile", "why"), l.EnableNodeMaintenance("")} {
			if err != nil {
				t.Fatal(err)
			}
		}
		before, beforeChecks := l.Services(), l.Checks()
		l.close()
		// Not closed in order: what was written is enough.
		s := newServers()
		l = open(t, s, cfg)
		sameInfo(t, before, l.Services())
		for id, c := range l.Checks() {
			if !c.SameContent(beforeChecks[id]) {
				t.Errorf("check %+v after the restart, before %+v", c, beforeChecks[id])
			}
		}
		if len(l.Checks()) != len(beforeChecks) {
			t.Errorf("checks %q, before %q", slices.Sorted(maps.Keys(l.Checks())), slices.Sorted(maps.Keys(beforeChecks)))
		}
		time.Sleep(time.Second)
		if calls := strings.Join(s.take(), "\n"); !strings.Contains(calls, "keep kc=passing token:t") {
			t.Errorf("the token of a service is lost: %s", calls)
		}
		l.close()

		time.Sleep(5 * time.Minute)
		l = open(t, newServers(), cfg)
		want(t, "checks after 5 min", l.states(), "_node_maintenance=critical", "_service_maintenance:fromfile=critical",
			"filecheck=passing file", "kc=passing good", "node check=critical", "onfile=critical", "short=critical")
		for _, id := range []string{"keep", "bare"} {
			if err := l.DeregisterService(id); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(l.DisableNodeMaintenance(), l.DeregisterCheck("short")); err != nil {
			t.Fatal(err)
		}
		l.close()
		l = open(t, newServers(), cfg)
		want(t, "services", slices.Sorted(maps.Keys(l.Services())), "fromfile")
		want(t, "checks", l.states(), "_service_maintenance:fromfile=critical", "filecheck=passing file", "node check=critical", "onfile=critical")
		if n := count(t, cfg, "services"); n != 0 {
			t.Errorf("%d files of services are left", n)
		}
	})
}

func sameInfo(t *testing.T, a, b map[string]*ServiceInfo) {
	t.Helper()
	for id := range a {
		if b[id] == nil {
			t.Errorf("service %s is lost", id)
			continue
		}
		x, y := *a[id], *b[id]
		if x.Port != y.Port || !slices.Equal(x.Tags, y.Tags) || !maps.Equal(x.Meta, y.Meta) || x.Weights != y.Weights {
			t.Errorf("service %+v, before %+v", y, x)
		}
	}
	if len(a) != len(b) {
		t.Errorf("%d services, before %d", len(b), len(a))
	}
}

func TestHeartbeatsAreSavedSeldomButInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := persistent(t)
		l := open(t, newServers(), cfg)
		l.check(`{"Name":"x","TTL":"30s"}`)
		path := l.reg.files.statePath("x")
		writes := 0
		var last os.FileInfo
		for range 60 { // a heartbeat each 5 s for 5 min
			l.ttl("x", catalog.Passing, "alive")
			time.Sleep(5 * time.Second)
			if info, err := os.Stat(path); err != nil {
				t.Fatal(err)
			} else if last == nil || !os.SameFile(last, info) {
				writes++
				last = info
			}
			saved, err := l.reg.files.loadStates(time.Now().Add(24 * time.Second)) // until just before the TTL ends
			if err != nil || saved["x"].Status != catalog.Passing {
				t.Fatalf("the state on disk is void before the TTL ends: %+v %v", saved, err)
			}
		}
		if writes > 25 {
			t.Errorf("60 heartbeats caused %d writes", writes)
		}
		// An expiry is saved as well.
		time.Sleep(time.Minute)
		l.close()
		l = open(t, newServers(), cfg)
		if s := l.Checks()["x"].Status; s != catalog.Critical {
			t.Errorf("a check that expired is %s after a restart", s)
		}
	})
}

func TestFileWinsOverPersisted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := persistent(t)
		l := open(t, newServers(), cfg)
		l.service(`{"Name":"web","Port":1,"Check":{"CheckID":"old","TTL":"1h"}}`)
		l.check(`{"ID":"c","Name":"over http","TTL":"1h"}`)
		l.close()
		cfg.Set = Set{Services: []ServiceDefinition{{Name: "web", Port: 2}}, Checks: []checks.Definition{ttlCheck("c", time.Hour)}}
		l = open(t, newServers(), cfg)
		if svc := l.Services()["web"]; svc.Port != 2 {
			t.Errorf("port %d", svc.Port)
		}
		if c := l.Checks(); len(c) != 1 || c["c"].Name != "c" {
			t.Errorf("checks %v", c)
		}
		l.close()
		cfg.Set = Set{}
		l = open(t, newServers(), cfg)
		if n := len(l.Services()) + len(l.Checks()); n != 0 {
			t.Errorf("%d old registrations are back", n)
		}
	})
}

func TestDamagedFilesAreSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := persistent(t)
		l := open(t, newServers(), cfg)
		l.service(`{"Name":"good","Check":{"TTL":"1h"}}`)
		l.service(`{"Name":"cut"}`)
		l.service(`{"Name":"empty"}`)
		l.check(`{"Name":"bad check","TTL":"1h"}`)
		l.ttl("bad check", catalog.Passing, "")
		cut := l.reg.files.servicePath("cut")
		damaged := []string{cut, l.reg.files.servicePath("empty"), l.reg.files.checkPath("bad check"), l.reg.files.statePath("bad check"),
			filepath.Join(cfg.DataDir, "services", "stranger"), filepath.Join(cfg.DataDir, "services", "future")}
		l.close()
		data, err := os.ReadFile(cut)
		if err != nil {
			t.Fatal(err)
		}
		contents := [][]byte{data[:len(data)/2], nil, []byte(`{"Format":1,"Definition":{"ID":"bad check","TTL":"x"}}`), []byte("\x00\x00"),
			[]byte(`null`), []byte(`{"Format":99,"Service":{"ID":"f","Service":"f"}}`)}
		for i, path := range damaged {
			if err := os.WriteFile(path, contents[i], 0o600); err != nil {
				t.Fatal(err)
			}
		}
		// A file that a power cut left half written is none of ours.
		if err := os.WriteFile(filepath.Join(cfg.DataDir, "services", ".x.tmp-1"), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		l = open(t, newServers(), cfg)
		want(t, "services", slices.Sorted(maps.Keys(l.Services())), "good")
		want(t, "checks", l.states(), "service:good=critical")
		for _, path := range damaged {
			found := 0
			for _, e := range l.logs.FilterMessageSnippet("A persisted file is damaged").All() {
				if e.ContextMap()["file"] == path {
					found++
				}
			}
			if found != 1 {
				t.Errorf("%s is named %d times in the log", path, found)
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("a damaged file was removed: %v", err)
			}
		}
		// Registering it again mends it.
		l.service(`{"Name":"cut"}`)
		l.close()
		l = open(t, newServers(), cfg)
		want(t, "services", slices.Sorted(maps.Keys(l.Services())), "cut", "good")
	})
}

func TestModes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := persistent(t)
		l := open(t, newServers(), cfg)
		l.service(`{"Name":"web","Check":{"TTL":"1h"}}`)
		for path, mode := range map[string]os.FileMode{l.reg.files.servicePath("web"): 0o600, l.reg.files.checkPath("service:web"): 0o600,
			filepath.Join(cfg.DataDir, "services"): 0o700, filepath.Join(cfg.DataDir, "checks", "state"): 0o700} {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
				t.Errorf("%s: %v %v, want %v", path, info.Mode(), err, mode)
			}
		}
	})
}

func TestDataDirThatCannotBeUsed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := testConfig()
	cfg.DataDir = filepath.Join(file, "data")
	l, err := New(cfg, Deps{Caller: newServers()})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Open(context.Background()); err == nil || !strings.Contains(err.Error(), cfg.DataDir) {
		t.Errorf("error %v does not name the directory", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers()
		cfg := persistent(t)
		web := ServiceDefinition{Name: "web", Port: 1, Checks: []checks.Definition{{ID: "wc", TTL: time.Hour}}}
		old := ServiceDefinition{Name: "old"}
		cfg.Set = Set{Services: []ServiceDefinition{web, old}, Checks: []checks.Definition{ttlCheck("fc", time.Hour), ttlCheck("gone", time.Hour)}}
		l := open(t, s, cfg)
		l.service(`{"Name":"http","Check":{"CheckID":"hc","TTL":"1h"}}`)
		for _, id := range []string{"wc", "fc", "hc"} {
			l.ttl(id, catalog.Passing, "ok")
		}
		time.Sleep(50 * time.Minute)
		s.take()

		// The same again changes nothing.
		if err := l.Reload(&cfg.Set); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		want(t, "writes", s.take())

		web.Port, web.Checks = 11, []checks.Definition{{ID: "wc", TTL: 2 * time.Hour}}
		set := Set{Services: []ServiceDefinition{web, {Name: "two"}}, Checks: []checks.Definition{ttlCheck("fc", time.Hour)}, NodeMeta: map[string]string{"rack": "r1"}}
		if err := l.Reload(&set); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		want(t, "writes", s.take(), "50m1.005s deregister old", "50m1.005s deregister gone", "50m1.005s register node",
			"50m1.005s register two", "50m1.005s register web")
		want(t, "checks", l.states(), "fc=passing ok", "hc=passing ok", "wc=passing ok")
		if n := s.self(); n.Meta["rack"] != "r1" || n.Meta["consul-version"] != "1.21.0" {
			t.Errorf("node %+v", n)
		}
		time.Sleep(10 * time.Minute) // the time of what did not change goes on
		want(t, "checks", l.states(), "fc=critical TTL expired (last output before timeout follows): ok",
			"hc=critical TTL expired (last output before timeout follows): ok", "wc=passing ok")

		// Anything wrong changes nothing.
		for text, bad := range map[string]Set{
			`duplicate service ID "a"`:          {Services: []ServiceDefinition{{Name: "a"}, {Name: "a"}}},
			`duplicate check ID "c"`:            {Checks: []checks.Definition{ttlCheck("c", time.Hour), ttlCheck("c", time.Hour)}},
			`service "x": Interval must be > 0`: {Services: []ServiceDefinition{{Name: "x", Checks: []checks.Definition{{HTTP: "http://x"}}}}},
			`ServiceID "nope" does not exist`:   {Checks: []checks.Definition{{Name: "c", TTL: time.Hour, ServiceID: "nope"}}},
			`ServiceID "web" does not exist`:    {Checks: []checks.Definition{{Name: "c", TTL: time.Hour, ServiceID: "web"}}},
		} {
			if err := l.Reload(&bad); err == nil || !strings.Contains(err.Error(), text) || !errors.Is(err, fault.Invalid) {
				t.Errorf("error %v, want one with %q", err, text)
			}
		}
		want(t, "services", slices.Sorted(maps.Keys(l.Services())), "http", "two", "web")

		// A check of a file may belong to a service that came over HTTP; its file has the last word.
		if err := l.Reload(&Set{Services: []ServiceDefinition{{Name: "http", Port: 7}}, Checks: []checks.Definition{{ID: "x", Name: "x", TTL: time.Hour, ServiceID: "http"}}}); err != nil {
			t.Fatal(err)
		}
		want(t, "checks", slices.Sorted(maps.Keys(l.Checks())), "x")
		if n := count(t, cfg, "services") + count(t, cfg, "checks"); n != 0 {
			t.Errorf("%d persisted files are left", n)
		}
	})
}

func TestScriptsInFilesOnly(t *testing.T) {
	script := Set{Checks: []checks.Definition{{Name: "s", Args: []string{"true"}, Interval: time.Hour}}}
	for _, tt := range []struct {
		all, local bool
		file, http string
	}{
		{false, false, "enable_local_script_checks", "from remote calls"},
		{false, true, "", "from remote calls"},
		{true, false, "", ""},
	} {
		cfg := testConfig()
		cfg.EnableScriptChecks, cfg.EnableLocalScriptChecks, cfg.Set = tt.all, tt.local, script
		_, err := New(cfg, Deps{Caller: newServers()})
		if (err == nil) != (tt.file == "") || err != nil && !strings.Contains(err.Error(), tt.file) {
			t.Errorf("%+v: a file's script: %v", tt, err)
		}
		_, err = cfg.planCheck(&script.Checks[0], fromAPI)
		if (err == nil) != (tt.http == "") || err != nil && !strings.Contains(err.Error(), tt.http) {
			t.Errorf("%+v: a script over HTTP: %v", tt, err)
		}
	}
}
