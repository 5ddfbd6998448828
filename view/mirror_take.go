package view

import (
	"reflect"
	"slices"
	"time"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
)

// nameIndex is which names a datacenter has, as hashes. It is guarded by the
// mirror's mu.
type nameIndex struct {
	entry   *entry
	hashes  *nameSet // nil: not known
	all     []uint64 // the same as a list, when somebody wants it; nil: not made
	dropped Token    // the most that was known of a name that existed and was forgotten here
	absent  *held    // what is known of each name that is not here; nil: the index is not known
}

// maxNames bounds a name index: some 40 MB, and more names than a catalog has.
// Without an index, names are asked for one by one.
const maxNames = 1 << 20

// lacks reports whether a name certainly does not exist: the index is fresh, does
// not have it, and is no older than what was told of the name, if anything was.
func (x *nameIndex) lacks(hash uint64, e *entry, limit time.Duration) bool {
	if x.absent == nil || x.absent.state(time.Now(), limit).Stale {
		return false
	}
	if x.hashes.has(hash) {
		return false
	}
	upTo := x.absent.resume()
	if e != nil && upTo.before(e.held.Load().resume()) {
		return false
	}
	return !upTo.before(x.dropped)
}

// take applies an event. Its error ends the session.
func (m *Mirror) take(l *link, e Event) ([]*entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.count.Events++
	asOf := time.Now().Add(-max(0, e.LeaderAge))
	if e.Heartbeat {
		m.takeBeat(l, e.Token, asOf)
		return nil, nil
	}
	en := m.entries[e.Subject]
	if e.Subject.Kind == KindIndex {
		en = m.index.entry
	}
	if en == nil || en.seq == 0 || en.seq != e.Seq {
		return nil, nil // of an Ask that was taken back
	}
	if e.End != "" {
		return nil, m.takeEnd(en, e.End)
	}
	whole, err := en.join(e, m.deps.Budget.cfg.Bytes)
	if err != nil {
		m.count.Dropped++
	}
	if err != nil || whole == nil {
		return nil, err
	}
	if en == m.index.entry {
		return nil, m.takeIndex(l, whole, asOf)
	}
	old := en.held.Load()
	if old == nil && whole.Token.before(m.floor) || old != nil && whole.Token.before(old.resume()) {
		m.count.Dropped++
		return nil, fault.Newf(fault.Unavailable, "the server knows less of %s than is known here", e.Subject)
	}
	m.floor.raise(whole.Token)
	now := old.next(whole, l, asOf)
	return m.hold(en, old, now), nil
}

// takeBeat notes a heartbeat. One without a token proves only that the server lives.
func (m *Mirror) takeBeat(l *link, t Token, asOf time.Time) {
	if t == (Token{}) {
		return
	}
	if b := l.beat.Load(); b != nil && (t.before(b.token) || !asOf.After(b.asOf)) {
		return
	}
	first := l.beat.Load() == nil
	l.beat.Store(&beat{t, asOf})
	m.last = &held{token: t, asOf: asOf}
	m.floor.raise(t)
	crowd{m}.beaten(first)
}

func (m *Mirror) takeEnd(e *entry, why string) error {
	switch why {
	case EndDenied:
		if e == m.index.entry {
			m.index.hashes, m.index.absent, e.seq = nil, nil, 0
			showAbsence(m)
			crowd{m}.indexed(true, nil, nil)
			return nil
		}
		e.seq = 0 // the server has ended it
		m.remove(e, fault.Newf(fault.Denied, "%s of datacenter %s may not be seen", e.subject, m.cfg.Datacenter))
	case EndLimit:
		if e == m.index.entry {
			return nil // names are asked for one by one
		}
		e.seq = 0
		if e.held.Load() != nil {
			m.unfollow(e)
			e.tell()
			break
		}
		m.remove(e, fault.Newf(fault.Unavailable, "the server follows no more names for this agent"))
	default:
		return fault.Newf(fault.Unavailable, "the server cannot tell of %s now: %s", e.subject, why)
	}
	return nil
}

// join checks an event and puts its parts together; nil: there are more to come.
func (en *entry) join(e Event, limit int) (*Event, error) {
	weight := 8 * (len(e.Added) + len(e.Removed))
	for _, c := range e.Changes {
		if !sound(c) || !belongs(c, e.Subject) {
			return nil, fault.Newf(fault.Invalid, "the server sent something of %s that cannot be", e.Subject)
		}
		weight += weigh(c)
	}
	p := en.parts
	if p == nil {
		if e.Token != (Token{}) {
			return &e, nil
		}
		en.parts, en.weight = &e, weight
		return nil, nil
	}
	if en.weight += weight; en.weight > limit {
		return nil, fault.Newf(fault.Invalid, "%s is too large to be held", e.Subject)
	}
	p.Changes = append(p.Changes[:len(p.Changes):len(p.Changes)], e.Changes...)
	p.Added = append(p.Added[:len(p.Added):len(p.Added)], e.Added...)
	p.Removed = append(p.Removed[:len(p.Removed):len(p.Removed)], e.Removed...)
	if e.Token == (Token{}) {
		return nil, nil
	}
	en.parts = nil
	p.Token = e.Token
	return p, nil
}

// belongs reports whether a change is one of a subject.
func belongs(c catalog.Change, s Subject) bool {
	switch s.Kind {
	case KindService:
		if c.Resolver != nil {
			return catalog.EqualFold(c.Resolver.Service, s.Name)
		}
		return c.Instance != nil && catalog.EqualFold(c.Instance.Service.Name, s.Name)
	case KindNode:
		return c.Node != nil && catalog.EqualFold(c.Node.Name, s.Name)
	case KindAddress:
		return true
	}
	return false
}

