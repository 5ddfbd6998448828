package agentlog

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"consul.internal/configs"
)

func TestLogFile(t *testing.T) {
	if l, err := openLogFile(configs.Log{}); l != nil || err != nil {
		t.Fatalf("no file configured: %v, %v", l, err)
	}
	if _, err := openLogFile(configs.Log{File: filepath.Join(t.TempDir(), "none") + "/"}); err == nil {
		t.Fatal("a folder that does not exist was taken")
	}
	dir := t.TempDir()
	l, err := openLogFile(configs.Log{File: dir + "/", RotateBytes: 10, RotateMaxFiles: 2})
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"first 1\n", "second\n", "third 1\n", "fourth\n"} {
		if _, err := l.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, err := l.Write([]byte("x")); err == nil {
		t.Error("a closed file took a line")
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, n := range names {
		raw, err := os.ReadFile(n)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(raw))
	}
	// The oldest file is gone, two old ones and the current one remain.
	if got := strings.Join(all, ""); len(names) != 3 || strings.Contains(got, "first") || !strings.Contains(got, "fourth") {
		t.Errorf("files %v with %q", names, got)
	}
	if info, err := os.Stat(filepath.Join(dir, logFileName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestLogFileName(t *testing.T) {
	dir := t.TempDir()
	for in, want := range map[string]string{"agent": "agent.log", "agent.txt": "agent.txt", "": "consul.log"} {
		l, err := openLogFile(configs.Log{File: filepath.Join(dir, in)})
		if err != nil {
			t.Fatal(err)
		}
		if l.Path() != filepath.Join(dir, want) {
			t.Errorf("%q: %s", in, l.Path())
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}
