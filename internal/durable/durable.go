// Package durable writes small files so that a power cut at any moment leaves
// either the old content or the new one, never a mixture and never an empty file.
//
// It is not a store: whoever has more than a handful of records uses the log.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Modes of everything below a data directory: it may hold tokens and keys.
const (
	FileMode fs.FileMode = 0o600
	DirMode  fs.FileMode = 0o700
)

// MkdirAll makes dir and its parents with DirMode and makes their entries durable.
func MkdirAll(dir string) error {
	if err := os.MkdirAll(dir, DirMode); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// WriteFile replaces the file at path by data: temporary file, fsync, rename,
// fsync of the directory.
func WriteFile(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".tmp-*") // CreateTemp's mode is FileMode
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", path, errors.Join(err, f.Close(), os.Remove(f.Name())))
		}
	}()
	if _, err = f.Write(data); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	if cerr := f.Close(); cerr != nil {
		return fmt.Errorf("write %s: %w", path, cerr)
	}
	if derr := syncDir(dir); derr != nil {
		return fmt.Errorf("write %s: %w", path, derr)
	}
	return nil
}

// Remove deletes the file at path durably; a file that is not there is no error.
func Remove(path string) error {
	if err := os.Remove(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
