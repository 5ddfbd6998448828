package federation_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"consul.internal/federation"
	"consul.internal/internal/fault"
	"consul.internal/internal/memnet"
	"consul.internal/rpc"
	"consul.internal/rpc/remote"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type (
	query struct {
		rpc.ReadOptions
		Key string
	}
	answer struct {
		rpc.ReadMeta
		By string // who performed it
	}
	change struct{ Key string }
)

var (
	get  = rpc.Method[query, answer]{Name: "Test.Get", Idempotent: true}
	put  = rpc.Method[change, answer]{Name: "Test.Put", Idempotent: true}
	add  = rpc.Method[change, answer]{Name: "Test.Add"} // not idempotent
	chat = rpc.Stream[change, answer]{Name: "Test.Chat"}
)

func contract() rpc.Contract {
	c := rpc.All()
	c.Add(get.Operation())
	c.Add(put.Operation())
	c.Add(add.Operation())
	return c
}

const hold = 7 * time.Second

// server is a server whose view of who leads is set by hand.
type server struct {
	id     string
	host   *memnet.Host
	router *federation.Router
	remote *remote.Server

	leader atomic.Pointer[string]
	calls  atomic.Int64 // all that reached it
	done   atomic.Int64 // changes performed
	frozen atomic.Bool  // it takes calls and performs them, but never answers
}

func (s *server) LeaderID() string { return *s.leader.Load() }
func (s *server) follow(id string) { s.leader.Store(&id) }

// Call performs the methods of the tests as a real server would.
func (s *server) Call(ctx context.Context, method string, in, out any) error {
	s.calls.Add(1)
	if read := rpc.ReadOf(in); read == nil || read.Consistency != rpc.Stale {
		switch s.LeaderID() {
		case s.id:
		case "":
			return fault.Newf(fault.NoLeader, "No cluster leader")
		default:
			return fault.Newf(fault.NotLeader, "this server is not the leader")
		}
	}
	switch in := in.(type) {
	case *query:
		if in.Key == "bad" {
			return fault.Newf(fault.Invalid, "no such key")
		}
		if in.MinIndex > 0 {
			select {
			case <-ctx.Done():
				return fault.With(fault.Unavailable, context.Cause(ctx))
			case <-time.After(in.MaxWait):
			}
			out.(*answer).NotModified = true
		}
	case *change:
		s.done.Add(1)
	default:
		return fault.Newf(fault.NotFound, "unknown operation %q", method)
	}
	if s.frozen.Load() {
		<-ctx.Done()
		return fault.With(fault.Unknown, context.Cause(ctx))
	}
	out.(*answer).By = s.id
	return nil
}

func (s *server) Converse(_ context.Context, name string, c rpc.Conversation) error {
	if name != chat.Name {
		return fault.Newf(fault.NotFound, "unknown stream %q", name)
	}
	talk := rpc.Serving(chat, c)
	for {
		if _, err := talk.Recv(); err != nil {
			return err
		}
		if err := talk.Send(&answer{By: s.id}); err != nil {
			return err
		}
	}
}

// cluster is some servers and a client.
type cluster struct {
	net     *memnet.Net
	servers []*server
	client  *federation.Router
	log     *zap.Logger
}

func addr(i int) string { return fmt.Sprintf("10.0.0.%d", i+1) }

const clientAddr = "10.0.1.1"

// newCluster makes n servers, of which the first leads, and a client.
func newCluster(t *testing.T, n int) *cluster {
	t.Helper()
	c := &cluster{net: memnet.New(1), log: zaptest.NewLogger(t)}
	var list []federation.Server
	for i := range n {
		s := &server{id: fmt.Sprintf("id-%d", i), host: c.net.Host(addr(i))}
		s.follow("id-0")
		list = append(list, federation.Server{ID: s.id, Name: fmt.Sprintf("s%d", i), Addr: addr(i) + ":8300", Datacenter: "dc1"})
		s.router = c.router(t, s.id, s.host, s)
		c.open(t, s)
		c.servers = append(c.servers, s)
	}
	c.client = c.router(t, "id-client", c.net.Host(clientAddr), nil)
	for _, s := range c.servers {
		s.router.SetServers(list)
	}
	c.client.SetServers(list)
	return c
}

func (c *cluster) router(t *testing.T, id string, host *memnet.Host, local federation.Local) *federation.Router {
	t.Helper()
	r, err := federation.New(federation.Config{Datacenter: "dc1", NodeID: id, HoldTimeout: hold}, federation.Deps{
		Local: local, Contract: contract(), Logger: c.log, ClusterSize: func() int { return 10 },
		Dial: func(ctx context.Context, s federation.Server) (net.Conn, error) { return host.Dial(ctx, s.Addr) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// open opens the calls of a server.
func (c *cluster) open(t *testing.T, s *server) {
	t.Helper()
	var err error
	if s.remote, err = remote.NewServer(remote.ServerDeps{Handler: s.router.Relay(), Contract: contract(), Logger: c.log}); err != nil {
		t.Fatal(err)
	}
	l, err := s.host.Listen(t.Context(), s.host.Addr().String()+":8300")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.remote.Open(t.Context(), l); err != nil {
		t.Fatal(err)
	}
}

// openIn opens the calls of a server that others ask for other datacenters too.
func (c *cluster) openIn(t *testing.T, s *server) {
	t.Helper()
	var err error
	if s.remote, err = remote.NewServer(remote.ServerDeps{Handler: s.router.Relay(), Contract: farContract(), Logger: c.log}); err != nil {
		t.Fatal(err)
	}
	l, err := s.host.Listen(t.Context(), s.host.Addr().String()+":8300")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.remote.Open(t.Context(), l); err != nil {
		t.Fatal(err)
	}
}

// elect makes all living servers follow one.
func (c *cluster) elect(id string) {
	for _, s := range c.servers {
		s.follow(id)
	}
}

// close ends everything; to be called before a bubble ends.
func (c *cluster) close(t *testing.T) {
	t.Helper()
	errs := []error{c.client.Close()}
	for _, s := range c.servers {
		errs = append(errs, s.router.Close(), s.remote.Close())
	}
	c.net.Close()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}
