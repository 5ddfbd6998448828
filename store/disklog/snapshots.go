package disklog

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"

	"consul.internal/internal/durable"
)

// Snapshots is raft's snapshot store: one file a snapshot,
//
//	content, meta (JSON), length of meta uint32, SHA-256 of all before, magic
//
// so that content and meta are written, renamed and checked together (raft's own
// file store does not check its meta). A file is read and checked wholly before
// anyone gets a byte of it.
type Snapshots struct {
	dir    string
	logger *zap.Logger
}

const (
	snapSuffix = ".snap"
	snapMagic  = "consnap1"
	snapFooter = 4 + sha256.Size + len(snapMagic)
	// maxMeta bounds what is read of a meta; a cluster of 100 servers needs 20 KB.
	maxMeta = 1 << 20
	// keepSnapshots: the newest, and the one before in case it is damaged.
	keepSnapshots = 2
	// bufferSize of what is written and read.
	bufferSize = 64 << 10
)

// OpenSnapshots opens the snapshots in dir, making it if there is none.
func OpenSnapshots(dir string, logger *zap.Logger) (*Snapshots, error) {
	if err := durable.MkdirAll(dir); err != nil {
		return nil, err
	}
	return &Snapshots{dir, logger}, RemoveLeftovers(dir)
}

// Create implements raft.SnapshotStore.
func (s *Snapshots) Create(version raft.SnapshotVersion, index, term uint64, conf raft.Configuration, confIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	id := fmt.Sprintf("%020d-%d-%d", index, term, time.Now().UnixMilli())
	f, err := os.OpenFile(s.Path(id)+tmpSuffix, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, durable.FileMode)
	if err != nil {
		return nil, err
	}
	k := &snapSink{store: s, f: f, sum: sha256.New(), meta: raft.SnapshotMeta{
		Version: version, ID: id, Index: index, Term: term, Configuration: conf, ConfigurationIndex: confIndex,
	}}
	k.out = bufio.NewWriterSize(io.MultiWriter(f, k.sum), bufferSize)
	return k, nil
}

// Dir is where they are.
func (s *Snapshots) Dir() string { return s.dir }

// Path is the file of a snapshot.
func (s *Snapshots) Path(id string) string { return filepath.Join(s.dir, id+snapSuffix) }

// IDs lists the snapshots, newest first.
func (s *Snapshots) IDs() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), snapSuffix); ok {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b string) int { return -compareIDs(a, b) })
	return ids, nil
}

// Newest is how long the newest snapshot's file is, 0 if there is none.
func (s *Snapshots) Newest() int64 {
	ids, err := s.IDs()
	if err != nil || len(ids) == 0 {
		return 0
	}
	fi, err := os.Stat(s.Path(ids[0]))
	if err != nil {
		return 0 // whoever opens it says so
	}
	return fi.Size()
}

// compareIDs orders snapshots by index, term and time.
func compareIDs(a, b string) int {
	var x, y [3]uint64
	// An ID that does not read so stays at zero, behind all others, and fails its check.
	_, _ = fmt.Sscanf(a, "%d-%d-%d", &x[0], &x[1], &x[2])
	_, _ = fmt.Sscanf(b, "%d-%d-%d", &y[0], &y[1], &y[2])
	if c := slices.Compare(x[:], y[:]); c != 0 {
		return c
	}
	return strings.Compare(a, b)
}

