package daemon

import (
	"bufio"
	"context"
	"errors"
	"io"
	"sync"

	"consul.internal/httpapi"
	"consul.internal/rpc"
)

// snapshots carries archives of the servers' state between the API and the leader.
type snapshots struct{ d *Daemon }

var _ httpapi.Snapshots = snapshots{}

// leader is the node ID of the server that leads. To know it takes no right: the
// leader itself asks for the one to take snapshots.
func (s snapshots) leader(ctx context.Context, t rpc.Target) (string, error) {
	out, err := rpc.Call(ctx, s.d.caller, rpc.StatusLeader, &rpc.StatusRequest{Target: t, Awaited: true})
	if err != nil {
		return "", err
	}
	return out.ID, nil
}

// begin opens a conversation with the server that is to do it: the leader, or any
// for a stale save. The server in this process is asked like the others.
func (s snapshots) begin(ctx context.Context, name string, t rpc.Target, stale bool) (rpc.Conversation, error) {
	if dc := t.Datacenter; dc != "" && dc != s.d.settings.Node.Datacenter {
		return s.d.router.StreamIn(ctx, dc, name)
	}
	if stale && s.d.srv != nil {
		return s.converse(ctx, name), nil
	}
	if stale {
		return s.d.router.Stream(ctx, name)
	}
	id, err := s.leader(ctx, t)
	switch {
	case err != nil:
		return nil, err
	case id == s.d.nodeID:
		return s.converse(ctx, name), nil
	}
	return s.d.router.StreamTo(ctx, id, name)
}

// converse holds a conversation with the server in this process.
func (s snapshots) converse(ctx context.Context, name string) rpc.Conversation {
	near, far := rpc.Pipe(ctx)
	s.d.wg.Go(func() { far.End(s.d.srv.Converse(ctx, name, far)) })
	return near
}

// Save implements httpapi.Snapshots.
func (s snapshots) Save(ctx context.Context, ask rpc.ReadOptions) (*httpapi.Archive, error) {
	ctx, cancel := context.WithCancel(ctx)
	c, err := s.begin(ctx, rpc.SnapshotSave.Name, ask.Target, ask.Consistency == rpc.Stale)
	if err != nil {
		cancel()
		return nil, err
	}
	a := &archive{c: c, cancel: cancel}
	if err := c.Send(&rpc.SnapshotAsk{Target: ask.Target, Stale: ask.Consistency == rpc.Stale}); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	// The first piece tells whether there is an archive at all.
	if err := a.next(); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return &httpapi.Archive{ReadMeta: a.meta, ReadCloser: a}, nil
}

// archive reads the pieces of a save.
type archive struct {
	c      rpc.Conversation
	cancel context.CancelFunc
	left   []byte
	end    bool
	meta   rpc.ReadMeta
	once   sync.Once
}

func (a *archive) next() error {
	var p rpc.SnapshotPiece
	if err := a.c.Recv(&p); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	a.left, a.end = p.Data, p.End
	if p.Index > 0 {
		a.meta = p.ReadMeta
	}
	return nil
}

func (a *archive) Read(p []byte) (int, error) {
	for len(a.left) == 0 {
		if a.end {
			return 0, io.EOF
		}
		if err := a.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, a.left)
	a.left = a.left[n:]
	return n, nil
}

// Close ends the conversation.
func (a *archive) Close() (err error) {
	a.once.Do(func() {
		err = a.c.Close()
		a.cancel()
	})
	return err
}

// Restore implements httpapi.Snapshots.
func (s snapshots) Restore(ctx context.Context, t rpc.Target, r io.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c, err := s.begin(ctx, rpc.SnapshotRestore.Name, t, false)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // its outcome is known by then
	if err := c.Send(&rpc.SnapshotAsk{Target: t}); err != nil {
		return err
	}
	sent := s.send(c, r)
	var done rpc.SnapshotPiece
	if err := c.Recv(&done); err != nil {
		return errors.Join(err, notClosed(sent)) // why the other side would not go on
	}
	return sent
}

// notClosed leaves out an error that only says that the other side has ended it.
func notClosed(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (s snapshots) send(c rpc.Conversation, r io.Reader) error {
	in := bufio.NewReaderSize(r, rpc.SnapshotPieceSize)
	for {
		data := make([]byte, rpc.SnapshotPieceSize)
		n, err := io.ReadFull(in, data)
		end := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !end {
			return err
		}
		if err := c.Send(&rpc.SnapshotAsk{SnapshotPiece: rpc.SnapshotPiece{Data: data[:n], End: end}}); err != nil || end {
			return err
		}
	}
}
