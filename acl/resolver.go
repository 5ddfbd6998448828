package acl

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"consul.internal/internal/fault"
)

const (
	// maxRemembered bounds the tokens that a Resolver remembers, and apart from them
	// the secrets that are none; far more than one agent's clients use.
	maxRemembered = 4096
	// askTimeout bounds one question to the servers: longer than an election takes.
	askTimeout = 10 * time.Second
	// unknownTTL is how long a secret that is none is remembered, at most: a token
	// that has just been made soon works everywhere.
	unknownTTL = time.Second
	// downPause is how long what is known holds after nobody could be asked: an agent
	// that is cut off makes few requests slow, and is soon right again.
	downPause = 2 * time.Second
)

// The down policies: what holds while nobody can say what a token may do.
const (
	DownAllow  = "allow"        // everything
	DownDeny   = "deny"         // nothing
	DownExtend = "extend-cache" // what was known last, else the default policy
	DownAsync  = "async-cache"  // the same, and what is known is renewed behind the request's back
)

// Resolved is what the servers say of a secret.
type Resolved struct {
	Accessor string
	Ends     *time.Time
	Policies []*Policy
}

// ResolverConfig says how a Resolver decides.
type ResolverConfig struct {
	Options
	Datacenter string
	TTL        time.Duration // how long what was said of a token holds
	DownPolicy string        // "" = DownExtend
}

// Ask asks the servers for a secret. An error of kind Denied or NotFound says that
// it is no token's, any other that nobody could be asked.
type Ask func(ctx context.Context, secret string) (*Resolved, error)

// Resolver finds out who bears a secret, and remembers it. Its methods may be
// called by any number of goroutines.
type Resolver struct {
	cfg      ResolverConfig
	askThere Ask

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	silent  time.Time              // when nobody could be asked last, and none since; zero: not so
	known   map[string]*remembered // by secret
	unknown map[string]time.Time   // secrets that are none, and when that was said
	flights map[string]*flight
}

type remembered struct {
	bearer *Bearer
	at     time.Time
}

// flight is a question to the servers that all who need it wait for.
type flight struct {
	done   chan struct{}
	bearer *Bearer
	err    error
}

// NewResolver makes a Resolver. Close ends it.
func NewResolver(cfg ResolverConfig, ask Ask) (*Resolver, error) {
	switch cfg.DownPolicy {
	case "":
		cfg.DownPolicy = DownExtend
	case DownAllow, DownDeny, DownExtend, DownAsync:
	default:
		return nil, fmt.Errorf("unknown down policy %q", cfg.DownPolicy)
	}
	r := &Resolver{cfg: cfg, askThere: ask, known: map[string]*remembered{}, unknown: map[string]time.Time{}, flights: map[string]*flight{}}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r, nil
}

// TTL is how long what was said of a token holds.
func (r *Resolver) TTL() time.Duration { return r.cfg.TTL }

// Close ends what is being asked. It may be called more than once.
func (r *Resolver) Close() error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	r.wg.Wait()
	return nil
}

// Who finds out who bears a secret; "" is the anonymous token. The error of one
// that is none is ErrNoToken.
func (r *Resolver) Who(ctx context.Context, secret string) (*Bearer, error) {
	if secret == "" {
		secret = AnonymousSecret
	}
	now := time.Now()
	r.mu.Lock()
	old := r.known[secret]
	var at0 time.Time
	if old != nil {
		at0 = old.at
	}
	at, none := r.unknown[secret]
	silent := now.Sub(r.silent) < min(r.cfg.TTL, downPause)
	r.mu.Unlock()
	switch {
	case none && now.Sub(at) < min(r.cfg.TTL, unknownTTL):
		return nil, ErrNoToken()
	case old != nil && now.Sub(at0) < r.cfg.TTL:
		return current(old.bearer, now)
	case old != nil && silent && r.extends():
		return current(old.bearer, now) // one who waits is enough to learn that they are back
	}
	f := r.ask(secret)
	if old != nil && r.cfg.DownPolicy == DownAsync {
		return current(old.bearer, now)
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, fault.With(fault.Unavailable, context.Cause(ctx))
	}
	if f.err != nil {
		return nil, f.err
	}
	return current(f.bearer, time.Now())
}

