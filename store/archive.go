package store

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"consul.internal/internal/durable"
	"consul.internal/internal/fault"
	"consul.internal/store/state"
)

// An archive is a saved state as people keep it: a gzipped tar of meta.json
// (raft's description of the snapshot), state.bin (see image) and SHA256SUMS over
// both, as sha256sum writes it.
const (
	archiveMeta  = "meta.json"
	archiveState = "state.bin"
	archiveSums  = "SHA256SUMS"
	// maxArchive bounds what is unpacked, far above any state that fits in memory.
	maxArchive = 16 << 30
	// restoreTimeout bounds raft's part of a restore where ctx does not.
	restoreTimeout = 60 * time.Second
)

// Save writes an archive of the state and returns the index that it has.
func (s *Store) Save(ctx context.Context, w io.Writer) (index uint64, err error) {
	meta, content, err := snapshot(ctx, s)
	if err != nil {
		return 0, err
	}
	defer content.Close()
	zipped := gzip.NewWriter(w)
	archive := tar.NewWriter(zipped)
	rawMeta, err := json.Marshal(meta)
	if err != nil {
		return 0, err
	}
	sums := map[string][]byte{}
	add := func(name string, size int64, r io.Reader) error {
		sum := sha256.New()
		err := archive.WriteHeader(&tar.Header{Name: name, Mode: int64(durable.FileMode), Size: size, ModTime: time.Now()})
		if err == nil {
			_, err = io.Copy(io.MultiWriter(archive, sum), r)
		}
		sums[name] = sum.Sum(nil)
		return err
	}
	err = add(archiveMeta, int64(len(rawMeta)), bytes.NewReader(rawMeta))
	if err == nil {
		err = add(archiveState, meta.Size, content)
	}
	if err == nil {
		list := fmt.Sprintf("%x  %s\n%x  %s\n", sums[archiveMeta], archiveMeta, sums[archiveState], archiveState)
		err = add(archiveSums, int64(len(list)), strings.NewReader(list))
	}
	if err = cmp.Or(err, archive.Close(), zipped.Close()); err != nil {
		return 0, fmt.Errorf("failed to write snapshot: %w", err)
	}
	return meta.Index, nil
}

// snapshot takes a snapshot and opens it. Where nothing has happened since the
// last one, that is it.
func snapshot(ctx context.Context, s *Store) (*raft.SnapshotMeta, io.ReadCloser, error) {
	n, err := s.running()
	if err != nil {
		return nil, nil, err
	}
	f := n.Snapshot()
	err = s.await(ctx, f)
	if err == nil {
		return f.Open()
	}
	if !errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return nil, nil, fault.Newf(fault.Unavailable, "cannot take a snapshot: %w", err)
	}
	list, err := n.snaps.List()
	if err != nil {
		return nil, nil, err
	}
	if len(list) == 0 {
		return nil, nil, fault.Newf(fault.Unavailable, "there is no state yet that could be saved")
	}
	return n.snaps.Open(list[0].ID)
}

// Restore puts the state of an archive in the place of the present one, on all
// servers, in one step. Nothing has changed if it fails before that. The cluster
// stays the one that it is; its epoch grows.
func (s *Store) Restore(ctx context.Context, r io.Reader) error {
	if err := s.VerifyLeader(ctx); err != nil {
		return err
	}
	dir := ""
	if s.disk != nil {
		dir = s.disk.dir
	}
	saved, err := unpack(r, dir)
	if err != nil {
		return err
	}
	defer saved.drop()
	n, err := s.running()
	if err != nil {
		return err
	}
	fresh := state.New(nil)
	index, err := s.fsm.image.read(saved.file, fresh)
	if err != nil {
		return fault.With(fault.Invalid, err)
	}
	index = max(index, n.LastIndex()) // raft goes beyond it
	tx, was, now := fresh.Begin(index), fresh.Cluster(), s.state.Cluster()
	was.ID, was.Expect, was.Epoch = now.ID, now.Expect, max(now.Epoch, was.Epoch)+1
	tx.ReplaceCluster(was)
	tx.Commit()
	out, err := scratch(dir)
	if err != nil {
		return err
	}
	defer out.drop()
	buffered := bufio.NewWriterSize(out.file, chunkSize)
	if err := cmp.Or(s.fsm.image.write(buffered, fresh.Snapshot(), index), buffered.Flush()); err != nil {
		return err
	}
	size, err := out.file.Seek(0, io.SeekCurrent)
	if err == nil {
		_, err = out.file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return err
	}
	wait := restoreTimeout
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline))
	}
	meta := &raft.SnapshotMeta{Version: 1, Index: index, Term: saved.meta.Term, Size: size}
	if err := n.Restore(meta, out.file, max(wait, time.Millisecond)); err != nil {
		return s.explain(err)
	}
	return nil
}

