package view

import (
	"hash/maphash"
	"slices"
	"sync/atomic"
	"time"
)

// Pulse is how a view stands at this moment.
type Pulse struct {
	Index uint64 // as a State has it
	// Session is that of the answers that are kept up to date now; 0 while the view
	// may be behind, or has not been filled.
	Session uint64
	// Touch is how soon an answer that is in use must be asked for again, so that the
	// view goes on following it; 0 is that it need not.
	Touch time.Duration
}

// Pulsing is a view whose answers may be kept by others, since it says when they
// change and whether they still hold. Nothing of it ever waits.
type Pulsing interface {
	// Pulse tells how the view of a datacenter stands; an empty one is the own.
	Pulse(datacenter string) Pulse
	// Lacks reports whether a service or node certainly does not exist, by its folded
	// name. False is that the view must be asked.
	Lacks(datacenter string, k Kind, name []byte) bool
	// OnChange has told be called after a subject of a datacenter has changed, before
	// the change counts as applied. It must return at once and ask the view nothing.
	OnChange(told func(datacenter string, s Subject))
}

// localSession is that of a Local: it is fed by its own process. A guarded one begins
// another whenever it may show something else.
const localSession = 1

// listeners are who is told of changes. They are never changed, but replaced.
type listeners []func(Subject)

func (l listeners) with(told func(Subject)) listeners { return append(slices.Clone(l), told) }

func (l listeners) tell(k Kind, name string) {
	for _, told := range l {
		told(Subject{k, name})
	}
}

// known are the names that a Directory has, as hashes.
type known struct {
	seed            maphash.Seed
	services, nodes *nameSet
}

func newKnown() known { return known{maphash.MakeSeed(), newNameSet(), newNameSet()} }

func (k *known) set(kind Kind) *nameSet {
	switch kind {
	case KindService:
		return k.services
	case KindNode:
		return k.nodes
	}
	return nil
}

func (k *known) add(kind Kind, name string) { k.set(kind).add(maphash.String(k.seed, name)) }

func (k *known) remove(kind Kind, name string) { k.set(kind).remove(maphash.String(k.seed, name)) }

// lacks reports whether there certainly is no such name.
func (k *known) lacks(kind Kind, name []byte) bool {
	s := k.set(kind)
	return s != nil && !s.has(maphash.Bytes(k.seed, name))
}

// OnChange implements Pulsing.
func (d *Directory) OnChange(told func(Subject)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told = d.told.with(told)
}

// Pulse implements Pulsing.
func (l *Local) Pulse(datacenter string) Pulse {
	g := l.seen()
	st, err := l.state(datacenter, g.session)
	if err != nil || g.err != nil {
		return Pulse{}
	}
	return Pulse{Index: st.Index, Session: st.Session}
}

// Lacks implements Pulsing.
func (l *Local) Lacks(datacenter string, k Kind, name []byte) bool {
	return l.dir.Ready() && l.own(datacenter) && l.seen().err == nil && l.dir.known.lacks(k, name)
}

// OnChange implements Pulsing.
func (l *Local) OnChange(told func(datacenter string, s Subject)) {
	l.dir.OnChange(func(s Subject) { told("", s) })
}

// Pulse implements Pulsing.
func (m *Mirror) Pulse(datacenter string) Pulse {
	l := m.up.link.Load()
	if l == nil || l.beat.Load() == nil || m.own(datacenter) != nil {
		return Pulse{}
	}
	h := held{link: l}
	st := h.state(time.Now(), m.cfg.StaleAfter)
	if st.Stale {
		return Pulse{Index: st.Index}
	}
	return Pulse{st.Index, st.Session, m.cfg.Idle / touches}
}

// touches is how often a name in use is asked for before it would pass for idle:
// often enough that it is never among those that were asked for the longest ago.
const touches = 10

// keeping is what a Mirror keeps for those who keep its answers.
type keeping struct {
	told      *nameSet                // names that somebody has told of, whatever the name index says
	lacking   atomic.Pointer[absence] // what the name index says, for lookups; nil: nothing
	listeners listeners               // guarded by the mirror's mu
}

// absence is what a mirror needs to know that a name does not exist. It is never
// changed.
type absence struct {
	hashes  *nameSet
	proof   *held // what is known of each name that is not there
	dropped Token // what it must have heard of at least
}

// Lacks implements Pulsing.
func (m *Mirror) Lacks(datacenter string, k Kind, name []byte) bool {
	a := m.keep.lacking.Load()
	if a == nil || m.cfg.Confirm > 0 || a.proof.link == nil || a.proof.link != m.up.link.Load() || m.own(datacenter) != nil {
		return false
	}
	hash := hashOf(k, name)
	// A name that somebody has told of is asked for, whatever the index says.
	return !a.proof.state(time.Now(), m.cfg.StaleAfter).Stale && !a.proof.resume().before(a.dropped) &&
		!a.hashes.has(hash) && !m.keep.told.has(hash)
}

// OnChange implements Pulsing.
func (m *Mirror) OnChange(told func(datacenter string, s Subject)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keep.listeners = m.keep.listeners.with(func(s Subject) { told("", s) })
}

// showAbsence lets lookups know what the name index is now. mu is held.
func showAbsence(m *Mirror) {
	x := &m.index
	if x.absent == nil || x.hashes == nil {
		m.keep.lacking.Store(nil)
		return
	}
	m.keep.lacking.Store(&absence{x.hashes, x.absent, x.dropped})
}
