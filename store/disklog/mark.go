package disklog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"sync"

	"consul.internal/internal/durable"
)

// Mark keeps, beside the log, the highest index whose entry was safely stored.
//
// raft-wal cannot tell a damaged last batch from one that was being written when
// the power went: it drops both in silence. The second was never acknowledged,
// the first was. The mark tells them apart: a log that ends below it has lost
// entries.
//
// It is written by one pwrite after each batch has been synced, and not synced
// itself: a second fsync would halve the write rate (measured: the pwrite costs
// about a microsecond, the log's fsync a hundred and more). A killed process
// loses nothing of it, since the kernel has it; a power cut may leave an older
// mark, never a newer one, so it raises no false alarm and only sees less. Where
// the log is cut on purpose the lower mark is synced first.
//
// There are two slots in different sectors, written in turn, so that a torn
// write leaves one.
type Mark struct {
	path string
	mu   sync.Mutex
	f    *os.File
	now  Marked
}

// Marked is what a mark says.
type Marked struct {
	Acked      uint64 // the log must reach this index
	Committed  uint64 // known to be committed when this was written
	generation uint64
}

const (
	markSlot = 4096 // apart by more than any sector or page that could be torn
	markSize = 3*8 + 4
)

// castagnoli is the CRC32C of RFC 3720, which processors compute.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// OpenMark reads a mark file. found is false where there is none yet.
func OpenMark(path string) (m *Mark, found bool, err error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := durable.WriteFile(path, make([]byte, 2*markSlot)); err != nil {
			return nil, false, err
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR, durable.FileMode)
	if err != nil {
		return nil, false, err
	}
	m = &Mark{path: path, f: f}
	blank := true
	for slot := range int64(2) {
		var b [markSize]byte
		if _, err := f.ReadAt(b[:], slot*markSlot); err != nil && !errors.Is(err, io.EOF) {
			return nil, false, errors.Join(fmt.Errorf("read %s: %w", path, err), f.Close())
		}
		blank = blank && b == [markSize]byte{}
		got := Marked{
			generation: binary.LittleEndian.Uint64(b[0:]),
			Acked:      binary.LittleEndian.Uint64(b[8:]),
			Committed:  binary.LittleEndian.Uint64(b[16:]),
		}
		if crc32.Checksum(b[:24], castagnoli) == binary.LittleEndian.Uint32(b[24:]) && got.generation > m.now.generation {
			m.now, found = got, true
		}
	}
	if !found && !blank {
		return nil, false, errors.Join(&Damage{Path: path, What: "neither of its two slots can be read"}, f.Close())
	}
	return m, found, nil
}

// Set writes a new mark; sync makes it durable before Set returns.
func (m *Mark) Set(acked, committed uint64, sync bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = Marked{generation: m.now.generation + 1, Acked: acked, Committed: committed}
	var b [markSize]byte
	binary.LittleEndian.PutUint64(b[0:], m.now.generation)
	binary.LittleEndian.PutUint64(b[8:], m.now.Acked)
	binary.LittleEndian.PutUint64(b[16:], m.now.Committed)
	binary.LittleEndian.PutUint32(b[24:], crc32.Checksum(b[:24], castagnoli))
	if _, err := m.f.WriteAt(b[:], int64(m.now.generation%2)*markSlot); err != nil {
		return fmt.Errorf("write %s: %w", m.path, err)
	}
	if sync {
		if err := m.f.Sync(); err != nil {
			return fmt.Errorf("sync %s: %w", m.path, err)
		}
	}
	return nil
}

// Get tells what was last set.
func (m *Mark) Get() Marked {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// Path is the mark's file.
func (m *Mark) Path() string { return m.path }

// Close closes its file.
func (m *Mark) Close() error { return m.f.Close() }
