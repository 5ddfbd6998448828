package durable_test

import (
	"os"
	"path/filepath"
	"testing"

	"consul.internal/internal/durable"
)

func TestWriteFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	if err := durable.MkdirAll(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "f")
	for _, text := range []string{"one", "two, longer", ""} {
		if err := durable.WriteFile(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != text {
			t.Errorf("read %q, %v; want %q", got, err, text)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != durable.FileMode {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if d, err := os.Stat(dir); err != nil || d.Mode().Perm() != durable.DirMode {
		t.Errorf("directory mode %v, %v", d.Mode(), err)
	}
	if err := durable.Remove(path); err != nil {
		t.Error(err)
	}
	if err := durable.Remove(path); err != nil {
		t.Errorf("removing what is not there: %v", err)
	}
	if err := durable.WriteFile(filepath.Join(dir, "none", "f"), nil); err == nil {
		t.Error("no error without a directory")
	}
}
