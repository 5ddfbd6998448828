package wan

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"consul.internal/internal/durable"
	"consul.internal/internal/fault"
)

// mark is the last that was decided about a datacenter.
type mark struct {
	Gone bool
	At   int64 // Unix nanoseconds of whoever decided; the later counts
}

// forgotten knows which datacenters were removed, and keeps that on disk. What was
// taken in again is remembered too, so that late news do not remove it once more.
type forgotten struct {
	path string

	mu    sync.Mutex
	marks map[string]mark
	joins int             // under way, by a person
	met   map[string]bool // removed ones that such a join has met
}

func newForgotten(path string) *forgotten {
	return &forgotten{path: path, marks: map[string]mark{}, met: map[string]bool{}}
}

func (f *forgotten) load() error {
	if f.path == "" {
		return nil
	}
	data, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		err = json.Unmarshal(data, &f.marks)
	}
	if err != nil {
		return fmt.Errorf("the list of removed datacenters: %w; remove %s if no datacenter was removed", err, f.path)
	}
	if f.marks == nil {
		f.marks = map[string]mark{}
	}
	return nil
}

// save must be called with mu held.
func (f *forgotten) save() error {
	if f.path == "" {
		return nil
	}
	data, err := json.Marshal(f.marks)
	if err != nil {
		return err
	}
	if err := durable.MkdirAll(filepath.Dir(f.path)); err != nil {
		return err
	}
	return durable.WriteFile(f.path, data)
}

// admits reports whether servers of a datacenter may be members.
func (f *forgotten) admits(dc string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.marks[dc].Gone {
		return true
	}
	if f.joins > 0 {
		f.met[dc] = true
		return true
	}
	return false
}

// has reports whether a datacenter was removed.
func (f *forgotten) has(dc string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.marks[dc].Gone
}

func (f *forgotten) some() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.marks) > 0
}

func (f *forgotten) all() map[string]mark {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.marks)
}

func (f *forgotten) set(dc string, gone bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.marks) >= maxForgotten && f.marks[dc] == (mark{}) {
		return fault.Newf(fault.RateLimited, "%d datacenters were removed already", len(f.marks))
	}
	f.marks[dc] = mark{gone, max(time.Now().UnixNano(), f.marks[dc].At+1)}
	return f.save()
}

// merge takes over what others have decided later, and returns which datacenters
// that removes. The own one cannot be.
func (f *forgotten) merge(marks map[string]mark, own string) (fresh []string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	changed := false
	for dc, m := range marks {
		old := f.marks[dc]
		if dc == own || dc == "" || m.At <= old.At || len(f.marks) >= maxForgotten && old == (mark{}) {
			continue
		}
		f.marks[dc], changed = m, true
		if m.Gone {
			fresh = append(fresh, dc)
		}
	}
	if changed {
		err = f.save()
	}
	slices.Sort(fresh)
	return fresh, err
}

// open lets removed datacenters in until close, which returns those that came.
func (f *forgotten) open() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.joins++
}

func (f *forgotten) close() (back []string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.joins--
	for dc := range f.met {
		if f.marks[dc].Gone {
			f.marks[dc] = mark{false, max(time.Now().UnixNano(), f.marks[dc].At+1)}
			back = append(back, dc)
		}
	}
	clear(f.met)
	if len(back) > 0 {
		err = f.save()
	}
	return back, err
}
