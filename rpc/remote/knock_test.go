package remote

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestKnock: a far server that begins to answer in the middle of an attempt is
// reached soon after, and nothing of the other attempts is left.
func TestKnock(t *testing.T) {
	for _, c := range []struct {
		name    string
		healed  time.Duration // packets before that are lost
		refused bool
		limit   time.Duration
		want    time.Duration // when the attempt ends
		ok      bool
	}{
		{"answers", 0, false, time.Second, 100 * time.Millisecond, true},
		{"answers later", 400 * time.Millisecond, false, time.Second, 2*knockEvery + 100*time.Millisecond, true},
		{"never", time.Hour, false, time.Second, time.Second, false},
		{"refuses", 0, true, time.Second, 100 * time.Millisecond, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var open atomic.Int64
				conn := &Conn{cfg: ConnConfig{Dial: func(ctx context.Context, _ string) (net.Conn, error) {
					if time.Since(began) < c.healed {
						<-ctx.Done()
						return nil, context.Cause(ctx)
					}
					select {
					case <-time.After(100 * time.Millisecond): // a round trip
					case <-ctx.Done():
						return nil, context.Cause(ctx)
					}
					if c.refused {
						return nil, errors.New("refused")
					}
					open.Add(1)
					one, other := net.Pipe()
					go func() { // ends with the connection
						_, _ = other.Read(make([]byte, 1))
						open.Add(-1)
					}()
					return one, nil
				}}}
				ctx, cancel := context.WithTimeout(t.Context(), c.limit)
				defer cancel()
				got, err := conn.knock(ctx, "")
				if took := time.Since(began); (err == nil) != c.ok || took != c.want {
					t.Errorf("%v, %v after %v", got, err, took)
				}
				synctest.Wait()
				if n := open.Load(); err == nil && n != 1 || err != nil && n != 0 {
					t.Errorf("%d connections are open", n)
				}
				if got != nil {
					if err := got.Close(); err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
}
