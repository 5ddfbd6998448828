package transfer

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"consul.internal/catalog"
	"consul.internal/dnsserver/zone"
	"consul.internal/internal/fault"
	"consul.internal/view"
)

// Deps are what a Server works with.
type Deps struct {
	Logger *zap.Logger
	// Whole is the state as changes.
	Whole func() []catalog.Change
	// Ready waits until the state is known to be whole.
	Ready func(context.Context) error
	// Index is that of the last batch that questions are answered from. Apply is called
	// after it has grown, and the state has the batch before that.
	Index func() uint64
	// Guarded has the zone hold what may be seen alone (See), and nothing given away
	// before that is known.
	Guarded bool
	// Dial reaches a secondary over UDP, from an address or, if that is not valid, any;
	// nil is the network.
	Dial func(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error)
}

// Counts are what a Server has done since it was made.
type Counts struct {
	Full, Incremental uint64 // transfers that went through
	Refused           uint64 // askers that may not have the zone, or whose signature is wrong
	Broken            uint64 // transfers that did not go through
	Told, Untold      uint64 // NOTIFYs that were answered, and not
}

// Server gives the zone to secondaries.
type Server struct {
	deps   Deps
	limits limits
	turns  chan struct{} // held by transfers under way
	wake   chan struct{} // something is in the inbox
	count  struct{ full, incremental, refused, broken, told, untold atomic.Uint64 }
	log    refusals

	life context.Context
	end  context.CancelFunc

	change sync.Mutex // held by who opens, reloads or closes

	cfg atomic.Pointer[Config] // looked at for every question of the full path

	mu          sync.Mutex // guards what follows
	follows     *run       // nil: the zone is not given away
	in          inbox
	rights      *rights
	version     *version
	fresh       chan struct{} // closed by the next version
	secondaries []*secondary
	closed      bool
}

// run is the goroutines of one configuration.
type run struct {
	opt zone.Options
	end context.CancelFunc
	wg  sync.WaitGroup
}

// New returns a Server that does nothing until it is configured.
func New(deps Deps) (*Server, error) {
	if deps.Logger == nil || deps.Whole == nil || deps.Ready == nil || deps.Index == nil {
		return nil, fault.Newf(fault.Invalid, "zone transfers need a logger and a state")
	}
	if deps.Dial == nil {
		deps.Dial = dial
	}
	s := &Server{deps: deps, limits: defaultLimits(), wake: make(chan struct{}, 1), fresh: make(chan struct{})}
	s.turns = make(chan struct{}, s.limits.transfers)
	s.cfg.Store(new(Config))
	s.rights = newRights(view.Sight{}, nil)
	if deps.Guarded {
		s.rights.err = view.ErrNoSight
	}
	s.life, s.end = context.WithCancel(context.Background())
	return s, nil
}

// Configure takes a configuration, and the zone's rules; it is the first one, or
// replaces the one before. After an error nothing has changed.
func (s *Server) Configure(cfg Config, opt zone.Options) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	s.change.Lock()
	defer s.change.Unlock()
	s.mu.Lock()
	same := s.config().equal(&cfg) && (s.follows == nil || sameRules(s.follows.opt, opt))
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return fault.Newf(fault.Conflict, "zone transfers have been closed")
	}
	if same && (s.following() || !cfg.On()) {
		return nil
	}
	s.stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg.Store(&cfg)
	if !cfg.On() {
		return nil
	}
	ctx, cancel := context.WithCancel(s.life)
	r := &run{opt: opt, end: cancel}
	s.follows, s.in = r, inbox{whole: true}
	r.wg.Go(func() { s.follow(ctx, opt) })
	for _, to := range cfg.Notify {
		t := newSecondary(s, to, &cfg, opt)
		s.secondaries = append(s.secondaries, t)
		r.wg.Go(func() { t.run(ctx) })
	}
	return nil
}

func (s *Server) following() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.follows != nil
}

// stop ends what one configuration runs. The caller holds change.
func (s *Server) stop() {
	s.mu.Lock()
	r := s.follows
	s.follows, s.in, s.version, s.secondaries = nil, inbox{}, nil, nil
	s.mu.Unlock()
	if r != nil {
		r.end()
		r.wg.Wait()
	}
	s.mu.Lock() // what the goroutine published at its end
	s.version = nil
	s.mu.Unlock()
}

// Close ends all that the server runs. Transfers under way end with their
// connections.
func (s *Server) Close() error {
	s.change.Lock()
	defer s.change.Unlock()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.end()
	s.stop()
	return nil
}

// Counts returns what has been done.
func (s *Server) Counts() Counts {
	c := &s.count
	return Counts{c.full.Load(), c.incremental.Load(), c.refused.Load(), c.broken.Load(), c.told.Load(), c.untold.Load()}
}

// config returns the configuration, which never changes.
func (s *Server) config() *Config { return s.cfg.Load() }

// sameRules reports whether two zones of equal content have equal records.
func sameRules(a, b zone.Options) bool {
	return a.Domain == b.Domain && a.Datacenter == b.Datacenter && a.NodeTTL == b.NodeTTL && a.SOA == b.SOA &&
		a.OnlyPassing == b.OnlyPassing && maps.Equal(a.ServiceTTL, b.ServiceTTL)
}

// refusals writes at most one line in the log for each interval.
type refusals struct {
	mu     sync.Mutex
	last   time.Time
	hidden int
}

func (r *refusals) allowed(every time.Duration) (hidden int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if !r.last.IsZero() && now.Sub(r.last) < every {
		r.hidden++
		return 0, false
	}
	hidden, r.hidden, r.last = r.hidden, 0, now
	return hidden, true
}
