package remote

import (
	"io"
	"sync"

	"google.golang.org/grpc"
)

// serving is the serving side's end of a conversation. gRPC lets nobody out of a
// receive before the handler has returned, so that a goroutine of its own waits
// there, and ends when the handler has.
type serving struct {
	grpc.ServerStream
	wg     *sync.WaitGroup // of the server
	asks   chan any        // where the next message goes
	got    chan error
	start  sync.Once
	end    sync.Once
	closed chan struct{}
}

// Send hands v over.
func (c *serving) Send(v any) error {
	select {
	case <-c.closed:
		return io.EOF
	default:
		return send(c.ServerStream, v)
	}
}

// Recv waits for the next message, or for Close.
func (c *serving) Recv(into any) error {
	c.start.Do(func() { c.wg.Go(c.receive) })
	select {
	case c.asks <- into:
	case <-c.closed:
		return io.EOF
	}
	select {
	case err := <-c.got:
		return err
	case <-c.closed:
		return io.EOF
	}
}

func (c *serving) receive() {
	for {
		select {
		case into := <-c.asks:
			err := receive(c.ServerStream, &reply{out: into})
			select {
			case c.got <- err:
			case <-c.closed:
				return
			}
		case <-c.closed:
			return
		}
	}
}

// Close ends Recv; the conversation ends when its handler returns.
func (c *serving) Close() error {
	c.end.Do(func() { close(c.closed) })
	return nil
}
