package server

import (
	"bufio"
	"context"
	"errors"
	"io"

	"consul.internal/acl"
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
	to := &pieces{t: t}
	out := bufio.NewWriterSize(to, rpc.SnapshotPieceSize)
	if err := s.write(ctx, ask, to, out); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return t.Send(&rpc.SnapshotPiece{End: true})
}

// write writes an archive of the state. Only the leader's is surely the newest.
func (s snapshotOps) write(ctx context.Context, ask *rpc.SnapshotAsk, to *pieces, out io.Writer) error {
	opts := &rpc.ReadOptions{Target: ask.Target}
	if ask.Stale {
		opts.Consistency = rpc.Stale
	}
	if err := s.settled(ctx, opts); err != nil {
		return err
	}
	// An archive holds the secrets of all tokens.
	if err := s.May(ctx, ask.Target, acl.ACL, "", acl.Write); err != nil {
		return err
	}
	return s.store.Save(ctx, func(index uint64) (io.Writer, error) {
		to.meta = rpc.ReadMeta{
			Index: index, KnownLeader: s.store.LeaderAddr() != "", LastContact: s.store.LastContact(), Consistency: opts.Consistency,
		}
		return out, nil
	})
}

// pieces sends what is written to it.
type pieces struct {
	t    *rpc.Talk[rpc.SnapshotPiece, rpc.SnapshotAsk]
	meta rpc.ReadMeta // for the next piece, which is the first
}

func (p *pieces) Write(b []byte) (int, error) {
	for at := 0; at < len(b); at += rpc.SnapshotPieceSize {
		if err := p.t.Send(&rpc.SnapshotPiece{ReadMeta: p.meta, Data: b[at:min(at+rpc.SnapshotPieceSize, len(b))]}); err != nil {
			return at, err
		}
		p.meta = rpc.ReadMeta{}
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
	if err := s.May(ctx, target, acl.ACL, "", acl.Write); err != nil {
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