// Said is what the servers say of a secret, for who decides for himself. While they
// cannot be asked it is what they said last; if that was nothing, it is an error.
func (r *Resolver) Said(ctx context.Context, secret string) (*Resolved, error) {
	b, err := r.Who(ctx, secret)
	if err != nil {
		return nil, err
	}
	if b.said == nil {
		return nil, fault.Newf(fault.Unavailable, "nobody can be asked what the token may do")
	}
	return b.said, nil
}

func current(b *Bearer, now time.Time) (*Bearer, error) {
	if b.Ended(now) {
		return nil, ErrNoToken()
	}
	return b, nil
}

// ask asks the servers, or joins who does.
func (r *Resolver) ask(secret string) *flight {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.flights[secret]; f != nil {
		return f
	}
	f := &flight{done: make(chan struct{})}
	if r.closed {
		f.err = fault.Newf(fault.Unavailable, "the agent is shutting down")
		close(f.done)
		return f
	}
	r.flights[secret] = f
	r.wg.Go(func() {
		ctx, cancel := context.WithTimeout(r.ctx, askTimeout)
		defer cancel()
		said, err := r.askThere(ctx, secret)
		r.land(secret, f, said, err)
	})
	return f
}

// land ends a flight: what was said is remembered, and if nobody could be asked
// the down policy decides.
func (r *Resolver) land(secret string, f *flight, said *Resolved, err error) {
	var fresh *Bearer
	if err == nil {
		fresh, err = r.judge(said)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	defer close(f.done)
	delete(r.flights, secret)
	now := time.Now()
	switch {
	case err == nil:
		r.silent = time.Time{}
		delete(r.unknown, secret)
		room(r.known, func(old *remembered) bool { return old.bearer.Ended(now) })
		r.known[secret] = &remembered{fresh, now}
		f.bearer = fresh
	case errors.Is(err, fault.Denied), errors.Is(err, fault.NotFound):
		delete(r.known, secret) // at once, whatever its time
		room(r.unknown, func(at time.Time) bool { return now.Sub(at) >= unknownTTL })
		r.unknown[secret] = now
		f.err = ErrNoToken()
	default:
		f.bearer = r.down(secret)
	}
}

// judge makes a decision of what the servers say.
func (r *Resolver) judge(said *Resolved) (*Bearer, error) {
	g := Grants{Policies: said.Policies}
	a, err := g.Authorizer(r.cfg.Datacenter, r.cfg.Options)
	if err != nil {
		return nil, fault.With(fault.Denied, err)
	}
	return &Bearer{Authorizer: a, Accessor: said.Accessor, Ends: said.Ends, Rules: g.Sum(r.cfg.Datacenter), said: said}, nil
}

func (r *Resolver) extends() bool {
	return r.cfg.DownPolicy == DownExtend || r.cfg.DownPolicy == DownAsync
}

// down is what holds while nobody can be asked. mu is held.
func (r *Resolver) down(secret string) *Bearer {
	old := r.known[secret]
	if old != nil { // who comes next shall not wait for servers that have just not answered
		old.at = time.Now().Add(min(r.cfg.TTL, downPause) - r.cfg.TTL)
	}
	r.silent = time.Now()
	extend := r.extends()
	switch {
	case extend && old != nil:
		return old.bearer
	case r.cfg.DownPolicy == DownAllow:
		return &Bearer{Authorizer: Everything(), Accessor: AnonymousID, Rules: "everything"}
	case extend:
		return &Bearer{Authorizer: NewAuthorizer(Merge(), r.cfg.Options), Accessor: AnonymousID, Rules: "by default"}
	}
	return &Bearer{Authorizer: NewAuthorizer(Merge(), Options{KeyListPolicy: r.cfg.KeyListPolicy}), Accessor: AnonymousID, Rules: "nothing"}
}

// room makes room: first by what is over, else by anything, and for more than one,
// since it looks at all there is.
func room[V any](m map[string]V, over func(V) bool) {
	if len(m) < maxRemembered {
		return
	}
	for k, v := range m {
		if over(v) {
			delete(m, k)
		}
	}
	for k := range m {
		if len(m) <= maxRemembered*7/8 {
			return
		}
		delete(m, k)
	}
}
