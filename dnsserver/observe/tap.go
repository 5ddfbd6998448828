package observe

import (
	"context"
	"net"
	"time"

	"go.uber.org/zap"
)

const (
	// retryFirst and retryMost are the pauses before who listens is looked for again.
	retryFirst = 250 * time.Millisecond
	retryMost  = 10 * time.Second
)

// tap sends exchanges to who listens on a socket.
type tap struct {
	cfg      Tap
	identity string
	version  string
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
	log      *zap.Logger
	*queue

	frame, message []byte // of the present frame
}

// run sends until the end; while nobody listens, the queue keeps what comes first.
func (t *tap) run(ctx context.Context) {
	pause, told := retryFirst, false
	for ctx.Err() == nil {
		f, err := t.connect(ctx)
		if err == nil {
			t.log.Info("messages are sent to who listens for dnstap", zap.String("socket", t.cfg.Socket))
			pause, told = retryFirst, false
			err = t.send(f, ctx.Done())
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		if !told {
			t.log.Warn("no messages can be sent by dnstap; this is tried again until somebody listens", zap.String("socket", t.cfg.Socket), zap.Error(err))
			told = true
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		pause = min(2*pause, retryMost)
	}
}

func (t *tap) connect(ctx context.Context) (*frames, error) {
	ctx, cancel := context.WithTimeout(ctx, tapTimeout)
	defer cancel()
	c, err := t.dial(ctx, "unix", t.cfg.Socket)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) }) // a closing server does not wait
	f, err := begin(c)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = c.Close() // the error that matters is err
		return nil, err
	}
	return f, nil
}

// send writes what comes until done, and then what waits. After an error what had
// not been flushed is lost, and not counted: nobody knows what has arrived.
func (t *tap) send(f *frames, done <-chan struct{}) error {
	for {
		var e *Exchange
		select {
		case e = <-t.ch:
		default:
			if err := f.flush(); err != nil {
				_ = f.c.Close() // the error that matters is err
				return err
			}
			select {
			case e = <-t.ch:
			case <-done:
				return f.finish()
			}
		}
		err := t.write(f, e)
		t.done(e, err == nil)
		if err != nil {
			_ = f.c.Close() // the error that matters is err
			return err
		}
	}
}

func (t *tap) write(f *frames, e *Exchange) error {
	for _, reply := range []bool{false, true} {
		if reply && len(e.Reply) == 0 {
			continue
		}
		t.message = appendMessage(t.message[:0], e, reply)
		t.frame = appendTap(t.frame[:0], t.identity, t.version, t.message)
		if err := f.write(t.frame); err != nil {
			return err
		}
	}
	return nil
}
