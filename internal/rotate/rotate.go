// Package rotate writes files that are changed by age and size: the current one
// keeps its name, an old one carries the time of its change in its name.
package rotate

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config of a File.
type Config struct {
	Path     string
	Mode     fs.FileMode   // of the files; 0 = 0600, since a log may name tokens' owners
	MaxAge   time.Duration // 0 = none
	MaxBytes int64         // 0 = none
	Keep     int           // old files kept; 0 = all, below 0 = none
}

// File is a file that changes. Its methods may be called by many goroutines.
type File struct {
	cfg Config

	mu      sync.Mutex
	f       *os.File
	size    int64
	started time.Time
	closed  bool
}

// Open opens the current file, or makes it. Its folder must exist: a mistyped path
// should not grow a tree.
func Open(cfg Config) (*File, error) {
	if cfg.Mode == 0 {
		cfg.Mode = 0o600
	}
	l := &File{cfg: cfg}
	return l, l.open()
}

// Path is the name of the current file.
func (l *File) Path() string { return l.cfg.Path }

func (l *File) open() error {
	f, err := os.OpenFile(l.cfg.Path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, l.cfg.Mode)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	l.f, l.size, l.started = f, info.Size(), time.Now()
	return nil
}

// Write appends a line, in a new file where it is time for one.
func (l *File) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, os.ErrClosed
	}
	if l.f == nil { // it could not be opened again after a change of files
		if err := l.open(); err != nil {
			return 0, err
		}
	}
	full := l.cfg.MaxBytes > 0 && l.size > 0 && l.size+int64(len(p)) > l.cfg.MaxBytes
	old := l.cfg.MaxAge > 0 && time.Since(l.started) >= l.cfg.MaxAge && l.size > 0
	if full || old {
		if err := l.rotate(); err != nil && l.f == nil {
			return 0, err // else only old files could not be removed; the line is not lost for that
		}
	}
	n, err := l.f.Write(p)
	l.size += int64(n)
	return n, err
}

func (l *File) rotate() error {
	f := l.f
	l.f = nil // whatever comes of it, it is closed
	if err := f.Close(); err != nil {
		return errors.Join(err, l.open())
	}
	ext := filepath.Ext(l.cfg.Path)
	// Nanoseconds keep two changes within a second apart and sort by age.
	name := fmt.Sprintf("%s-%d%s", strings.TrimSuffix(l.cfg.Path, ext), time.Now().UnixNano(), ext)
	if err := os.Rename(l.cfg.Path, name); err != nil {
		return errors.Join(err, l.open())
	}
	return errors.Join(l.prune(), l.open())
}

// prune removes old files beyond those to keep, the oldest first.
func (l *File) prune() error {
	if l.cfg.Keep == 0 {
		return nil
	}
	ext := filepath.Ext(l.cfg.Path)
	old, err := filepath.Glob(globQuote(strings.TrimSuffix(l.cfg.Path, ext)) + "-[0-9]*" + globQuote(ext))
	if err != nil {
		return err
	}
	slices.SortFunc(old, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b)) })
	var errs []error
	for len(old) > max(l.cfg.Keep, 0) {
		errs = append(errs, os.Remove(old[0]))
		old = old[1:]
	}
	return errors.Join(errs...)
}

func globQuote(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(s)
}

// Close ends the file; later lines are refused.
func (l *File) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.f == nil {
		return nil
	}
	err := l.f.Close()
	l.f = nil
	return err
}
