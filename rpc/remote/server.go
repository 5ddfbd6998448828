package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"strings"
	"sync"

	"consul.internal/internal/fault"
	"consul.internal/rpc"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// pathPrefix stands before a method's name in HTTP/2.
const pathPrefix = "/consul/"

// pingMethod is answered by every Server itself.
const pingMethod = "Status.Ping"

// Server takes calls and conversations from a listener to a Handler.
type Server struct {
	deps ServerDeps
	grpc *grpc.Server
	wg   sync.WaitGroup
	once sync.Once
}

// NewServer makes a server. Open starts it.
func NewServer(deps ServerDeps) (*Server, error) {
	if deps.Handler == nil || deps.Logger == nil {
		return nil, errors.New("rpc/remote: a server needs a handler and a logger")
	}
	if deps.Contract == nil {
		deps.Contract = rpc.All()
	}
	c, err := newCodec()
	if err != nil {
		return nil, fmt.Errorf("rpc/remote: %w", err)
	}
	s := &Server{deps: deps}
	s.grpc = grpc.NewServer(
		grpc.ForceServerCodecV2(c),
		grpc.UnknownServiceHandler(s.handle),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxSendMsgSize(maxMessage),
		grpc.MaxHeaderListSize(maxHeader),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveMin, PermitWithoutStream: true}),
		grpc.WaitForHandlers(true),
	)
	return s, nil
}

// Open begins to take connections from l, which Close closes.
func (s *Server) Open(_ context.Context, l net.Listener) error {
	s.wg.Go(func() {
		if err := s.grpc.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			s.deps.Logger.Error("the RPC listener failed; other agents cannot call this server until it is restarted", zap.Error(err))
		}
	})
	return nil
}

// Close ends every call and conversation, and waits for their handlers.
func (s *Server) Close() error {
	s.once.Do(s.grpc.Stop)
	s.wg.Wait()
	return nil
}

// handle performs one call or holds one conversation.
func (s *Server) handle(_ any, ss grpc.ServerStream) (err error) {
	path, _ := grpc.MethodFromServerStream(ss)
	name, ours := strings.CutPrefix(path, pathPrefix)
	defer func() {
		if p := recover(); p != nil {
			s.deps.Logger.Error("an operation failed badly; this is a bug",
				zap.String("operation", name), zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
			err = errors.New("the operation failed inside the server; its log says more")
		}
		if err != nil {
			err = toWire(err)
		}
	}()
	if !ours {
		return fault.Newf(fault.NotFound, "unknown operation %q", path)
	}
	ctx := incoming(ss.Context())
	if op, ok := s.deps.Contract[name]; ok {
		return s.call(ctx, ss, op)
	}
	if name == pingMethod {
		return ping(ss)
	}
	c := &serving{ServerStream: ss, wg: &s.wg, asks: make(chan any), got: make(chan error), closed: make(chan struct{})}
	defer func() { _ = c.Close() }() // has no errors
	return s.deps.Handler.Converse(ctx, name, c)
}

func (s *Server) call(ctx context.Context, ss grpc.ServerStream, op rpc.Operation) error {
	in, out := &reply{out: op.NewIn()}, op.NewOut()
	if err := receive(ss, in); err != nil {
		return err
	}
	if err := s.deps.Handler.Call(ctx, op.Name, in.out, out); err != nil {
		return err
	}
	return send(ss, out)
}

func ping(ss grpc.ServerStream) error {
	if err := receive(ss, &reply{out: new(rpc.Empty)}); err != nil {
		return err
	}
	return send(ss, &rpc.Empty{})
}

// receive takes the next message. A message at fault is Invalid.
func receive(ss grpc.ServerStream, into *reply) error {
	err := ss.RecvMsg(into)
	switch {
	case err == nil && into.err == nil:
		return nil
	case into.err != nil:
		return fault.Newf(fault.Invalid, "request cannot be decoded: %w", into.err)
	case errors.Is(err, io.EOF):
		return io.EOF
	case ss.Context().Err() != nil:
		return fault.With(fault.Unavailable, context.Cause(ss.Context()))
	default:
		return fault.Newf(fault.Invalid, "request cannot be read: %w", err)
	}
}

// send hands a message over. One that cannot be encoded or is too large is told
// to the other side as Invalid.
func send(ss grpc.ServerStream, v any) error {
	msg := &request{in: v}
	err := ss.SendMsg(msg)
	switch {
	case err == nil:
		return nil
	case msg.err != nil:
		return fmt.Errorf("reply cannot be encoded: %w", msg.err)
	case ss.Context().Err() != nil:
		return fault.With(fault.Unavailable, context.Cause(ss.Context()))
	default:
		return fault.Newf(fault.Invalid, "reply cannot be sent: %w", err)
	}
}