// file is one that is gone when it is dropped.
type file struct {
	file *os.File
	meta raft.SnapshotMeta
}

// scratch makes a file without a name, in the data directory: the system's own
// place for such files may be memory.
func scratch(dir string) (*file, error) {
	f, err := os.CreateTemp(dir, ".restore.tmp-*")
	if err != nil {
		return nil, err
	}
	return &file{file: f}, os.Remove(f.Name())
}

func (f *file) drop() { _ = f.file.Close() } // nothing of it is needed

// unpack reads an archive and checks it wholly; the file stands at its beginning.
func unpack(r io.Reader, dir string) (_ *file, err error) {
	bad := func(format string, args ...any) error { return fault.Newf(fault.Invalid, format, args...) }
	zipped, err := gzip.NewReader(r)
	if err != nil {
		return nil, bad("failed to decompress snapshot: %w", err)
	}
	f, err := scratch(dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.drop()
		}
	}()
	sums := map[string]string{}
	var list, rawMeta []byte
	archive := tar.NewReader(io.LimitReader(zipped, maxArchive))
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, bad("failed to read snapshot: %w", err)
		}
		sum := sha256.New()
		in := io.TeeReader(archive, sum)
		switch {
		case sums[h.Name] != "":
			return nil, bad("failed to read snapshot: %s stands in it twice", h.Name)
		case h.Name == archiveState:
			_, err = io.Copy(f.file, in)
		case h.Size > maxMeta:
			err = fmt.Errorf("%s has %d bytes", h.Name, h.Size)
		case h.Name == archiveMeta:
			rawMeta, err = io.ReadAll(in)
		case h.Name == archiveSums:
			list, err = io.ReadAll(in)
		default:
			err = fmt.Errorf("unexpected file %q", h.Name)
		}
		if err != nil {
			return nil, bad("failed to read snapshot: %w", err)
		}
		sums[h.Name] = hex.EncodeToString(sum.Sum(nil))
	}
	// To the end: the last checksum is gzip's own.
	if _, err := io.Copy(io.Discard, io.LimitReader(zipped, maxMeta)); err != nil {
		return nil, bad("failed to decompress snapshot: %w", err)
	}
	for _, name := range []string{archiveMeta, archiveState} {
		if sums[name] == "" || !slices.Contains(strings.Split(string(list), "\n"), sums[name]+"  "+name) {
			return nil, bad("failed to verify snapshot: %s is missing or its checksum is wrong", name)
		}
	}
	if err := json.Unmarshal(rawMeta, &f.meta); err != nil {
		return nil, bad("failed to read snapshot: %s: %w", archiveMeta, err)
	}
	_, err = f.file.Seek(0, io.SeekStart)
	return f, err
}

// TableSize is how much of one table an archive holds.
type TableSize struct {
	Name  string
	Count int
	Size  int // bytes encoded
}

// Inspect checks an archive and tells what it holds, the largest table first.
func Inspect(r io.Reader) (*raft.SnapshotMeta, []TableSize, error) {
	f, err := unpack(r, "")
	if err != nil {
		return nil, nil, err
	}
	defer f.drop()
	codec, err := newCodec(snapshotNesting)
	if err != nil {
		return nil, nil, err
	}
	// Read as a restore reads it first, so that what is shown is also usable.
	if _, err := (image{codec}).read(f.file, state.New(nil)); err != nil {
		return nil, nil, err
	}
	if _, err := f.file.Seek(0, io.SeekStart); err != nil {
		return nil, nil, err
	}
	dec := codec.dec.NewDecoder(&chunkReader{r: bufio.NewReaderSize(f.file, chunkSize), sum: sha256.New()})
	var head imageHeader
	if err := dec.Decode(&head); err != nil {
		return nil, nil, err
	}
	sizes := map[string]*TableSize{}
	for {
		var rec imageRecord
		if err := dec.Decode(&rec); err != nil {
			return nil, nil, err
		}
		if rec.Table == "" {
			break
		}
		t := sizes[rec.Table]
		if t == nil {
			t = &TableSize{Name: rec.Table}
			sizes[rec.Table] = t
		}
		t.Count++
		t.Size += len(rec.Record)
	}
	var list []TableSize
	for _, t := range sizes {
		list = append(list, *t)
	}
	slices.SortFunc(list, func(a, b TableSize) int {
		return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(a.Name, b.Name))
	})
	return &f.meta, list, nil
}