func (m *Mirror) takeIndex(l *link, e *Event, asOf time.Time) error {
	x := &m.index
	if x.absent != nil && e.Token.before(x.absent.resume()) {
		m.count.Dropped++
		return fault.Newf(fault.Unavailable, "the server knows fewer names than are known here")
	}
	if e.Reset {
		x.hashes = newNameSet()
	} else if x.absent == nil {
		return fault.Newf(fault.Invalid, "the server sent changes of names that were never told")
	}
	for _, h := range e.Added {
		x.hashes.add(h)
	}
	for _, h := range e.Removed {
		x.hashes.remove(h)
	}
	if x.hashes.len() > maxNames {
		x.hashes, x.absent = nil, nil
		showAbsence(m)
		x.entry.following.Store(false)
		x.entry.seq, x.entry.stop = 0, true
		m.up.enqueue(x.entry)
		crowd{m}.indexed(true, nil, nil)
		return nil
	}
	x.absent = &held{token: e.Token, changed: e.Token.Index, asOf: asOf, link: l}
	m.last = x.absent
	showAbsence(m)
	m.floor.raise(e.Token)
	crowd{m}.indexed(e.Reset, e.Added, e.Removed)
	return nil
}

// hold makes what an event brought known.
func (m *Mirror) hold(e *entry, old, now *held) []*entry {
	var victims []*entry
	same := old != nil && now.service == old.service && now.node == old.node && now.address == old.address
	e.held.Store(now)
	if !now.absent() {
		m.keep.told.add(e.subject.hash())
	}
	m.keep.listeners.tell(e.subject.Kind, e.subject.Name)
	delete(m.pending, e)
	if now.absent() {
		if e.pins == 0 {
			m.remove(e, nil)
			return nil
		}
		m.shown.list(e, true)
		uncharge(m, e)
	} else {
		m.shown.list(e, true)
		if (e.kept || e.charged) && (!same || !e.charged) {
			e.charged = true
			victims = m.deps.Budget.charge(e, now.weight())
			m.deps.Saved.Put(now.record(m.cfg.Datacenter, e.subject))
		}
	}
	e.tell()
	crowd{m}.followed(e)
	return victims
}

// uncharge forgets on disk and in the budget a name that no longer exists.
func uncharge(m *Mirror, e *entry) {
	if e.charged {
		e.charged = false
		m.deps.Budget.release(e)
		m.deps.Saved.Drop(m.cfg.Datacenter, e.subject, false)
	}
}

// next returns what is known after an event. What did not change keeps its
// pointers, so that readers see that it did not.
func (h *held) next(e *Event, l *link, asOf time.Time) *held {
	now := &held{token: e.Token, changed: e.Token.Index, asOf: asOf, link: l}
	if h == nil {
		h = &held{changed: e.Token.Index}
	}
	if !e.Reset && len(e.Changes) == 0 {
		now.service, now.node, now.address, now.changed = h.service, h.node, h.address, h.changed
		return now
	}
	switch e.Subject.Kind {
	case KindService:
		now.service = h.service.next(e)
	case KindNode:
		for _, c := range e.Changes {
			if now.node = nil; c.Op == catalog.NodeSet {
				now.node = &Node{Node: c.Node, Index: e.Token.Index}
			}
		}
		if now.node != nil && h.node != nil && reflect.DeepEqual(now.node.Node, h.node.Node) {
			now.node = h.node
		}
	case KindAddress:
		was := h.address
		if was == nil {
			was = &Address{}
		}
		a := &Address{
			Nodes:    nextList(was.Nodes, e, func(c catalog.Change) *catalog.Node { return c.Node }, nodeKey),
			Services: nextList(was.Services, e, func(c catalog.Change) *catalog.Instance { return c.Instance }, instanceKey),
		}
		if slices.Equal(a.Nodes, was.Nodes) && slices.Equal(a.Services, was.Services) {
			a = h.address
		}
		if a != nil && len(a.Nodes)+len(a.Services) > 0 {
			now.address = a
		}
	}
	if now.service == h.service && now.node == h.node && now.address == h.address {
		now.changed = h.changed
	}
	return now
}

// nextList applies an event to one list.
func nextList[T any](old []*T, e *Event, of func(catalog.Change) *T, keyOf func(*T) key) []*T {
	known := make(map[key]*T, len(old))
	if e.Reset {
		for _, t := range old {
			known[keyOf(t)] = t
		}
		old = nil
	}
	ed := edits[T]{}
	for _, c := range e.Changes {
		t := of(c)
		if t == nil {
			continue
		}
		k := keyOf(t)
		if c.Op != catalog.InstanceSet && c.Op != catalog.NodeSet {
			ed[k] = nil
			continue
		}
		if was := known[k]; was != nil && (was == t || reflect.DeepEqual(was, t)) {
			t = was
		}
		ed[k] = t
	}
	return merge(old, ed, keyOf)
}

// changes returns what makes what is held out of nothing.
func (h *held) changes() []catalog.Change {
	switch {
	case h.service != nil:
		return h.service.changes()
	case h.node != nil:
		return []catalog.Change{{Op: catalog.NodeSet, Node: h.node.Node}}
	default:
		return h.address.changes()
	}
}

// weight is about how much memory what is held takes.
func (h *held) weight() int {
	const overhead = 512 // the entry, its name, and its places in maps
	n := overhead
	for _, c := range h.changes() {
		n += weigh(c)
	}
	return n
}
