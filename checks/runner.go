package checks

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"consul.internal/catalog"
)

// probe looks once at what a check watches. It returns when ctx ends, at the latest.
type probe func(ctx context.Context) (catalog.Status, string)

// Runner runs checks. An idle check costs a timer and no goroutine, except for
// an alias, which waits for news.
type Runner struct {
	cfg     Config
	deps    Deps
	clients *httpClients
	probes  chan struct{} // one place for each network probe under way
	scripts chan struct{} // one place for each script under way

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	closed bool
	checks map[string]*check
}

// ErrClosed is returned by a Runner that has been closed.
var ErrClosed = errors.New("the check runner is closed")

// New makes a Runner; nothing runs before Add.
func New(cfg Config, deps Deps) (*Runner, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Sink == nil {
		return nil, errors.New("checks: no sink given")
	}
	cfg, deps = cfg.withDefaults(), deps.withDefaults()
	ctx, cancel := context.WithCancel(context.Background())
	return &Runner{
		cfg: cfg, deps: deps, clients: newHTTPClients(deps.TLS),
		probes: make(chan struct{}, cfg.MaxProbes), scripts: make(chan struct{}, cfg.MaxScripts),
		ctx: ctx, cancel: cancel, checks: make(map[string]*check),
	}, nil
}

// check is one check under the Runner's care.
type check struct {
	id       string
	def      *Definition
	kind     Kind
	interval time.Duration
	timeout  time.Duration
	maxSize  int
	probe    probe
	slots    chan struct{}
	ctx      context.Context
	cancel   context.CancelFunc

	// mu orders reports against removal: after Remove there are none.
	mu       sync.Mutex
	gone     bool
	timer    *time.Timer
	deadline time.Time // TTL: when it expires
	output   string    // TTL: the last output
	counts   threshold
}

// Add starts a check; one with the same id is replaced. ttlLeft is how long a
// TTL check that is known from before may still stay as it is; 0 = its whole
// TTL. The definition must be valid and is not changed afterwards.
func (r *Runner) Add(id string, d *Definition, ttlLeft time.Duration) error {
	if err := r.cfg.Systemd.Supports(d); err != nil {
		return err
	}
	c := &check{id: id, def: d, kind: d.Kind(), maxSize: r.maxSize(d), slots: r.probes}
	if err := r.prepare(c); err != nil {
		return err
	}
	return r.start(c, ttlLeft)
}

// start sets the timer of a prepared check.
func (r *Runner) start(c *check, ttlLeft time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	if old := r.checks[c.id]; old != nil {
		old.stop()
	}
	c.ctx, c.cancel = context.WithCancel(r.ctx)
	r.checks[c.id] = c
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.kind {
	case KindTTL:
		if ttlLeft <= 0 || ttlLeft > c.def.TTL {
			ttlLeft = c.def.TTL
		}
		c.deadline = time.Now().Add(ttlLeft)
		c.timer = time.AfterFunc(ttlLeft, func() { r.guarded(c, r.expire) })
	case KindAlias:
		r.wg.Go(func() { r.follow(c) })
	default:
		// The first probes are spread, so that a restart with a thousand
		// checks does not run them all in the same moment, now and ever after.
		first := time.Duration(r.deps.Rand(int64(c.interval)))
		c.timer = time.AfterFunc(first, func() { r.guarded(c, r.run) })
	}
	return nil
}

// prepare fills in the probe and the times of a check.
func (r *Runner) prepare(c *check) error {
	d := c.def
	c.timeout = d.Timeout
	if c.timeout <= 0 {
		c.timeout = DefaultTimeout
		if c.kind == KindScript || c.kind == KindDocker {
			c.timeout = DefaultScriptTimeout
		}
	}
	c.interval = d.Interval
	if c.kind != KindTTL && c.kind != KindAlias && c.interval < MinInterval {
		r.deps.Logger.Warn("check has interval below minimum", zap.String("check", c.id),
			zap.Duration("interval", c.interval), zap.Duration("minimum_interval", MinInterval))
		c.interval = MinInterval
	}
	switch c.kind {
	case KindTTL:
	case KindAlias:
		if r.deps.Follow == nil {
			return errors.New("this runner cannot follow other checks")
		}
	case KindHTTP:
		c.probe = httpProbe(d, r.clients.get(d), c.maxSize)
	case KindTCP:
		c.probe = tcpProbe(d, r.deps.TLS)
	case KindUDP:
		c.probe = udpProbe(d)
	case KindGRPC:
		c.probe = grpcProbe(d, r.deps.TLS)
	case KindH2PING:
		c.probe = h2pingProbe(d, r.deps.TLS)
	case KindScript:
		c.probe, c.slots = scriptProbe(d, c.timeout, c.maxSize), r.scripts
	case KindDocker:
		c.probe, c.slots = dockerProbe(d, r.cfg.Docker, c.timeout, c.maxSize), r.scripts
	case KindOSService:
		c.probe, c.slots = osServiceProbe(d, r.cfg.Systemd), r.scripts
	default:
		return fmt.Errorf("a check of the kind %q cannot be run", string(c.kind))
	}
	return nil
}

func (r *Runner) maxSize(d *Definition) int {
	if d.OutputMaxSize > 0 && d.OutputMaxSize < r.cfg.OutputMaxSize {
		return d.OutputMaxSize
	}
	return r.cfg.OutputMaxSize
}

// Remove ends a check. When it returns, no further result of the check reaches
// the sink; a probe that is under way is cut off.
func (r *Runner) Remove(id string) {
	r.mu.Lock()
	c := r.checks[id]
	delete(r.checks, id)
	r.mu.Unlock()
	if c != nil {
		c.stop()
	}
}

// Close ends all checks and waits for what is under way. It can be called again.
func (r *Runner) Close() error {
	r.mu.Lock()
	r.closed = true
	all := r.checks
	r.checks = make(map[string]*check)
	r.mu.Unlock()
	r.cancel()
	for _, c := range all {
		c.stop()
	}
	r.wg.Wait()
	return nil
}

func (c *check) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = true
	c.cancel()
	if c.timer != nil {
		c.timer.Stop()
	}
}

// guarded runs f for a timer that fired, unless the check or the runner has
// ended; Close waits for f.
func (r *Runner) guarded(c *check, f func(*check)) {
	r.mu.Lock()
	if r.closed || r.checks[c.id] != c {
		r.mu.Unlock()
		return
	}
	r.wg.Add(1)
	r.mu.Unlock()
	defer r.wg.Done()
	f(c)
}

// run makes one probe and sets the timer for the next.
func (r *Runner) run(c *check) {
	select {
	case c.slots <- struct{}{}:
	case <-c.ctx.Done():
		return
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.timeout)
	status, output := c.probe(ctx)
	cancel()
	<-c.slots

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return
	}
	if status, ok := c.counts.apply(c.def, status); ok {
		r.deps.Sink.UpdateCheck(c.id, status, Clean(output, c.maxSize))
	}
	c.timer.Reset(c.interval)
}

// report passes a result on, unless the check has been removed.
func (r *Runner) report(c *check, status catalog.Status, output string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.gone {
		r.deps.Sink.UpdateCheck(c.id, status, Clean(output, c.maxSize))
	}
}
