package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// lockFile is the name of the file that Lock locks in its directory.
const lockFile = "lock"

// Lock is the sole right to use a directory. It ends with the process, however
// that ends, or by Unlock.
type Lock struct{ f *os.File }

// LockDir takes the sole right to use dir, which it makes if need be. While
// another process has it, the error names that process.
func LockDir(dir string) (*Lock, error) {
	if err := MkdirAll(dir); err != nil {
		return nil, explain(dir, err)
	}
	path := filepath.Join(dir, lockFile)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, FileMode)
	if err != nil {
		return nil, explain(dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("directory %s is in use by another process%s: stop that one, or give this one a directory of its own", dir, holder(f))
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	// The number only serves the message above; losing it loses nothing.
	if err := errors.Join(f.Truncate(0), writeAt(f, strconv.Itoa(os.Getpid())+"\n")); err != nil {
		return nil, fmt.Errorf("write %s: %w", path, errors.Join(err, f.Close()))
	}
	return &Lock{f}, nil
}

// Unlock gives the right back. It may be called more than once.
func (l *Lock) Unlock() error {
	if l == nil || l.f == nil {
		return nil
	}
	f := l.f
	l.f = nil
	return f.Close()
}

func writeAt(f *os.File, s string) error {
	_, err := f.WriteAt([]byte(s), 0)
	return err
}

// holder reads who holds a lock, for a message.
func holder(f *os.File) string {
	b := make([]byte, 32) // a process number and a line end
	n, _ := f.ReadAt(b, 0)
	if pid := strings.TrimSpace(string(b[:n])); pid != "" {
		return " (pid " + pid + ")"
	}
	return ""
}

// explain says what to do about a directory that cannot be used.
func explain(dir string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("directory %s cannot be written by user ID %d: run as its owner, or give it to that user (chown -R): %w", dir, os.Geteuid(), err)
	}
	return fmt.Errorf("directory %s cannot be used: %w", dir, err)
}

// Rename gives a file its final name, durably. The file's content must have been synced.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}
