package world

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/view"
	"go.uber.org/zap"
)

// Config of a World.
type Config struct {
	Datacenter string
	// Eager has mirrors made as soon as a datacenter is known: a server's agents
	// ask it, and shall not wait for a connection over the WAN.
	Eager bool
	// Mirror are the limits of another datacenter's mirror.
	Mirror func(datacenter string) view.MirrorConfig
	// Prefetch are names that are followed whether anybody asks or not: NAME, or
	// NAME.service.DATACENTER, each with * at the end of the name for all that begin so.
	Prefetch []string
}

// Own answers for the own datacenter: a view.Local, or a view.Mirror.
type Own interface {
	Service(ctx context.Context, datacenter, name string) (*view.Service, view.State, error)
	Node(ctx context.Context, datacenter, name string) (*view.Node, view.State, error)
	Address(ctx context.Context, datacenter string, a netip.Addr) (*view.Address, view.State, error)
	State(ctx context.Context, datacenter string) (view.State, error)
}

// Deps are what a World works with.
type Deps struct {
	Own    Own
	Source view.Source
	Budget *view.Budget
	Saved  view.Memory // nil: nothing outlives the process
	// Known tells whether there is a datacenter of this name. It may ask others,
	// within ctx.
	Known func(ctx context.Context, datacenter string) (bool, error)
	// Services lists the names of a datacenter's services after an index, for
	// Prefetch with *; it waits until that changes.
	Services func(ctx context.Context, datacenter string, after uint64) (names []string, index uint64, err error)
	Logger   *zap.Logger
}

// World answers for all datacenters.
type World struct {
	cfg      Config
	deps     Deps
	prefetch []pattern
	maxStale atomic.Int64 // nanoseconds; 0 = no bound

	mirrors atomic.Pointer[map[string]*place] // never changed, replaced

	mu     sync.Mutex // guards replacing mirrors, and what follows
	listed map[string]bool
	told   []func(dc string, s view.Subject) // by the mirrors
	life   context.Context
	end    context.CancelFunc
	wg     sync.WaitGroup
}

// place is another datacenter.
type place struct {
	mirror *view.Mirror
	relay  *view.Relay
	end    context.CancelFunc // of what keeps names warm
}

// New makes a World that knows the own datacenter.
func New(cfg Config, deps Deps) (*World, error) {
	if cfg.Datacenter == "" || cfg.Mirror == nil || deps.Own == nil || deps.Source == nil || deps.Budget == nil || deps.Known == nil || deps.Logger == nil {
		return nil, fault.Newf(fault.Invalid, "views of other datacenters need a datacenter, limits, a source, a budget and a logger")
	}
	w := &World{cfg: cfg, deps: deps, listed: map[string]bool{}}
	for _, text := range cfg.Prefetch {
		p, err := parsePattern(text)
		if err != nil {
			return nil, err
		}
		w.prefetch = append(w.prefetch, p)
	}
	w.mirrors.Store(&map[string]*place{})
	w.life, w.end = context.WithCancel(context.Background())
	return w, nil
}

// Restore makes the mirrors of datacenters whose names were saved, so that they
// are answered though nobody has told of them yet.
func (w *World) Restore(datacenters []string) {
	for _, dc := range datacenters {
		if !w.own(dc) {
			w.warn(dc, w.make(dc))
		}
	}
}

// Close ends all mirrors.
func (w *World) Close() error {
	w.mu.Lock()
	all := *w.mirrors.Load()
	w.end()
	w.mu.Unlock()
	var errs []error
	for _, p := range all {
		errs = append(errs, p.mirror.Close())
	}
	w.wg.Wait()
	return errors.Join(errs...)
}

// SetMaxStale bounds how old an answer for another datacenter may be; 0 = not at all.
func (w *World) SetMaxStale(d time.Duration) { w.maxStale.Store(int64(d)) }

// SetSecret has names followed in the name of another token from now on, those that
// are prefetched as well. Config.Mirror must give that token by then.
func (w *World) SetSecret(secret string) {
	w.mu.Lock() // a mirror that is being made has one token or the other
	defer w.mu.Unlock()
	if w.life.Err() != nil {
		return
	}
	next := maps.Clone(*w.mirrors.Load())
	for dc, p := range next {
		if !view.SetSecret(p.mirror, secret) {
			continue
		}
		p.end()
		life, end := context.WithCancel(w.life)
		next[dc] = &place{p.mirror, p.relay, end}
		w.keepWarm(life, dc, p.mirror)
	}
	w.mirrors.Store(&next)
}

// SetDatacenters tells which datacenters there are. One that was told before and
// is not told now is no more, and what is known of it is dropped.
func (w *World) SetDatacenters(names []string) {
	now := map[string]bool{}
	for _, dc := range names {
		if w.own(dc) {
			continue
		}
		now[dc] = true
		if w.cfg.Eager || len(w.prefetch) > 0 {
			w.warn(dc, w.make(dc))
		}
	}
	w.mu.Lock()
	before := w.listed
	w.listed = now
	var gone []*place
	next := maps.Clone(*w.mirrors.Load())
	for dc := range before {
		if p := next[dc]; p != nil && !now[dc] {
			gone = append(gone, p)
			delete(next, dc)
		}
	}
	w.mirrors.Store(&next)
	w.mu.Unlock()
	for _, p := range gone {
		p.end()
		p.mirror.Forget()
		_ = p.mirror.Close() // has no errors
	}
}

