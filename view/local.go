package view

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"
	"time"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
)

// ErrNotReady says that a directory has not been filled yet, so that the
// absence of a name means nothing.
var ErrNotReady = fault.Newf(fault.Unavailable, "the catalog of this datacenter has not been loaded yet")

// ErrNoSight says that nobody can tell what may be seen.
var ErrNoSight = fault.Newf(fault.Unavailable, "nobody can tell what may be seen")

// State is how fresh an answer from a view is.
type State struct {
	Index uint64        // the catalog's index that the answer holds at least
	Stale bool          // the view has lost its source and may be behind
	Age   time.Duration // how long ago the answer was certainly right; 0 is now
	// Session is the one that keeps the answer up to date (see Pulse); 0 if none does.
	Session uint64
	From    string // who keeps it up to date or did so last, for people
}

// Local answers questions about the own datacenter from one directory. Its
// methods never wait: the context is for sources that must fetch first.
//
// An absent name is a nil value without an error. Another datacenter is
// fault.NotFound. While the directory is not ready it gives what it has, and
// ErrNotReady for what it has not.
type Local struct {
	datacenter string
	dir        *Directory
	age        func() time.Duration
	staleAfter time.Duration
	guard      *atomic.Pointer[guarded] // nil: all is shown
}

// guarded is what a Local shows, and the session that its answers belong to.
type guarded struct {
	sight   Sight
	err     error
	session uint64
}

// NewLocal returns a Local for the datacenter that dir is fed from.
func NewLocal(datacenter string, dir *Directory) *Local {
	return &Local{datacenter: datacenter, dir: dir, age: func() time.Duration { return 0 }}
}

// Aging has answers called stale when what they are made of has not been
// confirmed for longer than after; age tells for how long.
func (l *Local) Aging(age func() time.Duration, after time.Duration) *Local {
	l.age, l.staleAfter = age, after
	return l
}

// Guarded has nothing shown until it has been told what may be seen (See).
func (l *Local) Guarded() *Local {
	l.guard = &atomic.Pointer[guarded]{}
	l.guard.Store(&guarded{err: ErrNoSight, session: localSession})
	return l
}

// See tells a guarded Local what may be seen from now on; with an error, which should
// be an ErrNoSight, nobody can tell, and there are no answers. What was kept of its answers no longer holds.
func (l *Local) See(sight Sight, err error) {
	old := l.guard.Load()
	if err == nil && old.err == nil && sight.Rules == old.sight.Rules {
		return
	}
	l.guard.Store(&guarded{sight, err, old.session + 1})
}

// seen is what may be seen now.
func (l *Local) seen() guarded {
	if l.guard == nil {
		return guarded{session: localSession}
	}
	return *l.guard.Load()
}

// Service returns what is known of a service; an empty datacenter is the own one.
func (l *Local) Service(_ context.Context, datacenter, name string) (*Service, State, error) {
	return answer(l, datacenter, l.dir.Service, name, (*Sight).service)
}

// Node returns what is known of a node.
func (l *Local) Node(_ context.Context, datacenter, name string) (*Node, State, error) {
	return answer(l, datacenter, l.dir.Node, name, (*Sight).node)
}

// Address returns who has an address.
func (l *Local) Address(_ context.Context, datacenter string, a netip.Addr) (*Address, State, error) {
	who, st, err := answer(l, datacenter, l.dir.Address, a, (*Sight).address)
	if g := l.seen(); g.err != nil && errors.Is(err, g.err) {
		err = nil // nobody is known by an address who may not be seen
	}
	return who, st, err
}

func answer[K, V any](l *Local, datacenter string, lookup func(K) *V, key K, through func(*Sight, *V) *V) (*V, State, error) {
	g := l.seen()
	st, err := l.state(datacenter, g.session)
	if err != nil && !errors.Is(err, ErrNotReady) {
		return nil, st, err
	}
	if g.err != nil {
		st.Session = 0
		return nil, st, g.err
	}
	v := through(&g.sight, lookup(key))
	if v != nil {
		err = nil
	}
	return v, st, err
}

// State returns how fresh the datacenter's answers are.
func (l *Local) State(_ context.Context, datacenter string) (State, error) {
	return l.state(datacenter, l.seen().session)
}

func (l *Local) state(datacenter string, session uint64) (State, error) {
	if !l.own(datacenter) {
		return State{}, fault.Newf(fault.NotFound, "no datacenter %q is known here", datacenter)
	}
	st := State{Index: l.dir.Index(), Age: l.age(), From: "the own state of this server"}
	if st.Stale = st.Age > l.staleAfter; !st.Stale {
		st.Session = session
	}
	if !l.dir.Ready() {
		// What there is may be older than what is still to be read.
		st.Session, st.Stale = 0, true
		return st, ErrNotReady
	}
	return st, nil
}

func (l *Local) own(datacenter string) bool {
	return datacenter == "" || catalog.EqualFold(datacenter, l.datacenter)
}
