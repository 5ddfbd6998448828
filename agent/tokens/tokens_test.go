package tokens

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"

	"consul.internal/internal/fault"
)

func open(t *testing.T, files map[Kind]string, dir string, persist bool) *Store {
	t.Helper()
	k, err := New(files, dir, persist, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestFallBack(t *testing.T) {
	k := open(t, map[Kind]string{Default: "d"}, "", true)
	for what, got := range map[string]string{"agent": k.Agent(), "dns": k.DNS(), "file services": k.FileServices(), "default": k.Default()} {
		if got != "d" {
			t.Errorf("%s: %q, want the default", what, got)
		}
	}
	for _, kind := range []Kind{Agent, DNS, FileService, Recovery, Replication} {
		if err := k.Set(kind, string(kind)); err != nil {
			t.Fatal(err)
		}
	}
	for want, got := range map[string]string{"agent": k.Agent(), "dns": k.DNS(), "config_file_service_registration": k.FileServices(), "replication": k.Get(Replication)} {
		if got != want {
			t.Errorf("%s: %q", want, got)
		}
	}
	if !k.IsRecovery("agent_recovery") || k.IsRecovery("agent") || k.IsRecovery("") || new(Store).IsRecovery("") {
		t.Error("the recovery token is another one")
	}
	if err := k.Set("other", "x"); !errors.Is(err, fault.NotFound) || err.Error() != `Token "other" is unknown` {
		t.Errorf("unknown kind: %v", err)
	}
	if err := k.Set(Agent, ""); err != nil || k.Agent() != "d" {
		t.Errorf("taken away: %q, %v", k.Agent(), err)
	}
}

func TestPersist(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, tokensFile)
	files := map[Kind]string{Default: "d", Agent: "a"}
	k := open(t, files, dir, true)
	if err := k.Set(Default, "set"); err != nil {
		t.Fatal(err)
	}
	if err := k.Set(DNS, "dns"); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	k = open(t, files, dir, true)
	if k.Default() != "set" || k.Agent() != "a" || k.DNS() != "dns" {
		t.Errorf("after a restart: %q %q %q", k.Default(), k.Agent(), k.DNS())
	}
	k.Reload(map[Kind]string{Default: "d2", Agent: "a2"})
	if k.Default() != "set" || k.Agent() != "a2" {
		t.Errorf("after a reload: %q %q", k.Default(), k.Agent())
	}
	if text, err := os.ReadFile(path); err != nil || strings.Contains(string(text), `"a"`) {
		t.Errorf("the file holds what nobody set: %s, %v", text, err)
	}
	if k := open(t, files, dir, false); k.Default() != "d" {
		t.Errorf("without persistence: %q", k.Default())
	}

	for _, text := range []string{"", "{", `{"format": 99, "tokens": {"default": "x"}}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if k := open(t, files, dir, true); k.Default() != "d" {
			t.Errorf("%q: %q", text, k.Default())
		}
		if left, err := os.ReadFile(path); err != nil || string(left) != text {
			t.Errorf("%q was changed to %q", text, left)
		}
	}
	gone := open(t, files, filepath.Join(dir, "no", "such"), true)
	if err := gone.Set(Default, "x"); fault.Of(err) != fault.Unavailable || gone.Default() != "d" {
		t.Errorf("what cannot be persisted counts: %q, %v", gone.Default(), err)
	}
}

func TestReload(t *testing.T) {
	k := open(t, map[Kind]string{Default: "d", DNS: "n"}, "", false)
	for _, kind := range []Kind{Default, DNS} {
		if err := k.Set(kind, "set"); err != nil {
			t.Fatal(err)
		}
	}
	k.Reload(map[Kind]string{Default: "d", DNS: "n2"})
	if k.Default() != "set" || k.DNS() != "n2" {
		t.Errorf("%q %q", k.Default(), k.DNS())
	}
}
