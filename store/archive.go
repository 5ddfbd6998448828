package store

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/hashicorp/raft"

	"consul.internal/internal/fault"
	"consul.internal/internal/snapfile"
	"consul.internal/store/state"
)

const (
	// restoreTimeout bounds raft's part of a restore where ctx does not.
	restoreTimeout = 60 * time.Second
	// restoreBuffer gathers the small writes of a state's records.
	restoreBuffer = 64 << 10
)

// Save writes an archive of the state (see package snapfile). begin is told the
// index that the archive will have, before its first byte, and where it goes is
// what begin returns.
func (s *Store) Save(ctx context.Context, begin func(index uint64) (io.Writer, error)) error {
	meta, content, err := snapshot(ctx, s)
	if err != nil {
		return err
	}
	defer content.Close()
	w, err := begin(meta.Index)
	if err != nil {
		return err
	}
	return snapfile.Write(w, snapfile.Meta{ID: meta.ID, Index: meta.Index, Term: meta.Term, Size: meta.Size}, content)
}

// snapshotTries is how often a snapshot is taken that somebody else's newer one has
// taken the place of before it could be opened.
const snapshotTries = 5

// snapshot takes a snapshot and opens it. Where nothing has happened since the
// last one, that is it.
func snapshot(ctx context.Context, s *Store) (meta *raft.SnapshotMeta, content io.ReadCloser, err error) {
	n, err := s.running()
	if err != nil {
		return nil, nil, err
	}
	for range snapshotTries {
		f := n.Snapshot()
		if err = s.await(ctx, f); err != nil {
			break
		}
		if meta, content, err = f.Open(); err == nil {
			return meta, content, nil
		}
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
	dir := "" // else in the data directory: the system's own place for such files may be memory
	if s.disk != nil {
		dir = s.disk.dir
	}
	saved, err := snapfile.Open(r, dir)
	if err != nil {
		return err
	}
	defer func() { _ = saved.Close() }() // it is thrown away
	n, err := s.running()
	if err != nil {
		return err
	}
	fresh := state.New(nil)
	index, err := s.fsm.ReadImage(saved, fresh)
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
	defer func() { _ = out.Close() }() // it is thrown away
	buffered := bufio.NewWriterSize(out, restoreBuffer)
	if err := cmp.Or(s.fsm.WriteImage(buffered, fresh.Snapshot(), index), buffered.Flush()); err != nil {
		return err
	}
	size, err := out.Seek(0, io.SeekCurrent)
	if err == nil {
		_, err = out.Seek(0, io.SeekStart)
	}
	if err != nil {
		return err
	}
	wait := restoreTimeout
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline))
	}
	meta := &raft.SnapshotMeta{Version: 1, Index: index, Term: saved.Meta.Term, Size: size}
	if err := n.Restore(meta, out, max(wait, time.Millisecond)); err != nil {
		return s.explain(err)
	}
	return nil
}

// scratch makes a file without a name.
func scratch(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, ".restore.tmp-*")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}
