package federation

import (
	"context"
	"errors"
	"io"
	"sync"

	"consul.internal/rpc"
	"consul.internal/rpc/remote"
	"github.com/fxamacker/cbor/v2"
)

// elsewhere tells where a conversation that came over the wire belongs, if not
// here: in its datacenter, or, once there, with the leader. Whoever follows names
// is served here in any case.
func (h relay) elsewhere(ctx context.Context, name string) (func(context.Context) (rpc.Conversation, error), bool) {
	dc := rpc.DatacenterFrom(ctx)
	if dc == "" || name == rpc.ViewFollow.Name {
		return nil, false
	}
	if h.r.away(dc) {
		return func(ctx context.Context) (rpc.Conversation, error) { return h.r.StreamIn(ctx, dc, name) }, true
	}
	id := h.r.deps.Local.LeaderID()
	if id == "" || id == h.r.cfg.NodeID || remote.Hop(ctx) >= remote.MaxHop {
		return nil, false
	}
	return func(ctx context.Context) (rpc.Conversation, error) {
		return h.r.StreamTo(remote.WithHop(ctx, remote.MaxHop), id, name)
	}, true
}

// handOn carries a conversation on, message by message, until either side ends it.
func handOn(ctx context.Context, from rpc.Conversation, begin func(context.Context) (rpc.Conversation, error)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	to, err := begin(ctx)
	if err != nil {
		return errors.Join(err, from.Close())
	}
	var wg sync.WaitGroup
	wg.Go(func() { // what the asker sends
		_ = carry(from, to) // its end is noticed by the other way
		_ = to.Close()
	})
	err = carry(to, from)
	cerr := errors.Join(from.Close(), to.Close())
	wg.Wait()
	if errors.Is(err, io.EOF) {
		return cerr // ended well
	}
	return errors.Join(err, cerr)
}

// carry passes messages on as they are.
func carry(from, to rpc.Conversation) error {
	for {
		var message cbor.RawMessage
		if err := from.Recv(&message); err != nil {
			return err
		}
		if err := to.Send(message); err != nil {
			return err
		}
	}
}