func (w *World) warn(dc string, err error) {
	if err != nil && w.life.Err() == nil {
		w.deps.Logger.Error("names of a datacenter cannot be followed", zap.String("datacenter", dc), zap.Error(err))
	}
}

// Mirrored lists the datacenters that have a mirror, by name.
func (w *World) Mirrored() []string { return slices.Sorted(maps.Keys(*w.mirrors.Load())) }

// Stats are figures about one datacenter's mirror.
func (w *World) Stats(dc string) (view.MirrorStats, bool) {
	p := (*w.mirrors.Load())[dc]
	if p == nil {
		return view.MirrorStats{}, false
	}
	return p.mirror.Stats(), true
}

func (w *World) own(dc string) bool {
	return dc == "" || dc == w.cfg.Datacenter || catalog.EqualFold(dc, w.cfg.Datacenter)
}

// make makes a datacenter's mirror if there is none.
func (w *World) make(dc string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if (*w.mirrors.Load())[dc] != nil {
		return nil
	}
	if w.life.Err() != nil {
		return fault.Newf(fault.Unavailable, "this agent is closing")
	}
	m, err := view.NewMirror(w.cfg.Mirror(dc), view.MirrorDeps{
		Source: w.deps.Source, Budget: w.deps.Budget, Saved: w.deps.Saved, Logger: w.deps.Logger,
	})
	if err != nil {
		return err
	}
	if err := m.Open(w.life); err != nil {
		return err
	}
	for _, told := range w.told {
		m.OnChange(func(_ string, s view.Subject) { told(dc, s) })
	}
	life, end := context.WithCancel(w.life)
	next := maps.Clone(*w.mirrors.Load())
	next[dc] = &place{m, view.NewRelay(m, view.DefaultFeedConfig()), end}
	w.mirrors.Store(&next)
	w.keepWarm(life, dc, m)
	return nil
}

// at finds who answers for another datacenter.
func (w *World) at(ctx context.Context, dc string) (*place, error) {
	if p := (*w.mirrors.Load())[dc]; p != nil {
		return p, nil
	}
	known, err := w.deps.Known(ctx, dc)
	switch {
	case err != nil:
		return nil, fault.With(fault.Unavailable, err)
	case !known:
		return nil, fault.Newf(fault.NotFound, "no datacenter %q is known here", dc)
	}
	if err := w.make(dc); err != nil {
		return nil, err
	}
	p := (*w.mirrors.Load())[dc]
	if p == nil {
		return nil, fault.Newf(fault.NotFound, "datacenter %q is no more", dc)
	}
	return p, nil
}

// old refuses an answer that is older than may be.
func (w *World) old(st view.State) error {
	if limit := time.Duration(w.maxStale.Load()); limit > 0 && st.Stale && st.Age > limit {
		return fault.Newf(fault.Unavailable, "what is known is %v old, more than max_stale (%v)", st.Age.Round(time.Second), limit)
	}
	return nil
}

// Service returns what is known of a service; an empty datacenter is the own one.
func (w *World) Service(ctx context.Context, dc, name string) (*view.Service, view.State, error) {
	if w.own(dc) {
		return w.deps.Own.Service(ctx, "", name)
	}
	return ask(ctx, w, dc, func(m *view.Mirror) (*view.Service, view.State, error) { return m.Service(ctx, "", name) })
}

// Node returns what is known of a node.
func (w *World) Node(ctx context.Context, dc, name string) (*view.Node, view.State, error) {
	if w.own(dc) {
		return w.deps.Own.Node(ctx, "", name)
	}
	return ask(ctx, w, dc, func(m *view.Mirror) (*view.Node, view.State, error) { return m.Node(ctx, "", name) })
}

// Address returns who has an address.
func (w *World) Address(ctx context.Context, dc string, a netip.Addr) (*view.Address, view.State, error) {
	if w.own(dc) {
		return w.deps.Own.Address(ctx, "", a)
	}
	return ask(ctx, w, dc, func(m *view.Mirror) (*view.Address, view.State, error) { return m.Address(ctx, "", a) })
}

func ask[T any](ctx context.Context, w *World, dc string, look func(*view.Mirror) (*T, view.State, error)) (*T, view.State, error) {
	p, err := w.at(ctx, dc)
	if err != nil {
		return nil, view.State{}, err
	}
	v, st, err := look(p.mirror)
	if err == nil {
		err = w.old(st)
	}
	if err == nil && v == nil && !p.mirror.Stats().Connected {
		// What is known may be answered for a long time, what is not there may come at any.
		err = fault.Newf(fault.Unavailable, "datacenter %s cannot be asked now, and what it did not have it may have got", dc)
	}
	if err != nil {
		return nil, st, err
	}
	return v, st, nil
}

// State returns how fresh a datacenter's answers are.
func (w *World) State(ctx context.Context, dc string) (view.State, error) {
	if w.own(dc) {
		return w.deps.Own.State(ctx, "")
	}
	p, err := w.at(ctx, dc)
	if err != nil {
		return view.State{}, err
	}
	return p.mirror.State(ctx, "")
}

// Serve gives a follower elsewhere a session about another datacenter's names,
// until either ends it. With direct it is served only while this agent follows
// that datacenter itself.
func (w *World) Serve(ctx context.Context, dc string, direct bool, c view.Conversation) error {
	p, err := w.at(ctx, dc)
	if err != nil {
		return errors.Join(err, c.Close())
	}
	return p.relay.Serve(ctx, direct, c)
}
