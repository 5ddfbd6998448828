package recurse

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/zap"

	"consul.internal/internal/fault"
)

// Deps are what a Recursor uses and does not own.
type Deps struct {
	Logger *zap.Logger
	Dial   func(ctx context.Context, network, address string) (net.Conn, error) // nil is the network
	ID     func() uint16                                                        // of messages, not to be guessed; nil is crypto/rand
	Coin   func() bool                                                          // for the case of letters; nil is a fair one
}

// Recursor forwards questions. It is safe for concurrent use.
type Recursor struct {
	deps   Deps
	limits Limits
	set    atomic.Pointer[settings]
	cache  *cache
	count  counters
	warned atomic.Int64 // when a loop was last logged, in nanoseconds since 1970

	reloading sync.Mutex

	waiting atomic.Int32
	ctx     context.Context // of all questions to upstreams
	cancel  context.CancelCauseFunc
	wg      sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	flights map[string]*flight
	abroad  map[dns.Question]int // what is under way, spelled as it was sent
}

// settings are the part that a reload replaces.
type settings struct {
	cfg       Config
	upstreams []*upstream
	epoch     uint64 // of the cache, which forgets what other upstreams said
}

// flight is a question under way. res may be read once done is closed.
type flight struct {
	done chan struct{}
	res  result
}

// result is how a question ended.
type result struct {
	reply
	err  error
	info uint16      // Extended DNS Error for it, or 0
	ede  []dns.EDNS0 // what the last upstream said about its failure
}

// Answer is what is known about a question.
type Answer struct {
	Msg   *dns.Msg    // nil if there is none; without OPT, the question as it was asked; the caller's own
	OPT   *dns.OPT    // that of the upstream, or nil
	Cut   bool        // the upstream's answer had no room in UDP
	Stale bool        // old, because upstreams do not answer
	Info  uint16      // an Extended DNS Error (RFC 8914) that fits, or 0
	EDE   []dns.EDNS0 // those that an upstream gave with its failure
	Err   error       // why there is none
}

// Reasons for having no answer.
var (
	ErrOff  = fault.Newf(fault.NotFound, "no recursors are configured")
	ErrLoop = fault.Newf(fault.Conflict, "the question is our own, sent back by a recursor")
	ErrBusy = fault.Newf(fault.RateLimited, "too many questions wait for recursors")

	errClosed = errors.New("the recursor is closed")
)

// New returns a Recursor. It starts nothing until it is asked.
func New(cfg Config, deps Deps) (*Recursor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Logger == nil {
		return nil, fault.Newf(fault.Invalid, "a recursor needs a logger")
	}
	if deps.Dial == nil {
		deps.Dial = new(net.Dialer).DialContext
	}
	if deps.ID == nil {
		deps.ID = randomID
	}
	if deps.Coin == nil {
		deps.Coin = func() bool { return rand.Uint32()&1 == 0 }
	}
	r := &Recursor{
		deps: deps, limits: cfg.Limits, cache: newCache(&cfg.Limits),
		flights: map[string]*flight{}, abroad: map[dns.Question]int{},
	}
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	r.set.Store(compile(cfg, nil))
	return r, nil
}

func randomID() uint16 {
	var b [2]byte
	_, _ = crand.Read(b[:]) // never fails
	return binary.BigEndian.Uint16(b[:])
}

// compile keeps what is known about upstreams that stay.
func compile(cfg Config, old *settings) *settings {
	s := &settings{cfg: cfg}
	if old != nil {
		s.epoch = old.epoch
	}
	for _, a := range cfg.Upstreams {
		u := &upstream{addr: a}
		if old != nil {
			if i := slices.IndexFunc(old.upstreams, func(o *upstream) bool { return o.addr == a }); i >= 0 {
				u = old.upstreams[i]
			}
		}
		s.upstreams = append(s.upstreams, u)
	}
	return s
}

// Reload replaces the configuration but for its limits; questions under way keep
// the old one. Other upstreams may know other names: what the former ones said is
// forgotten. After an error nothing has changed.
func (r *Recursor) Reload(cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	r.reloading.Lock()
	defer r.reloading.Unlock()
	old := r.set.Load()
	next := compile(cfg, old)
	if !slices.Equal(old.cfg.Upstreams, cfg.Upstreams) {
		next.epoch = r.cache.clear()
	}
	r.set.Store(next)
	return nil
}

