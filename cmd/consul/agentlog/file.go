package agentlog

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"consul.internal/configs"
)

// logFileName is used where log_file names a directory.
const logFileName = "consul.log"

// logFile is a log file that is changed by age and size. The current file keeps
// its name; an old one carries the time of its change in its name.
type logFile struct {
	path     string
	maxAge   time.Duration // 0 = none
	maxBytes int64         // 0 = none
	keep     int           // old files kept; 0 = all, below 0 = none

	mu      sync.Mutex
	f       *os.File
	size    int64
	started time.Time
	closed  bool
}

// openLogFile opens the configured file, or returns nil if there is none. Its
// folder must exist: a mistyped path should not grow a tree.
func openLogFile(c configs.Log) (*logFile, error) {
	if c.File == "" {
		return nil, nil
	}
	l := &logFile{path: c.File, maxAge: c.RotateDuration, maxBytes: int64(c.RotateBytes), keep: c.RotateMaxFiles}
	if strings.HasSuffix(c.File, "/") {
		l.path = filepath.Join(c.File, logFileName)
	} else if info, err := os.Stat(c.File); err == nil && info.IsDir() {
		l.path = filepath.Join(c.File, logFileName)
	} else if filepath.Ext(c.File) == "" {
		l.path += ".log" // as it is known
	}
	return l, l.open()
}

func (l *logFile) open() error {
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) // a log may name tokens' owners
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
func (l *logFile) Write(p []byte) (int, error) {
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
	full := l.maxBytes > 0 && l.size > 0 && l.size+int64(len(p)) > l.maxBytes
	old := l.maxAge > 0 && time.Since(l.started) >= l.maxAge && l.size > 0
	if full || old {
		if err := l.rotate(); err != nil && l.f == nil {
			return 0, err // else only old files could not be removed; the line is not lost for that
		}
	}
	n, err := l.f.Write(p)
	l.size += int64(n)
	return n, err
}

func (l *logFile) rotate() error {
	if err := l.f.Close(); err != nil {
		return err
	}
	l.f = nil
	ext := filepath.Ext(l.path)
	// Nanoseconds keep two changes within a second apart and sort by age.
	name := fmt.Sprintf("%s-%d%s", strings.TrimSuffix(l.path, ext), time.Now().UnixNano(), ext)
	if err := os.Rename(l.path, name); err != nil {
		return errors.Join(err, l.open())
	}
	return errors.Join(l.prune(), l.open())
}

// prune removes old files beyond those to keep, the oldest first.
func (l *logFile) prune() error {
	if l.keep == 0 {
		return nil
	}
	ext := filepath.Ext(l.path)
	old, err := filepath.Glob(globQuote(strings.TrimSuffix(l.path, ext)) + "-[0-9]*" + globQuote(ext))
	if err != nil {
		return err
	}
	slices.SortFunc(old, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b)) })
	var errs []error
	for len(old) > max(l.keep, 0) {
		errs = append(errs, os.Remove(old[0]))
		old = old[1:]
	}
	return errors.Join(errs...)
}

func globQuote(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(s)
}

// Close ends the file; later lines are refused.
func (l *logFile) Close() error {
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
