package durable_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"consul.internal/internal/durable"
)

func TestLockDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	l, err := durable.LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := durable.LockDir(dir); err == nil || !strings.Contains(err.Error(), "in use by another process (pid "+strconv.Itoa(os.Getpid())+")") {
		t.Errorf("second lock: %v", err)
	}
	if err := l.Unlock(); err != nil {
		t.Fatal(err)
	}
	if err := l.Unlock(); err != nil {
		t.Errorf("second unlock: %v", err)
	}
	l, err = durable.LockDir(dir)
	if err != nil {
		t.Fatalf("lock after unlock: %v", err)
	}
	defer l.Unlock()
	if fi, err := os.Stat(filepath.Join(dir, "lock")); err != nil || fi.Mode().Perm() != durable.FileMode {
		t.Errorf("lock file: %v %v", fi.Mode(), err)
	}
}

func TestLockDirUnusable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := durable.LockDir(filepath.Join(file, "dir")); err == nil || !strings.Contains(err.Error(), "cannot be used") {
		t.Errorf("got %v", err)
	}
}
