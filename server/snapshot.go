package server

import (
	"bufio"
	"context"
	"errors"
	"io"

	"consul.internal/internal/fault"
	"consul.internal/rpc"
)

// save sends an archive of the state to whoever asked.
func (s snapshotOps) save(ctx context.Context, c rpc.Conversation) error {
	t := rpc.Serving(rpc.SnapshotSave, c)
	ask, err := t.Recv()
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(pieces{t}, rpc.SnapshotPieceSize)
	meta, err := s.write(ctx, ask, out)
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return err
	}
	return t.Send(&rpc.SnapshotPiece{ReadMeta: *meta, End: true})
}

// write writes an archive of the state. Only the leader's is surely the newest.
func (s snapshotOps) write(ctx context.Context, ask *rpc.SnapshotAsk, w io.Writer) (*rpc.ReadMeta, error) {
	opts := &rpc.ReadOptions{Target: ask.Target}
	if ask.Stale {
		opts.Consistency = rpc.Stale
	}
	if err := s.settled(ctx, opts); err != nil {
		return nil, err
	}
	index, err := s.store.Save(ctx, w)
	if err != nil {
		return nil, err
	}
	return &rpc.ReadMeta{
		Index: index, KnownLeader: s.store.LeaderAddr() != "", LastContact: s.store.LastContact(), Consistency: opts.Consistency,
	}, nil
}

// pieces sends what is written to it.
type pieces struct {
	t *rpc.Talk[rpc.SnapshotPiece, rpc.SnapshotAsk]
}

func (p pieces) Write(b []byte) (int, error) {
	for at := 0; at < len(b); at += rpc.SnapshotPieceSize {
		if err := p.t.Send(&rpc.SnapshotPiece{Data: b[at:min(at+rpc.SnapshotPieceSize, len(b))]}); err != nil {
			return at, err
		}
	}
	return len(b), nil
}

// restore puts the archive that somebody sends in the place of the state.
func (s snapshotOps) restore(ctx context.Context, c rpc.Conversation) error {
	t := rpc.Serving(rpc.SnapshotRestore, c)
	ask, err := t.Recv()
	if err != nil {
		return err
	}
	if err := s.read(ctx, ask.Target, &incoming{t: t}); err != nil {
		return err
	}
	return t.Send(&rpc.SnapshotPiece{End: true})
}

// read puts an archive in the place of the state, or changes nothing.
func (s snapshotOps) read(ctx context.Context, target rpc.Target, r io.Reader) error {
	if err := s.led(ctx, target); err != nil {
		return err
	}
	return s.store.Restore(ctx, r)
}

// incoming reads the pieces that come.
type incoming struct {
	t    *rpc.Talk[rpc.SnapshotPiece, rpc.SnapshotAsk]
	left []byte
	end  bool
}

func (i *incoming) Read(p []byte) (int, error) {
	for len(i.left) == 0 {
		if i.end {
			return 0, io.EOF
		}
		next, err := i.t.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return 0, fault.Newf(fault.Invalid, "the archive ends early: %w", io.ErrUnexpectedEOF)
			}
			return 0, err
		}
		i.left, i.end = next.Data, next.End
	}
	n := copy(p, i.left)
	i.left = i.left[n:]
	return n, nil
}