// Close gives up what is under way and waits for its end.
func (r *Recursor) Close() error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel(errClosed)
	r.wg.Wait()
	return nil
}

// Serves reports whether there are upstreams and an asker may use them.
func (r *Recursor) Serves(asker netip.Addr) bool {
	s := r.set.Load()
	if len(s.upstreams) == 0 {
		return false
	}
	asker = asker.Unmap().WithZone("")
	return slices.ContainsFunc(s.cfg.Allow, func(p netip.Prefix) bool { return p.Contains(asker) })
}

// On reports whether there are upstreams at all.
func (r *Recursor) On() bool { return len(r.set.Load().upstreams) > 0 }

// Ask answers a question from memory or by an upstream. It returns when ctx ends
// at the latest; the question then goes on for who asks next, for as long as it
// may.
func (r *Recursor) Ask(ctx context.Context, q Query) Answer {
	r.count.asked.Add(1)
	set := r.set.Load()
	if len(set.upstreams) == 0 {
		return Answer{Err: ErrOff}
	}
	q.Question.Name = canonical(q.Question.Name)
	if r.ours(q.Question) {
		r.looped(q.Question)
		return r.fail(ErrLoop, dns.ExtendedErrorCodeNetworkError)
	}
	key := q.key()
	var old *held
	if q.RD {
		h, fresh, ask := r.cache.get(key, time.Now())
		if fresh {
			r.count.hits.Add(1)
			return r.recall(h, &q, false)
		}
		if old = h; old != nil && !ask {
			return r.recall(old, &q, true)
		}
	}
	res, ok := r.wait(ctx, set, key, &q, old != nil)
	switch {
	case ok && res.err == nil:
		return r.answer(&res.reply, &q, 0, nil)
	case old != nil:
		// Whoever asks next need not wait as long, unless it was this asker who had no time
		// or found no place: that says nothing of the upstreams.
		if !ok && ctx.Err() == nil && !errors.Is(res.err, ErrBusy) {
			r.cache.failed(key, time.Now().Add(r.limits.RecheckAfter))
		}
		return r.recall(old, &q, true)
	}
	a := r.fail(res.err, res.info)
	a.EDE = res.ede
	return a
}

func (r *Recursor) fail(err error, info uint16) Answer {
	r.count.failed.Add(1)
	return Answer{Err: err, Info: info}
}

// wait joins the question's flight and waits for its end, not as long where there
// is an old answer.
func (r *Recursor) wait(ctx context.Context, set *settings, key string, q *Query, hasOld bool) (result, bool) {
	if r.waiting.Add(1) > int32(r.limits.Waiting) {
		r.waiting.Add(-1)
		r.count.busy.Add(1)
		return result{err: ErrBusy}, false
	}
	defer r.waiting.Add(-1)
	f, err := r.join(set, key, q)
	if err != nil {
		return result{err: err}, false
	}
	if hasOld {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.limits.StaleAfter)
		defer cancel()
	}
	if q.Waits != nil {
		q.Waits()
	}
	select {
	case <-f.done:
		return f.res, true
	case <-ctx.Done():
		return result{err: context.Cause(ctx), info: dns.ExtendedErrorCodeNoReachableAuthority}, false
	}
}

// join returns the flight of a question, a new one if there is none.
func (r *Recursor) join(set *settings, key string, q *Query) (*flight, error) {
	fk := q.flightKey(set.epoch, key)
	r.mu.Lock()
	defer r.mu.Unlock()
	if f, ok := r.flights[fk]; ok {
		r.count.shared.Add(1)
		return f, nil
	}
	if r.closed {
		return nil, errClosed
	}
	if len(r.flights) >= r.limits.InFlight {
		r.count.busy.Add(1)
		return nil, ErrBusy
	}
	f := &flight{done: make(chan struct{})}
	r.flights[fk] = f
	asked := *q // the flight outlives the asker
	r.wg.Go(func() {
		defer func() {
			r.mu.Lock()
			delete(r.flights, fk)
			r.mu.Unlock()
			close(f.done)
		}()
		f.res = r.fly(set, key, &asked)
	})
	return f, nil
}

