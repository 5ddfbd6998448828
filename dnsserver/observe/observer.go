package observe

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"

	"go.uber.org/zap"
)

// Deps are what an Observer uses and does not own.
type Deps struct {
	Logger   *zap.Logger
	Identity string // of the server, in dnstap
	Version  string
	// Dial connects to a Unix socket; nil is the system's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Observer shows exchanges. A nil Observer shows none.
type Observer struct {
	tap  *tap            // nil: off
	log  *querylog       // nil: off
	ctx  context.Context // until the end
	end  context.CancelFunc
	once sync.Once
	wg   sync.WaitGroup
	err  error
}

// Open begins to show; it returns nil where nothing is to be shown.
func Open(cfg Config, deps Deps) (*Observer, error) {
	if err := cfg.Validate(); err != nil || !cfg.On() {
		return nil, err
	}
	o := &Observer{}
	o.ctx, o.end = context.WithCancel(context.Background())
	if cfg.Log.Sample > 0 {
		l, err := openLog(cfg.Log, deps.Logger)
		if err != nil {
			o.end()
			return nil, err
		}
		o.log = l
		o.wg.Go(func() { l.run(o.ctx.Done()) })
	}
	if cfg.Tap.Socket != "" {
		dial := deps.Dial
		if dial == nil {
			dial = new(net.Dialer).DialContext
		}
		o.tap = &tap{cfg: cfg.Tap, identity: deps.Identity, version: deps.Version, dial: dial, log: deps.Logger, queue: newQueue()}
		o.wg.Go(func() { o.tap.run(o.ctx) })
	}
	return o, nil
}

// Wish is who wants an exchange.
type Wish struct{ tap, log bool }

// Any reports whether anybody does.
func (w Wish) Any() bool { return w.tap || w.log }

// Wants draws whether the next exchange is one to be shown.
func (o *Observer) Wants() Wish {
	if o == nil {
		return Wish{}
	}
	return Wish{
		tap: o.tap != nil && (o.tap.cfg.Sample <= 1 || rand.IntN(o.tap.cfg.Sample) == 0),
		log: o.log != nil && rand.IntN(o.log.cfg.Sample) == 0,
	}
}

// Take shows an exchange to who wants it. It never waits and keeps nothing of e.
func (o *Observer) Take(w Wish, e *Exchange) {
	if w.tap {
		o.tap.put(e)
	}
	if w.log {
		o.log.put(e)
	}
}

// Counts is how many exchanges were shown and dropped.
type Counts struct{ Tapped, TapDropped, Logged, LogDropped uint64 }

// Counts returns the counters.
func (o *Observer) Counts() (c Counts) {
	if o == nil {
		return c
	}
	if o.tap != nil {
		c.Tapped, c.TapDropped = o.tap.written.Load(), o.tap.dropped.Load()
	}
	if o.log != nil {
		c.Logged, c.LogDropped = o.log.written.Load(), o.log.dropped.Load()
	}
	return c
}

// Close shows what waits, for a moment at most, and ends. What is taken later is lost.
func (o *Observer) Close() error {
	if o == nil {
		return nil
	}
	o.once.Do(func() {
		o.end()
		o.wg.Wait()
		if o.log != nil {
			o.err = errors.Join(o.err, o.log.close())
		}
	})
	return o.err
}
