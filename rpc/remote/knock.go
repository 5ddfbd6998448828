package remote

import (
	"context"
	"net"
	"sync"
	"time"
)

// knock connects as Dial does, and begins anew, beside what is under way, while
// nobody has answered. The first answer counts, also if it is an error.
func (c *Conn) knock(ctx context.Context, addr string) (net.Conn, error) {
	type answer struct {
		conn net.Conn
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	answers := make(chan answer)
	var tries sync.WaitGroup
	defer tries.Wait()
	defer cancel() // before the others are waited for
	tick := time.NewTicker(knockEvery)
	defer tick.Stop()
	for {
		tries.Go(func() {
			conn, err := c.cfg.Dial(ctx, addr)
			select {
			case answers <- answer{conn, err}:
			case <-ctx.Done():
				if err == nil {
					_ = conn.Close() // another one was quicker
				}
			}
		})
		select {
		case a := <-answers:
			return a.conn, a.err
		case <-tick.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
