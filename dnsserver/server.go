package dnsserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/zap"

	"consul.internal/dnsserver/limit"
	"consul.internal/dnsserver/observe"
	"consul.internal/dnsserver/recurse"
	"consul.internal/dnsserver/transfer"
	"consul.internal/dnsserver/udp"
	"consul.internal/dnsserver/zone"
	"consul.internal/internal/door"
	"consul.internal/internal/fault"
	"consul.internal/internal/metrics"
)

// Deps are what the server uses and does not own.
type Deps struct {
	Source  zone.Source
	Logger  *zap.Logger
	Shuffle zone.Shuffle // nil is math/rand
	Execute zone.Execute // of prepared queries; nil is that there are none
	// Datacenters lists all that are known, the nearest first; nil is that there is
	// only the own one.
	Datacenters func() []string
	// Services lists those of the own datacenter (see zone.Options); nil is that they
	// are not told.
	Services func(context.Context) (names []string, stale bool, err error)
	// Near is zone.Options.Near, for Config.NearestFirst.
	Near func() func(node string) (distance float64, known bool)
	// Dial connects to recursors; nil is the network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Transfer gives the zone to secondaries, by the server's connections; nil is that
	// this agent does not have the zone whole. Whoever made it closes it.
	Transfer *transfer.Server
	// TLS is for Config.TLSAddrs; it may be nil where there are none.
	TLS *tls.Config
	// Identity and Version are what the server is called in dnstap.
	Identity, Version string
	// Metrics is where questions are timed and replies counted; nil is nowhere.
	Metrics *metrics.Registry
}

// Server is the DNS door of an agent.
type Server struct {
	deps Deps
	live atomic.Pointer[live]
	// recursor is asked for names outside the zone, if it has anybody to ask.
	recursor *recurse.Recursor
	count    counters
	timers   timers
	guards   guards
	fast     *fast        // nil: there is only the full path
	logged   atomic.Int64 // when a panic was last logged, in nanoseconds since 1970

	ctx    context.Context // of all queries
	cancel context.CancelCauseFunc
	queue  *limit.Queue[waiting] // UDP queries for the full path
	bufs   sync.Pool             // *[]byte of udpBuffer bytes

	mu       sync.RWMutex
	pairs    []*pair
	secure   []net.Listener // of DNS over TLS
	conns    map[net.Conn]struct{}
	closing  bool
	lastRead time.Time // when a closing server reads no more

	readers sync.WaitGroup // of UDP sockets and TCP listeners
	queries sync.WaitGroup // UDP queries and TCP connections
}

// live is the part of a server that a reload replaces.
type live struct {
	cfg    Config
	zone   *zone.Zone
	packed *packed // nil: nothing is answered on the fast path
	// observer is nil where nobody wants to see the questions, and before Open.
	observer *observe.Observer
}

// pair is one address: both transports.
type pair struct {
	addr netip.AddrPort
	udp  *udp.Socket
	tcp  net.Listener
}

// New returns a server that listens nowhere yet.
func New(cfg Config, deps Deps) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Source == nil || deps.Logger == nil {
		return nil, fault.Newf(fault.Invalid, "the DNS server needs a source and a logger")
	}
	recursor, err := recurse.New(cfg.Recursion, recurse.Deps{Logger: deps.Logger, Dial: deps.Dial})
	if err != nil {
		return nil, err
	}
	if len(cfg.TLSAddrs) > 0 && deps.TLS == nil {
		return nil, fault.Newf(fault.Invalid, "ports.dns_tls is open but there is no certificate for it")
	}
	s := &Server{
		deps:     deps,
		recursor: recursor,
		guards:   newGuards(),
		fast:     newFast(deps.Source),
		timers:   newTimers(deps.Metrics),
		queue:    limit.NewQueue[waiting](cfg.Limits.UDPInFlight),
		conns:    map[net.Conn]struct{}{},
	}
	s.bufs.New = func() any { b := make([]byte, udpBuffer); return &b }
	s.count.top = observe.NewTop()
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.live.Store(s.compile(cfg))
	s.publish(deps.Metrics)
	return s, nil
}

