package remote_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"consul.internal/internal/fault"
	"consul.internal/internal/memnet"
	"consul.internal/rpc"
	"consul.internal/rpc/remote"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// thing is a request and reply with all that messages are made of.
type thing struct {
	Text    string
	Bytes   []byte
	List    []string
	Map     map[string]string
	Free    map[string]any
	When    time.Time
	For     time.Duration
	Pointer *thing
}

var (
	echo  = rpc.Method[thing, thing]{Name: "Test.Echo", Idempotent: true}
	fail  = rpc.Method[thing, rpc.Empty]{Name: "Test.Fail"}
	hang  = rpc.Method[thing, rpc.Empty]{Name: "Test.Hang", Idempotent: true}
	crash = rpc.Method[thing, rpc.Empty]{Name: "Test.Crash"}
	hops  = rpc.Method[thing, thing]{Name: "Test.Hops"}
	large = rpc.Method[thing, thing]{Name: "Test.Large"}
	talks = rpc.Stream[thing, thing]{Name: "Test.Talk"}
)

func contract() rpc.Contract {
	c := rpc.All()
	for _, op := range []rpc.Operation{echo.Operation(), fail.Operation(), hang.Operation(), crash.Operation(), hops.Operation(), large.Operation()} {
		c.Add(op)
	}
	return c
}

// handler performs the methods of the tests.
type handler struct {
	failWith error
	calls    atomic.Int64
	ended    chan error // why a hanging call ended
}

func (h *handler) Call(ctx context.Context, method string, in, out any) error {
	h.calls.Add(1)
	switch method {
	case echo.Name:
		*out.(*thing) = *in.(*thing)
	case fail.Name:
		return h.failWith
	case hang.Name:
		<-ctx.Done()
		h.ended <- context.Cause(ctx)
		return ctx.Err()
	case crash.Name:
		panic("on purpose")
	case hops.Name:
		out.(*thing).For = time.Duration(remote.Hop(ctx))
	case large.Name:
		out.(*thing).Bytes = make([]byte, 9<<20)
	default:
		return fault.Newf(fault.NotFound, "unknown operation %q", method)
	}
	return nil
}

func (h *handler) Converse(_ context.Context, name string, c rpc.Conversation) error {
	if name != talks.Name {
		return fault.Newf(fault.NotFound, "unknown stream %q", name)
	}
	t := rpc.Serving(talks, c)
	for {
		in, err := t.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch in.Text {
		case "end":
			return nil
		case "fail":
			return fault.Newf(fault.Denied, "no more of this")
		case "flood":
			for range 1000 {
				if err := t.Send(in); err != nil {
					return err
				}
			}
		}
		if err := t.Send(in); err != nil {
			return err
		}
	}
}

const serverAddr = "10.0.0.1:8300"

// pair is a server and a conn to it.
type pair struct {
	net     *memnet.Net
	handler *handler
	server  *remote.Server
	conn    *remote.Conn
}

func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{net: memnet.New(1), handler: &handler{ended: make(chan error, 100)}}
	var err error
	if p.server, err = remote.NewServer(remote.ServerDeps{Handler: p.handler, Contract: contract(), Logger: zaptest.NewLogger(t)}); err != nil {
		t.Fatal(err)
	}
	l, err := p.net.Host("10.0.0.1").Listen(t.Context(), serverAddr)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.server.Open(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	p.conn = connect(t, func(ctx context.Context, addr string) (net.Conn, error) {
		return p.net.Host("10.0.0.2").Dial(ctx, addr)
	})
	return p
}

// close ends both; to be called before a bubble ends.
func (p *pair) close(t *testing.T) {
	t.Helper()
	if err := errors.Join(p.conn.Close(), p.server.Close()); err != nil {
		t.Error(err)
	}
	p.net.Close()
}

func connect(t *testing.T, dial func(context.Context, string) (net.Conn, error)) *remote.Conn {
	t.Helper()
	c, err := remote.NewConn(remote.ConnConfig{Addr: serverAddr, Dial: dial})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func memnetDelay(d time.Duration) memnet.Rule { return memnet.Rule{Delay: d} }
