package rpc

import (
	"context"
	"errors"
	"io"
	"reflect"
	"sync"

	"consul.internal/internal/fault"
)

// Pipe makes a conversation within one process: what one end sends the other
// receives. It ends with ctx at the latest.
func Pipe(ctx context.Context) (near, far *PipeEnd) {
	ctx, cancel := context.WithCancelCause(ctx)
	a, b := make(chan any), make(chan any)
	return &PipeEnd{ctx: ctx, cancel: cancel, out: a, in: b}, &PipeEnd{ctx: ctx, cancel: cancel, out: b, in: a}
}

// PipeEnd is one end of a Pipe.
type PipeEnd struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	out    chan<- any
	in     <-chan any
	once   sync.Once
}

// Send hands v over; the receiver gets a copy of the value, not of what it points to.
func (p *PipeEnd) Send(v any) error {
	select {
	case p.out <- v:
		return nil
	case <-p.ctx.Done():
		return p.ended()
	}
}

// Recv waits for the next value, of the type that into points to.
func (p *PipeEnd) Recv(into any) error {
	select {
	case v := <-p.in:
		from, to := reflect.Indirect(reflect.ValueOf(v)), reflect.ValueOf(into).Elem()
		if from.Type() != to.Type() {
			return fault.Newf(fault.Invalid, "got %s where %s was expected", from.Type(), to.Type())
		}
		to.Set(from)
		return nil
	case <-p.ctx.Done():
		return p.ended()
	}
}

func (p *PipeEnd) ended() error {
	err := context.Cause(p.ctx)
	if errors.Is(err, context.Canceled) {
		return io.EOF
	}
	return err
}

// Close ends the conversation well.
func (p *PipeEnd) Close() error {
	p.End(nil)
	return nil
}

// End ends the conversation, for the other side with err.
func (p *PipeEnd) End(err error) {
	if err == nil {
		err = io.EOF
	}
	p.once.Do(func() { p.cancel(err) })
}