// List implements raft.SnapshotStore: the snapshots that can be used, newest
// first. The others are named in the log.
func (s *Snapshots) List() ([]*raft.SnapshotMeta, error) {
	ids, err := s.IDs()
	if err != nil {
		return nil, err
	}
	var list []*raft.SnapshotMeta
	for _, id := range ids {
		meta, r, err := s.Open(id)
		if err != nil {
			s.logger.Error("snapshot is not used", zap.Error(err))
			continue
		}
		list = append(list, meta)
		if err := r.Close(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Open implements raft.SnapshotStore.
func (s *Snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	path := s.Path(id)
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	meta, err := checkSnapshot(f)
	if err == nil && meta.ID != id {
		err = fmt.Errorf("it is snapshot %s", meta.ID)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, nil, errors.Join(&Damage{Path: path, What: "the snapshot cannot be used", Err: err}, f.Close())
	}
	return meta, snapReader{io.LimitReader(bufio.NewReaderSize(f, bufferSize), meta.Size), f}, nil
}

type snapReader struct {
	io.Reader
	io.Closer
}

// Checked tells whoever reads that checkSnapshot has been over all of it.
func (snapReader) Checked() {}

// checkSnapshot reads a whole file and returns its meta.
func checkSnapshot(f *os.File) (*raft.SnapshotMeta, error) {
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	size := fi.Size() - int64(snapFooter)
	if size < 0 {
		return nil, fmt.Errorf("it is cut short: %d bytes", fi.Size())
	}
	footer := make([]byte, snapFooter)
	if _, err := f.ReadAt(footer, size); err != nil {
		return nil, err
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(f, 0, size+4)); err != nil {
		return nil, err
	}
	metaSize := int64(binary.LittleEndian.Uint32(footer))
	switch {
	case string(footer[snapFooter-len(snapMagic):]) != snapMagic:
		return nil, errors.New("its end is missing")
	case !bytes.Equal(sum.Sum(nil), footer[4:4+sha256.Size]):
		return nil, errors.New("its checksum is wrong")
	case metaSize > maxMeta || metaSize > size:
		return nil, fmt.Errorf("its meta claims %d bytes", metaSize)
	}
	raw := make([]byte, metaSize)
	if _, err := f.ReadAt(raw, size-metaSize); err != nil {
		return nil, err
	}
	meta := new(raft.SnapshotMeta)
	if err := json.Unmarshal(raw, meta); err != nil {
		return nil, fmt.Errorf("its meta: %w", err)
	}
	meta.Size = size - metaSize
	return meta, nil
}

// snapSink writes one snapshot.
type snapSink struct {
	store *Snapshots
	f     *os.File
	out   *bufio.Writer
	sum   hash.Hash
	meta  raft.SnapshotMeta
	done  bool
}

// Write implements raft.SnapshotSink.
func (k *snapSink) Write(p []byte) (int, error) {
	n, err := k.out.Write(p)
	k.meta.Size += int64(n)
	return n, err
}

// ID implements raft.SnapshotSink.
func (k *snapSink) ID() string { return k.meta.ID }

// Close implements raft.SnapshotSink: it makes the snapshot one that List shows.
func (k *snapSink) Close() error {
	if k.done {
		return nil
	}
	k.done = true
	if err := k.finish(); err != nil {
		return errors.Join(fmt.Errorf("write snapshot %s: %w", k.f.Name(), err), k.f.Close(), os.Remove(k.f.Name()))
	}
	if err := k.f.Close(); err != nil {
		return err
	}
	if err := durable.Rename(k.f.Name(), k.store.Path(k.meta.ID)); err != nil {
		return err
	}
	return k.store.reap()
}

func (k *snapSink) finish() error {
	raw, err := json.Marshal(k.meta)
	if err != nil {
		return err
	}
	if _, err := k.out.Write(raw); err != nil {
		return err
	}
	if _, err := k.out.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(raw)))); err != nil {
		return err
	}
	if err := k.out.Flush(); err != nil {
		return err
	}
	if _, err := k.f.Write(append(k.sum.Sum(nil), snapMagic...)); err != nil {
		return err
	}
	return k.f.Sync()
}

// Cancel implements raft.SnapshotSink.
func (k *snapSink) Cancel() error {
	if k.done {
		return nil
	}
	k.done = true
	return errors.Join(k.f.Close(), os.Remove(k.f.Name()))
}

// reap deletes all but the newest snapshots.
func (s *Snapshots) reap() error {
	ids, err := s.IDs()
	if err != nil {
		return err
	}
	for _, id := range ids[min(keepSnapshots, len(ids)):] {
		if err := durable.Remove(s.Path(id)); err != nil {
			return err
		}
	}
	return nil
}