// fly asks the upstreams and remembers what they say.
func (r *Recursor) fly(set *settings, key string, q *Query) (res result) {
	defer func() {
		if v := recover(); v != nil {
			r.count.panics.Add(1)
			r.deps.Logger.Error("a recursor's reply hit a bug; please report it", zap.Any("panic", v), zap.Stack("stack"))
			res = result{err: fmt.Errorf("panic: %v", v)}
		}
	}()
	m, res := r.search(set, q)
	switch {
	case !q.RD:
	case errors.Is(res.err, ErrBusy): // which says nothing of the upstream
	case res.err != nil:
		r.cache.failed(key, time.Now().Add(r.limits.RecheckAfter))
	case res.loose:
	default:
		now := time.Now()
		if ttl := lifetime(m, &r.limits); ttl > 0 {
			r.cache.put(set.epoch, &held{key: key, answer: res.reply, at: now, expires: now.Add(ttl)})
		} else if final(m) && !m.Truncated {
			r.cache.forget(set.epoch, key)
		}
	}
	return res
}

// search asks one upstream after another.
func (r *Recursor) search(set *settings, q *Query) (*dns.Msg, result) {
	ctx, cancel := context.WithTimeout(r.ctx, min(r.limits.Total, set.cfg.Timeout*time.Duration(len(set.upstreams))))
	defer cancel()
	spelled, back := r.sendOff(q.Question)
	defer back()
	var errs []error
	var last *dns.Msg
	silent := false
	for _, u := range order(set.upstreams, set.cfg.Random, time.Now()) {
		m, rep, err := r.askOne(ctx, set, u, q, spelled)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", u.addr, err))
			silent = silent || isTimeout(err)
		case final(m), q.Alias:
			return m, result{reply: rep}
		default:
			last = m
			errs = append(errs, fmt.Errorf("%s: %s", u.addr, dns.RcodeToString[m.Rcode]))
		}
		if ctx.Err() != nil {
			break
		}
	}
	res := result{err: fault.With(fault.Unavailable, errors.Join(errs...))}
	switch {
	case last != nil: // somebody is there and says why, or does not
		res.ede = extended(last)
	case silent:
		res.info = dns.ExtendedErrorCodeNoReachableAuthority
	default:
		res.info = dns.ExtendedErrorCodeNetworkError
	}
	if ce := r.deps.Logger.Check(zap.DebugLevel, "no recursor has an answer"); ce != nil {
		ce.Write(zap.String("name", q.Question.Name), zap.Error(res.err))
	}
	return nil, res
}

func (r *Recursor) askOne(ctx context.Context, set *settings, u *upstream, q *Query, spelled string) (*dns.Msg, reply, error) {
	if !u.enter(r.limits.PerUpstream) {
		r.count.busy.Add(1)
		return nil, reply{}, ErrBusy
	}
	defer u.leave()
	ctx, cancel := context.WithTimeout(ctx, set.cfg.Timeout)
	defer cancel()
	m, rep, err := r.exchange(ctx, u, q, spelled)
	switch {
	case err == nil:
		u.replied()
	case isTimeout(err) && r.ctx.Err() == nil:
		u.timedOut(time.Now())
	}
	return m, rep, err
}

func isTimeout(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}

func extended(m *dns.Msg) []dns.EDNS0 {
	var out []dns.EDNS0
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if _, ok := o.(*dns.EDNS0_EDE); ok {
				out = append(out, o)
			}
		}
	}
	return out
}

// staleTTL is that of an old answer, in seconds (RFC 8767, section 5).
const staleTTL uint32 = 30

// recall gives an answer from memory.
func (r *Recursor) recall(h *held, q *Query, stale bool) Answer {
	if !stale {
		return r.answer(&h.answer, q, uint32(time.Since(h.at)/time.Second), nil)
	}
	r.count.stale.Add(1)
	ttl := staleTTL
	a := r.answer(&h.answer, q, 0, &ttl)
	if a.Msg != nil {
		a.Stale, a.Info = true, dns.ExtendedErrorCodeStaleAnswer
		if a.Msg.Rcode == dns.RcodeNameError {
			a.Info = dns.ExtendedErrorCodeStaleNXDOMAINAnswer
		}
	}
	return a
}

// answer makes a message of an upstream's one for an asker.
func (r *Recursor) answer(rep *reply, q *Query, age uint32, ttl *uint32) Answer {
	m := new(dns.Msg)
	if err := m.Unpack(rep.wire); err != nil { // it could be unpacked before
		return r.fail(err, dns.ExtendedErrorCodeInvalidData)
	}
	a := Answer{Msg: m, OPT: strip(m), Cut: rep.cut}
	if len(m.Question) == 0 {
		m.Question = []dns.Question{q.Question}
	}
	respell(m, q.Question.Name, age, ttl)
	return a
}
