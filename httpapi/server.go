package httpapi

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"consul.internal/agent"
	"consul.internal/agent/tokens"
	"consul.internal/httpapi/edge"
	"consul.internal/httpapi/guard"
	"consul.internal/httpapi/keys"
	"consul.internal/httpapi/names"
	"consul.internal/internal/audit"
	"consul.internal/internal/door"
	"consul.internal/internal/logx"
	"consul.internal/internal/metrics"
	"consul.internal/rpc"
	"go.uber.org/zap"
)

// Deps are what the edge stands on.
type Deps struct {
	Caller  rpc.Caller
	Local   *agent.Local
	Process Process
	Pool    Pool
	Log     *zap.Logger
	Metrics *metrics.Registry // nil = nothing is counted
	Monitor Monitor           // nil = the log cannot be followed
	// Audit writes down who did what; nil = nobody does.
	Audit *audit.Log
	// TLS is for SecureAddrs; it may be nil where there are none.
	TLS *tls.Config
	// Guard knows who bears a token; nil = there is no access control.
	Guard edge.Guard
	// Tokens are those that this agent has for itself; nil = it has none.
	Tokens *tokens.Store
	// Snapshots saves and restores the servers' state; nil = it cannot be.
	Snapshots Snapshots
	// Events that this agent has seen; nil = it sees none.
	Events keys.Events
	// DNS answers questions over HTTPS and explains answers; nil = it is off.
	DNS names.Server
}

// Server is the HTTP door of an agent.
type Server struct {
	*edge.Base
	cfg   atomic.Pointer[Config]
	deps  Deps
	log   *zap.Logger
	http  []*http.Server
	wg    sync.WaitGroup
	addrs []net.Addr
	// closing ends when the door closes.
	closing  context.Context
	cancel   context.CancelFunc
	refusals pace
	parting  parting
	fresh    freshConns
	links    links
	door     *door.Door
	bodies   bodies
	headers  guard.Headers
	zips     sync.Pool // *gzip.Writer
}

// pace lets something happen once in a while: a stranger must not fill the log.
type pace struct{ last atomic.Int64 }

// refusalPause is how often refused connections are told of.
const refusalPause = 10 * time.Second

func (p *pace) due(now time.Time) bool {
	last := p.last.Load()
	return now.UnixNano()-last >= int64(refusalPause) && p.last.CompareAndSwap(last, now.UnixNano())
}

// errClosing ends blocking queries when the door closes.
var errClosing = errors.New("the agent is shutting down")

// New makes a server; Open starts it.
func New(cfg Config, deps Deps) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{deps: deps, log: deps.Log}
	s.Base = &edge.Base{Caller: deps.Caller, Guard: deps.Guard, Settings: func() edge.Settings { return s.config().Settings }}
	s.closing, s.cancel = context.WithCancel(context.Background())
	s.cfg.Store(&cfg)
	s.door = door.New(doorLimits(&cfg), s.refuse)
	return s, nil
}

// Open listens on every address or on none.
func (s *Server) Open(ctx context.Context) error {
	cfg := s.config()
	listeners, err := listen(ctx, cfg)
	if err != nil {
		for _, open := range listeners {
			err = errors.Join(err, open.Close())
		}
		return fmt.Errorf("cannot open the HTTP port (ports.http, addresses.http, client_addr): %w", err)
	}
	for _, l := range listeners {
		s.addrs = append(s.addrs, l.Addr())
	}
	handler := s.Handler()
	plain, secure := s.newHTTP(ctx, handler, headerTimeout), s.newHTTP(ctx, handler, cmp.Or(cfg.HandshakeTimeout, headerTimeout))
	s.http = []*http.Server{plain, secure}
	for i, l := range listeners {
		on := plain
		limited := s.door.Listen(l)
		if i >= len(listeners)-len(cfg.SecureAddrs) {
			on, limited = secure, tls.NewListener(limited, s.deps.TLS)
		}
		s.wg.Go(func() {
			if err := on.Serve(limited); !errors.Is(err, http.ErrServerClosed) {
				s.log.Error("HTTP door failed", zap.Error(err))
			}
		})
	}
	return nil
}

// newHTTP makes a server for one kind of door. begin is the longest that a client
// may take until its first header is there, a TLS handshake included.
func (s *Server) newHTTP(ctx context.Context, handler http.Handler, begin time.Duration) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: begin,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    cmp.Or(s.config().MaxHeaderBytes, maxHeader),
		ErrorLog:          log.New(door.Sparse(logx.Std(s.log).Writer(), door.NewRate(strangersLines, strangersBurst)), "", 0),
		ConnState:         s.track,
		ConnContext:       s.withConn,
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
}

// track is told how connections are doing.
func (s *Server) track(c net.Conn, state http.ConnState) {
	s.fresh.track(c, state)
	s.links.track(c, state)
	if state == http.StateIdle {
		door.Of(c).Idle()
	}
}

// listen opens what the configuration names, up to the first that cannot be.
func listen(ctx context.Context, cfg *Config) (listeners []net.Listener, err error) {
	for _, addr := range cfg.Addrs {
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", addr)
		if err != nil {
			return listeners, err
		}
		listeners = append(listeners, l)
	}
	for _, socket := range cfg.Sockets {
		l, err := socket.listen(ctx)
		if err != nil {
			return listeners, err
		}
		listeners = append(listeners, l)
	}
	for _, addr := range cfg.SecureAddrs {
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", addr)
		if err != nil {
			return listeners, err
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

// Addrs are the addresses that the server listens on.
func (s *Server) Addrs() []net.Addr { return slices.Clone(s.addrs) }

// Reload takes over what may change while the server runs. What its routes are made
// of, and whether access is controlled, stays as it was at the start.
func (s *Server) Reload(cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	start := s.config()
	cfg.UI, cfg.Pages, cfg.Metrics, cfg.EnableDebug = start.UI, start.Pages, start.Metrics, start.EnableDebug
	cfg.ACLs, cfg.ACLDefaultPolicy, cfg.ACLDownPolicy = start.ACLs, start.ACLDefaultPolicy, start.ACLDownPolicy
	s.cfg.Store(&cfg)
	s.door.SetLimits(doorLimits(&cfg))
	return nil
}

// Close ends blocking queries, lets other requests in flight finish until ctx
// ends, and closes every connection.
func (s *Server) Close(ctx context.Context) error {
	if s.http == nil {
		return nil
	}
	s.cancel()
	s.links.close()
	s.fresh.close()
	var errs []error
	for _, one := range s.http {
		err := one.Shutdown(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			s.log.Warn("some requests took too long and were cut off")
			err = one.Close()
		}
		errs = append(errs, err)
	}
	s.wg.Wait()
	return errors.Join(errs...)
}

func (s *Server) config() *Config { return s.cfg.Load() }
