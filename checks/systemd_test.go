package checks

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"consul.internal/catalog"
)

// fakeSystemd is a machine with systemd whose systemctl does what the script says.
func fakeSystemd(t *testing.T, script string) Systemd {
	t.Helper()
	path := filepath.Join(t.TempDir(), "systemctl")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return Systemd{RunDir: filepath.Dir(path), Command: path}
}

func TestOSServiceProbe(t *testing.T) {
	show := func(load, active, sub string) string {
		return "printf 'LoadState=" + load + "\\nActiveState=" + active + "\\nSubState=" + sub + "\\n'"
	}
	for _, tt := range []struct {
		name, script string
		status       catalog.Status
		output       string
	}{
		{"running", `[ "$*" = "show --property=LoadState,ActiveState,SubState -- web" ] && ` + show("loaded", "active", "running"), "passing", `Service "web" is active (running)`},
		{"reloading", show("loaded", "reloading", "reload"), "passing", "reloading"},
		{"stopped", show("loaded", "inactive", "dead"), "critical", `is inactive (dead)`},
		{"failed", show("loaded", "failed", "failed"), "critical", "is failed"},
		{"starting", show("loaded", "activating", "start"), "warning", "is activating (start)"},
		{"unknown", show("not-found", "inactive", "dead"), "critical", "is not known to systemd"},
		{"removed but running", show("not-found", "active", "running"), "passing", "is active"},
		{"no answer", "echo 'Failed to connect to bus: Host is down' >&2; exit 1", "warning", "exit status 1: Failed to connect to bus"},
		{"nonsense", "echo hello", "warning", "hello"},
		{"nothing", "true", "warning", "cannot be told"},
		{"endless", "while :; do echo ActiveState=; done", "warning", "has not answered in time"},
		{"hangs", "sleep 100", "warning", "has not answered in time"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			def := &Definition{OSService: "web", Timeout: 5 * time.Second}
			if tt.name == "hangs" || tt.name == "endless" {
				def.Timeout = 100 * time.Millisecond
			}
			status, output := probeWith(t, def, func(c *Config) { c.Systemd = fakeSystemd(t, tt.script) })
			if status != tt.status || !strings.Contains(output, tt.output) || len(output) > 2*systemctlOutput {
				t.Errorf("%s %q, want %s with %q", status, output, tt.status, tt.output)
			}
		})
	}
}

func TestNoSystemd(t *testing.T) {
	none := Systemd{RunDir: filepath.Join(t.TempDir(), "none")}
	r := newTestRunner(t, newRecord(), func(c *Config, _ *Deps) { c.Systemd = none })
	def := &Definition{OSService: "x", Interval: time.Second}
	if err := r.Add("x", def, 0); !errors.Is(err, ErrNoServiceManager) || !strings.HasPrefix(err.Error(), "not implemented") {
		t.Errorf("error %v", err)
	}
	if err := none.Supports(&Definition{TTL: time.Second}); err != nil {
		t.Errorf("a check that asks no systemd: %v", err)
	}
	if err := r.Add("y", &Definition{TTL: time.Second}, 0); err != nil {
		t.Error(err)
	}
}

func FuzzUnitStatus(f *testing.F) {
	f.Add("LoadState=loaded\nActiveState=active\nSubState=running\n")
	f.Add("ActiveState")
	f.Fuzz(func(t *testing.T, shown string) {
		if status, _ := unitStatus("x", shown); status == catalog.Passing && !strings.Contains(shown, "ActiveState=") {
			t.Errorf("%q passes", shown)
		}
	})
}
