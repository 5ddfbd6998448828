package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"consul.internal/internal/fault"
	"consul.internal/internal/version"
	"consul.internal/rpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// Conn is one server as others reach it: connected at the first call, and again
// after a loss. It implements rpc.Caller and rpc.Streamer.
type Conn struct {
	cfg  ConnConfig
	cc   *grpc.ClientConn
	stop context.CancelFunc
	life context.Context // of the conn; pings end with it
	wg   sync.WaitGroup  // pings

	mu      sync.Mutex
	line    *line       // the present connection; nil before the first
	calls   int         // under way
	timer   *time.Timer // of the next look; nil = nobody looks
	missed  int         // intervals without a sign of life
	retired bool
	closed  bool
}

var _ interface {
	rpc.Caller
	rpc.Streamer
} = (*Conn)(nil)

// NewConn makes a way to a server. It does not connect yet.
func NewConn(cfg ConnConfig) (*Conn, error) {
	if cfg.Addr == "" || cfg.Dial == nil {
		return nil, errors.New("rpc/remote: a conn needs an address and a dialer")
	}
	encoding, err := newCodec()
	if err != nil {
		return nil, fmt.Errorf("rpc/remote: %w", err)
	}
	pauses := backoff.Config{BaseDelay: backoffBase, Multiplier: 1.6, Jitter: 0.2, MaxDelay: backoffMax}
	if cfg.Far {
		pauses.MaxDelay = backoffFar
	}
	c := &Conn{cfg: cfg}
	c.life, c.stop = context.WithCancel(context.Background())
	c.cc, err = grpc.NewClient("passthrough:///"+cfg.Addr,
		grpc.WithContextDialer(c.dial),
		grpc.WithTransportCredentials(insecure.NewCredentials()), // Dial brings its own
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
		grpc.WithIdleTimeout(idleTimeout),
		grpc.WithMaxHeaderListSize(maxTrailer),
		grpc.WithUserAgent("consul/"+version.Version),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: pauses, MinConnectTimeout: connectTimeout}),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(encoding), grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
	)
	if err != nil {
		c.stop()
		return nil, fmt.Errorf("rpc/remote: server %s: %w", cfg.Addr, err)
	}
	return c, nil
}

// Addr is where the Conn leads.
func (c *Conn) Addr() string { return c.cfg.Addr }

func (c *Conn) dial(ctx context.Context, addr string) (net.Conn, error) {
	dial := c.cfg.Dial
	if c.cfg.Far {
		dial = c.knock
	}
	raw, err := dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	l := &line{Conn: raw}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.line, c.missed = l, 0
	return l, nil
}

// Call performs an operation at the server, once. It implements rpc.Caller.
func (c *Conn) Call(ctx context.Context, method string, in, out any) error {
	c.begin()
	defer c.end()
	req, rep := &request{in: in}, &reply{out: out}
	err := c.cc.Invoke(outgoing(ctx), pathPrefix+method, req, rep)
	if err == nil && rep.err == nil {
		return nil
	}
	return c.explain(ctx, err, req, rep)
}

// explain gives the error of a call its kind.
func (c *Conn) explain(ctx context.Context, err error, req *request, rep *reply) error {
	switch {
	case req.err != nil:
		return fault.Newf(fault.Invalid, "request cannot be encoded: %w", req.err)
	case rep.err != nil:
		return fmt.Errorf("reply of server %s cannot be decoded: %w", c.cfg.Addr, rep.err)
	}
	if said := fromWire(err); said != nil {
		return said
	}
	if st := status.Convert(err); st.Code() == codes.ResourceExhausted && ctx.Err() == nil {
		return fault.Newf(fault.Invalid, "message is too large: %s", st.Message())
	}
	return lost(ctx, c.cfg.Addr, req.sent, err)
}

// Stream begins a conversation with the server. It implements rpc.Streamer.
func (c *Conn) Stream(ctx context.Context, name string) (rpc.Conversation, error) {
	c.begin()
	ctx, cancel := context.WithCancel(ctx)
	s, err := c.cc.NewStream(outgoing(ctx), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, pathPrefix+name)
	if err != nil {
		err = lost(ctx, c.cfg.Addr, false, err)
		cancel()
		c.end()
		return nil, err
	}
	return &talk{conn: c, stream: s, ctx: ctx, cancel: cancel, end: sync.OnceFunc(c.end)}, nil
}

// Ping asks the server for a sign of life.
func (c *Conn) Ping(ctx context.Context) error {
	return c.Call(ctx, pingMethod, &rpc.Empty{}, new(rpc.Empty))
}

// Retire closes the Conn as soon as no call is under way.
func (c *Conn) Retire() {
	c.mu.Lock()
	c.retired = true
	idle := c.calls == 0
	c.mu.Unlock()
	if idle {
		c.HangUp()
	}
}

// Close ends every call and conversation. More of them fail as Unavailable.
func (c *Conn) Close() error {
	c.HangUp()
	c.wg.Wait()
	return nil
}

// HangUp ends every call and conversation, and waits for nothing.
func (c *Conn) HangUp() {
	c.mu.Lock()
	already := c.closed
	c.closed = true
	if c.timer != nil && c.timer.Stop() {
		c.wg.Done()
	}
	c.mu.Unlock()
	if already {
		return
	}
	c.stop()
	_ = c.cc.Close() // fails only when it is closed already
}

// Closed reports whether the Conn was closed, or retired and its last call ended.
func (c *Conn) Closed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// talk is the calling side's end of a conversation.
type talk struct {
	conn   *Conn
	stream grpc.ClientStream
	ctx    context.Context
	cancel context.CancelFunc
	end    func()
}

func (t *talk) Send(v any) error {
	req := &request{in: v}
	err := t.stream.SendMsg(req)
	switch {
	case err == nil:
		return nil
	case req.err != nil:
		return fault.Newf(fault.Invalid, "request cannot be encoded: %w", req.err)
	case errors.Is(err, io.EOF): // Recv says why
		return fault.Newf(fault.Unavailable, "the conversation has ended")
	default:
		return t.explain(err, &reply{})
	}
}

func (t *talk) Recv(into any) error {
	rep := &reply{out: into}
	err := t.stream.RecvMsg(rep)
	if err == nil && rep.err == nil {
		return nil
	}
	if !errors.Is(err, io.EOF) {
		err = t.explain(err, rep)
	}
	_ = t.Close() // cannot fail
	return err
}

// explain gives an error its kind. Nothing in a conversation has an outcome that
// could be unknown, so its loss is Unavailable.
func (t *talk) explain(err error, rep *reply) error {
	err = t.conn.explain(t.ctx, err, &request{sent: true}, rep)
	if l, ok := errors.AsType[*LostError](err); ok {
		return fault.With(fault.Unavailable, l)
	}
	return err
}

func (t *talk) Close() error {
	t.cancel()
	t.end()
	return nil
}
