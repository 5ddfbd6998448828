package view

import (
	"context"
	"errors"
	"io"
	"sync"

	"consul.internal/internal/fault"
)

// Conversation carries values to another process and back. Recv's error is
// io.EOF when the other side ended it well; Close ends both Send and Recv.
type Conversation interface {
	Send(v any) error
	Recv(into any) error
	Close() error
}

// served is a session of a Feed or a Relay.
type served interface {
	Session
	done() <-chan struct{} // closed when it ends
	refused() error        // why it ended if that was not the follower's doing
}

// Serve gives the other side of a conversation a session of the feed, until
// either ends. The conversation is closed then.
func Serve(ctx context.Context, f *Feed, c Conversation) error {
	return serve(ctx, func(ctx context.Context) (served, error) { return f.session(ctx) }, c)
}

// Serve does so for a session of the relay; direct is as for Session.
func (r *Relay) Serve(ctx context.Context, direct bool, c Conversation) error {
	return serve(ctx, func(ctx context.Context) (served, error) { return r.session(ctx, direct) }, c)
}

func serve(ctx context.Context, open func(context.Context) (served, error), c Conversation) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s, err := open(ctx)
	if err != nil {
		return errors.Join(err, c.Close())
	}
	var wg sync.WaitGroup
	var cerr error
	wg.Go(func() { // also while Send waits for a follower who does not listen
		select {
		case <-s.done():
		case <-ctx.Done():
		}
		cerr = c.Close()
	})
	wg.Go(func() {
		for {
			var a Ask
			err := c.Recv(&a)
			if err == nil {
				err = s.Send(a)
			}
			if err != nil {
				cancel(err)
				return
			}
		}
	})
	for {
		var e Event
		if e, err = s.Recv(); err != nil {
			break
		}
		if err = c.Send(e); err != nil {
			break
		}
	}
	_ = s.Close() // has no errors
	wg.Wait()
	if cause, refused := context.Cause(ctx), s.refused(); refused != nil {
		err = refused
	} else if cause != nil {
		err = cause // why nothing could be sent any more
	}
	if errors.Is(err, io.EOF) {
		return nil // the follower went
	}
	return errors.Join(err, cerr)
}

// Converse makes a session of a conversation with a server that runs Serve.
func Converse(c Conversation) Session { return conversed{c} }

type conversed struct{ c Conversation }

func (s conversed) Send(a Ask) error { return s.c.Send(a) }

func (s conversed) Recv() (Event, error) {
	var e Event
	if err := s.c.Recv(&e); err != nil {
		if errors.Is(err, io.EOF) {
			err = fault.Newf(fault.Unavailable, "the server ended the session: %w", err)
		}
		return Event{}, err
	}
	return e, nil
}

func (s conversed) Close() error { return s.c.Close() }