func (s *Server) compile(cfg Config) *live {
	opt := cfg.options()
	opt.Execute, opt.Datacenters, opt.Services = s.deps.Execute, s.deps.Datacenters, s.deps.Services
	if cfg.NearestFirst {
		opt.Near = s.deps.Near
	}
	shuffle := s.deps.Shuffle
	if shuffle == nil {
		shuffle = rand.Shuffle
	}
	return &live{cfg: cfg, zone: zone.New(opt, s.deps.Source, shuffle), packed: newPacked(s, &cfg, opt)}
}

// Open takes all addresses, then serves them, and returns. When one cannot be
// had, none is kept.
func (s *Server) Open(ctx context.Context) error {
	cfg := &s.live.Load().cfg
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || len(s.pairs) > 0 {
		return fault.Newf(fault.Conflict, "the DNS server has been opened before")
	}
	if err := configureTransfers(s, cfg); err != nil {
		return err
	}
	for _, addr := range cfg.Addrs {
		p, err := listen(ctx, addr, cfg.Addrs)
		if err != nil {
			for _, p := range s.pairs {
				_ = p.udp.Close() // the error that matters is err
				_ = p.tcp.Close()
			}
			s.pairs = nil
			return err
		}
		p.tcp = door.Limit(p.tcp, door.Limits{Total: cfg.Limits.TCPConns, PerAddress: cfg.Limits.TCPConnsPerAddr},
			func(netip.Addr) { s.count.refused.Add(1) })
		s.pairs = append(s.pairs, p)
	}
	observer, err := openObserver(s, cfg)
	if err == nil {
		err = openTLS(ctx, s, cfg)
	}
	if err != nil {
		_ = observer.Close() // the error that matters is err
		for _, p := range s.pairs {
			_ = p.udp.Close() // the error that matters is err
			_ = p.tcp.Close()
		}
		s.pairs = nil
		return err
	}
	live := *s.live.Load()
	live.observer = observer
	s.live.Store(&live)
	for _, p := range s.pairs {
		s.readers.Go(func() { s.serveUDP(p.udp) })
		s.readers.Go(func() { s.serveTCP(p.tcp) })
	}
	return nil
}

// Addrs returns the addresses being served, each over UDP and TCP.
func (s *Server) Addrs() []netip.AddrPort {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]netip.AddrPort, len(s.pairs))
	for i, p := range s.pairs {
		out[i] = p.addr
	}
	return out
}

// Reload replaces the configuration; queries under way keep the old one. What
// cannot change without a restart stays as it is, and the log names it. After an
// error nothing has changed, unless it is one of the zone's transfers or of closing
// the old log of questions: the rest is in force then.
func (s *Server) Reload(cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	old := &s.live.Load().cfg
	if err := old.fixed(&cfg); err != nil {
		s.deps.Logger.Warn("part of the new DNS configuration waits for a restart", zap.Error(err))
	}
	cfg.Addrs, cfg.TLSAddrs, cfg.Domain, cfg.AltDomain = old.Addrs, old.TLSAddrs, old.Domain, old.AltDomain
	cfg.Datacenter, cfg.Limits = old.Datacenter, old.Limits
	if err := checkRecursors(&cfg); err != nil {
		return err
	}
	was := s.live.Load().observer
	now := was
	if cfg.Observe != old.Observe && serving(s) {
		var err error
		if now, err = openObserver(s, &cfg); err != nil {
			return err
		}
	}
	if err := s.recursor.Reload(cfg.Recursion); err != nil {
		if now != was {
			err = errors.Join(err, now.Close())
		}
		return err
	}
	next := s.compile(cfg)
	next.observer = now
	s.live.Store(next)
	err := configureTransfers(s, &cfg)
	if now != was {
		err = errors.Join(err, was.Close())
	}
	return err
}

// serving reports whether the server answers.
func serving(s *Server) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.pairs) > 0 && !s.closing
}

// A closing server still reads until nothing has come for lingering, so that
// what had reached its sockets is answered, but no longer than maxLingering, so
// that a flood does not hold it up.
const (
	lingering    = 10 * time.Millisecond
	maxLingering = 100 * time.Millisecond
)

// linger moves the read deadline of a closing server's socket, if it may be moved.
func (s *Server) linger(c interface{ SetReadDeadline(time.Time) error }) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.extend(c)
}

// extend is linger for who holds the lock.
func (s *Server) extend(c interface{ SetReadDeadline(time.Time) error }) bool {
	now := time.Now()
	return now.Before(s.lastRead) && c.SetReadDeadline(now.Add(lingering)) == nil
}

