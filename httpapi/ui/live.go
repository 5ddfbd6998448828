package ui

import (
	"context"
	"net/http"
	"sync"
	"time"

	"consul.internal/httpapi/edge"
	"consul.internal/rpc"
)

// watch waits for a change of something that a page is made of.
type watch func(ctx context.Context) error

// follow is a read, and a watch on its result.
func follow[Req, Resp any](c *call, pg *page, m rpc.Method[Req, Resp], in *Req, meta func(*Resp) *rpc.ReadMeta) (*Resp, error) {
	out, err := rpc.Call(c.r.Context(), c.Caller, m, in)
	if err != nil {
		return nil, err
	}
	got := meta(out)
	pg.Filtered = pg.Filtered || got.Filtered
	next := *in
	opts := rpc.ReadOf(&next)
	opts.MinIndex, opts.MaxWait = max(got.Index, 1), liveWait
	pg.watches = append(pg.watches, func(ctx context.Context) error {
		_, err := rpc.Call(ctx, c.Caller, m, &next)
		return err
	})
	return out, nil
}

// live answers once the page comes out differently than what the script has, or
// with nothing new after a while.
func (a *app) live(c *call) (any, error) {
	if a.waiting.Add(1) > maxLive {
		a.waiting.Add(-1)
		return nil, edge.Failed(http.StatusServiceUnavailable, "too many pages wait for news")
	}
	defer a.waiting.Add(-1)
	seen := c.q.Get(".live")
	c.q.Del(".live")
	ctx, cancel := context.WithTimeout(c.r.Context(), liveWait)
	defer cancel()
	c = c.with(ctx)
	for {
		began := time.Now()
		pg, body, err := c.bounded()
		took := time.Since(began)
		if err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			break // what has been read may be half of it
		}
		if now := sum(body); now != seen {
			h := c.w.Header()
			h.Set("Content-Type", "text/html; charset=utf-8")
			h.Set("X-Live", now)
			return edge.Raw(body), nil // an error is news, too, but no fault of the request
		}
		pg.wait(ctx)
		sleep(ctx, max(livePause, livePauseFactor*took))
	}
	return edge.Under(http.StatusNoContent, nil), nil
}

// wait returns when something that the page is made of has changed.
func (pg *page) wait(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	for _, w := range pg.watches {
		wg.Go(func() {
			if err := w(ctx); err != nil {
				sleep(ctx, liveFailed) // what is wrong, the next rendering shows
			}
			cancel()
		})
	}
	every := pg.every
	if every == 0 && len(pg.watches) == 0 {
		every = liveFailed
	}
	if every > 0 {
		wg.Go(func() {
			sleep(ctx, every)
			cancel()
		})
	}
	wg.Wait()
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
