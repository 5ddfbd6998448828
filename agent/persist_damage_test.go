package agent

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/catalog"
)

// Whatever a persisted file holds, the agent starts, names the file once, leaves
// it as it is, and has everything else.
func TestDamagedFilesOfEveryKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := persistent(t)
		l := open(t, newServers(), cfg)
		l.service(`{"Name":"good","Check":{"CheckID":"gc","TTL":"1h"}}`)
		l.ttl("gc", catalog.Passing, "fine")
		l.service(`{"Name":"s","Tags":["a"],"Meta":{"k":"v"},"Proxy":{"Config":{"a":1}}}`)
		l.check(`{"Name":"c","TTL":"1h"}`)
		l.ttl("c", catalog.Warning, "so so")
		l.close()
		random := rand.New(rand.NewPCG(1, 2))
		noise := make([]byte, 4096)
		for i := range noise {
			noise[i] = byte(random.IntN(256))
		}
		deep := func(format string, n int) string {
			return fmt.Sprintf(format, strings.Repeat(`{"a":`, n)+"1"+strings.Repeat("}", n))
		}
		for _, victim := range []string{l.reg.files.servicePath("s"), l.reg.files.checkPath("c"), l.reg.files.statePath("c")} {
			whole, err := os.ReadFile(victim)
			if err != nil {
				t.Fatal(err)
			}
			contents := map[string]string{
				"empty": "", "blank": " \n", "null": "null", "list": "[]", "text": `"x"`, "number": "1e400", "zeros": strings.Repeat("\x00", len(whole)),
				"noise": string(noise), "twice": string(whole) + string(whole), "other format": strings.Replace(string(whole), `"Format":1`, `"Format":2`, 1),
				"no format": strings.Replace(string(whole), `"Format":1,`, "", 1), "format text": strings.Replace(string(whole), `"Format":1`, `"Format":"1"`, 1),
				"wrong types":  `{"Format":1,"Service":[],"Definition":"x","ID":7,"Status":{},"Expires":0}`,
				"wrong inside": `{"Format":1,"Service":{"ID":"s","Service":"s","Port":"80"},"Definition":{"ID":"c","Name":"c","TTL":"1h"},"ID":"c","Status":"passing","Expires":"soon"}`,
				"wrong values": `{"Format":1,"Service":{"ID":"s","Service":"s","Port":-80,"Weights":{"Passing":1}},"Definition":{"ID":"c","Name":"c","TTL":-1},"ID":"c","Status":"superb"}`,
				"no ID":        `{"Format":1,"Service":{},"Definition":{},"ID":"","Status":"passing"}`,
				"another's":    `{"Format":1,"Service":{"ID":"z","Service":"z","Weights":{"Passing":1}},"Definition":{"ID":"z","Name":"z","TTL":1000000000},"ID":"z","Status":"passing"}`,
				"deep":         deep(`{"Format":1,"Service":{"ID":"s","Service":"s","Proxy":{"Config":%s}},"Definition":{"ID":"c"},"ID":"c"}`, 1000),
				"very deep":    strings.Repeat("[", 1<<20),
				"large":        string(whole) + strings.Repeat(" ", maxFileSize),
			}
			for _, n := range []int{1, len(whole) / 3, len(whole) / 2, len(whole) - 1} {
				contents[fmt.Sprintf("cut to %d", n)] = string(whole[:n])
			}
			for what, content := range contents {
				if err := os.WriteFile(victim, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
				skipped(t, cfg, victim, what)
				if after, err := os.ReadFile(victim); err != nil || string(after) != content {
					t.Errorf("%s: the damaged file was changed: %v", what, err)
				}
			}
			if err := os.Remove(victim); err != nil {
				t.Fatal(err)
			}
			if err := syscall.Mkfifo(victim, 0o600); err != nil {
				t.Fatal(err)
			}
			skipped(t, cfg, victim, "a pipe")
			if err := os.Remove(victim); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(victim, whole, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		l = open(t, newServers(), cfg)
		want(t, "checks", l.states(), "c=warning so so", "gc=passing fine")
	})
}

// skipped opens the agent and fails unless exactly the victim is named and all else is there.
func skipped(t *testing.T, cfg Config, victim, what string) {
	t.Helper()
	l := open(t, newServers(), cfg)
	defer l.close()
	if l.Services()["good"] == nil || l.Checks()["gc"] == nil || l.Checks()["gc"].Output != "fine" {
		t.Errorf("%s: what was not damaged is lost", what)
	}
	if (victim == l.reg.files.servicePath("s")) != (l.Services()["s"] == nil) || (victim == l.reg.files.checkPath("c")) != (l.Checks()["c"] == nil) {
		t.Errorf("%s: services %v, checks %v with %s damaged", what, l.Services(), l.states(), victim)
	}
	errors := l.logs.FilterMessageSnippet("A persisted file is damaged").All()
	if len(errors) != 1 || errors[0].ContextMap()["file"] != victim {
		t.Errorf("%s: logged %v, want one error that names %s", what, errors, victim)
	}
}

// The largest registration that is taken survives a restart, however long its JSON gets.
func TestLargestRegistrationIsRestored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := persistent(t)
		l := open(t, newServers(), cfg)
		tag := strings.Repeat("<", maxBody-100)
		l.service(`{"Name":"big","Tags":["` + tag + `"]}`)
		l.close()
		l = open(t, newServers(), cfg)
		if svc := l.Services()["big"]; svc == nil || svc.Tags[0] != tag {
			t.Error("the largest registration is lost with a restart")
		}
	})
}

// A saved output is cut to what the configuration permits now.
func TestRestoredOutputIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := persistent(t)
		l := open(t, newServers(), cfg)
		l.check(`{"Name":"c","TTL":"1h"}`)
		l.ttl("c", catalog.Warning, strings.Repeat("x", 10_000))
		if n := len(l.Checks()["c"].Output); n != 4096 {
			t.Errorf("an output of %d bytes, want 4096", n)
		}
		time.Sleep(time.Second)
		l.close()
		cfg.CheckOutputMaxSize = 10
		l = open(t, newServers(), cfg)
		if got := l.Checks()["c"]; got.Output != "xxxxxxxxxx" || got.Status != catalog.Warning {
			t.Errorf("restored as %s %q", got.Status, got.Output)
		}
	})
}

// What is not a file is named as well.
func TestLinkInsteadOfFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := persistent(t)
		l := open(t, newServers(), cfg)
		l.service(`{"Name":"good","Check":{"CheckID":"gc","TTL":"1h"}}`)
		l.ttl("gc", catalog.Passing, "fine")
		l.service(`{"Name":"s"}`)
		l.check(`{"Name":"c","TTL":"1h"}`)
		l.close()
		victim := l.reg.files.servicePath("s")
		if err := os.Remove(victim); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(cfg.DataDir, "nowhere"), victim); err != nil {
			t.Fatal(err)
		}
		skipped(t, cfg, victim, "a dangling link")
	})
}
