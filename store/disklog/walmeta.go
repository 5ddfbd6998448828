package disklog

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"

	walfs "github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/types"

	"consul.internal/internal/durable"
)

// walMeta keeps the list of the log's segments and raft's stable values (term,
// vote) in one small checksummed file. raft-wal's own store, a bbolt file, checks
// none of this when it is read, and a log whose list of segments is wrong deletes
// the others. The file is replaced whole, which suits values that change with
// terms and segments only.
type walMeta struct {
	path  string
	acked uint64 // the log must reach this index
	mu    sync.Mutex
	doc   metaDoc

	faults func(op string) error
}

type metaDoc struct {
	State  types.PersistentState
	Stable map[string][]byte
}

const metaMagic = "consul-log-meta 1" // see ReadSealed

// Load implements types.MetaStore.
func (m *walMeta) Load(string) (types.PersistentState, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir := filepath.Dir(m.path)
	err := ReadSealed(m.path, metaMagic, &m.doc)
	if errors.Is(err, fs.ErrNotExist) {
		segments, err := filepath.Glob(filepath.Join(dir, "*.wal"))
		if err != nil {
			return types.PersistentState{}, err
		}
		if len(segments) > 0 {
			// Taken for an empty log, the segments would be deleted.
			return types.PersistentState{}, &Damage{Path: m.path, What: "it is missing, but there are log segments beside it"}
		}
		m.doc = metaDoc{Stable: map[string][]byte{}}
		return m.doc.State, nil
	}
	if err != nil {
		return types.PersistentState{}, err
	}
	if m.doc.Stable == nil {
		m.doc.Stable = map[string][]byte{}
	}
	indexed, cut, err := indexCut(dir, m.doc.State)
	if err != nil {
		return m.doc.State, err
	}
	if err := trimSealed(dir, indexed.Segments); err != nil { // first: what follows may want room
		return m.doc.State, err
	}
	mended, err := mendTail(dir, indexed, m.acked)
	if err != nil || !cut && mended.NextSegmentID == m.doc.State.NextSegmentID {
		return m.doc.State, err
	}
	return mended, m.save(metaDoc{State: mended, Stable: m.doc.Stable})
}

func (m *walMeta) save(doc metaDoc) error {
	if err := m.faults("meta"); err != nil {
		return err
	}
	if err := WriteSealed(m.path, metaMagic, doc); err != nil {
		return err
	}
	m.doc = doc
	return nil
}

// CommitState implements types.MetaStore.
func (m *walMeta) CommitState(s types.PersistentState) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.save(metaDoc{State: s, Stable: m.doc.Stable})
}

// GetStable implements types.MetaStore.
func (m *walMeta) GetStable(key []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.Clone(m.doc.Stable[string(key)]), nil
}

// SetStable implements types.MetaStore.
func (m *walMeta) SetStable(key, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	stable := maps.Clone(m.doc.Stable)
	if value == nil {
		delete(stable, string(key))
	} else {
		stable[string(key)] = bytes.Clone(value)
	}
	return m.save(metaDoc{State: m.doc.State, Stable: stable})
}

// Close implements types.MetaStore; no file stays open.
func (m *walMeta) Close() error { return nil }

// privateFS is raft-wal's file system with segments that only their owner reads.
type privateFS struct {
	*walfs.FS
	faults func(op string) error
	peek   *peeking
}

func (p privateFS) OpenReader(dir, name string) (types.ReadableFile, error) {
	f, err := p.FS.OpenReader(dir, name)
	if err != nil {
		return nil, err
	}
	return peekReader{f, p.peek}, nil
}

func (p privateFS) OpenWriter(dir, name string) (types.WritableFile, error) {
	f, err := p.FS.OpenWriter(dir, name)
	if err != nil {
		return nil, err
	}
	return peekWriter{f, p.peek}, nil
}

func (p privateFS) Create(dir, name string, size uint64) (types.WritableFile, error) {
	if err := p.faults("segment"); err != nil {
		return nil, err
	}
	f, err := p.FS.Create(dir, name, size)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(filepath.Join(dir, name), durable.FileMode); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// RemoveLeftovers deletes the temporary files of writes that a kill cut short.
func RemoveLeftovers(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if name := e.Name(); strings.HasPrefix(name, ".") && strings.Contains(name, ".tmp-") || strings.HasSuffix(name, tmpSuffix) {
			if err := durable.Remove(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// tmpSuffix ends the names of files that are not finished.
const tmpSuffix = ".tmp"