var errClosing = errors.New("the DNS server is closing")

// Close stops taking queries, lets those that have arrived be answered, for the
// drain timeout at most, and returns when nothing of the server runs any more.
func (s *Server) Close() error {
	s.mu.Lock()
	first := !s.closing
	s.closing = true
	if first {
		now := time.Now()
		s.lastRead = now.Add(maxLingering)
		for _, p := range s.pairs {
			_ = p.tcp.Close() // takes no more connections; those there are stay
			_ = p.udp.SetReadDeadline(now)
		}
		for _, l := range s.secure {
			_ = l.Close()
		}
		for c := range s.conns {
			_ = s.extend(c)
		}
	}
	s.mu.Unlock()

	done := make(chan struct{})
	var waiting sync.WaitGroup
	defer waiting.Wait()
	waiting.Go(func() {
		s.readers.Wait()
		s.queue.Close()
		s.queries.Wait()
		close(done)
	})
	timer := time.NewTimer(s.live.Load().cfg.Limits.DrainTimeout)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		s.cancel(errClosing)
		s.mu.Lock()
		for c := range s.conns {
			_ = c.Close() // its goroutine ends at once
		}
		s.mu.Unlock()
		<-done
	}
	s.cancel(errClosing)
	err := s.recursor.Close()
	if !first {
		return nil
	}
	errs := []error{err, s.live.Load().observer.Close()}
	for _, p := range s.pairs {
		errs = append(errs, p.udp.Close())
	}
	return errors.Join(errs...)
}

// bindTries is how often a free port is looked for that both transports can have.
const bindTries = 10

// listen takes an address over UDP and TCP.
func listen(ctx context.Context, addr string, all []string) (*pair, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fault.With(fault.Invalid, fmt.Errorf("addresses.dns: %w", err))
	}
	suffix := family(host, all)
	var lc net.ListenConfig
	for try := 1; ; try++ {
		tcp, err := lc.Listen(ctx, "tcp"+suffix, addr)
		if err != nil {
			return nil, bindError("TCP", addr, err)
		}
		bound := tcp.Addr().(*net.TCPAddr).AddrPort()
		c, err := lc.ListenPacket(ctx, "udp"+suffix, net.JoinHostPort(host, strconv.Itoa(int(bound.Port()))))
		if err == nil {
			u := c.(*net.UDPConn)
			_ = u.SetReadBuffer(udpQueue) // as much as the system allows
			// Each that stands apart from the runtime's poller takes a processor while it is busy.
			sock, err := udp.Take(u, len(all) < runtime.GOMAXPROCS(0))
			if err != nil {
				_ = tcp.Close() // the error that matters is err
				return nil, bindError("UDP", addr, err)
			}
			return &pair{addr: bound, udp: sock, tcp: tcp}, nil
		}
		_ = tcp.Close() // the error that matters is err
		if port != "0" || try == bindTries || !errors.Is(err, syscall.EADDRINUSE) {
			return nil, bindError("UDP", addr, err)
		}
	}
}

// family is the suffix of the network's name: IPv6 alone, unless the address
// for all of IPv6 is to serve IPv4 as well because nothing else does.
func family(host string, all []string) string {
	ip, err := netip.ParseAddr(host)
	if err != nil || ip.Is4() {
		return "4"
	}
	if !ip.IsUnspecified() {
		return "6"
	}
	for _, a := range all {
		if ap, err := netip.ParseAddrPort(a); err == nil && ap.Addr().Is4() {
			return "6"
		}
	}
	return ""
}

// bindError says what a person can do about an address that cannot be had.
func bindError(transport, addr string, err error) error {
	hint, kind := "", fault.Unavailable
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		hint, kind = ": another process has it; stop that one, or choose another with ports.dns or addresses.dns", fault.Conflict
	case errors.Is(err, syscall.EACCES):
		hint, kind = ": ports below 1024 need the capability CAP_NET_BIND_SERVICE, or choose another with ports.dns", fault.Denied
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		hint, kind = ": no interface of this machine has the address; see addresses.dns and client_addr", fault.Invalid
	}
	return fault.With(kind, fmt.Errorf("cannot serve DNS on %s over %s (ports.dns, addresses.dns): %w%s", addr, transport, err, hint))
}
