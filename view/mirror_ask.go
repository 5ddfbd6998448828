package view

import (
	"context"
	"errors"
	"sync"
	"time"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
)

// ask answers what lookups could not: it learns whether the name exists, begins
// to follow it and waits a little for the first answer. An old answer beats none.
func (m *Mirror) ask(ctx context.Context, s Subject) (*held, error) {
	if !s.valid() {
		return nil, fault.Newf(fault.NotFound, "there can be no %.100q", s.String())
	}
	hash := s.hash()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.index.lacks(hash, m.entries[s], m.cfg.StaleAfter) {
		if !doubt(m) {
			dropAbsent(m, s)
			return m.index.absent, nil
		}
		absent := m.index.absent
		h, err := demand(ctx, m, s)
		if err != nil {
			return absent, nil
		}
		return h, nil
	}
	return demand(ctx, m, s)
}

// doubt reports whether it may be asked after a name that the index lacks.
func doubt(m *Mirror) bool {
	if now := time.Now(); now.Sub(m.doubted) >= time.Second {
		m.doubted, m.doubts = now, 0
	}
	m.doubts++
	return m.doubts <= m.cfg.Confirm && m.up.link.Load() != nil
}

// demand follows a name and waits a little for the first answer. mu is held.
func demand(ctx context.Context, m *Mirror, s Subject) (*held, error) {
	e, err := m.want(s)
	if err != nil {
		return nil, err
	}
	old := e.held.Load()
	if old != nil && m.up.link.Load() == nil {
		return old, nil // nobody is there to wait for
	}
	return m.await(ctx, e, m.cfg.Wait, func(h *held) bool { return h != old || m.up.current(h) })
}

// Follow waits until a service has changed after the index min, and returns it;
// nil is a service that does not exist. With min 0 it answers as Service does. It
// returns what is known when ctx ends, and when the catalog begins a new life in
// which the index says nothing. The index to go on with is that of the State.
func (m *Mirror) Follow(ctx context.Context, name string, min uint64) (*Service, State, error) {
	if min == 0 {
		return m.Service(ctx, "", name)
	}
	s := Subject{KindService, catalog.Fold(name)}
	if !s.valid() {
		return nil, State{}, fault.Newf(fault.Invalid, "there can be no %.100q", s.String())
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	e, err := m.want(s)
	if err != nil {
		return nil, State{}, err
	}
	e.pins++
	defer func() {
		e.pins--
		m.settle(e)
	}()
	old := e.held.Load()
	h := old
	if old == nil || m.up.link.Load() != nil {
		if h, err = m.await(ctx, e, m.cfg.Wait, func(h *held) bool { return h != old || m.up.current(h) }); err != nil {
			return nil, State{}, err
		}
	}
	life := h.token
	h, err = m.await(ctx, e, 0, func(h *held) bool { return h.changed > min || !h.token.sameLife(life) })
	if err != nil {
		return nil, State{}, err
	}
	e.touch(time.Now())
	return h.service, h.state(time.Now(), m.cfg.StaleAfter), nil
}

// Pin follows a service until the returned function is called, whether anybody
// asks for it or not.
func (m *Mirror) Pin(name string) (unpin func(), err error) {
	s := Subject{KindService, catalog.Fold(name)}
	if !s.valid() {
		return nil, fault.Newf(fault.Invalid, "there can be no %.100q", s.String())
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	e, err := m.want(s)
	if err != nil {
		return nil, err
	}
	e.pins++
	return sync.OnceFunc(func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		e.pins--
		m.settle(e)
	}), nil
}

// Forget drops all that is known, on disk as well, for a datacenter that is no more.
func (m *Mirror) Forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.entries {
		m.remove(e, nil)
	}
	m.index.hashes, m.index.absent, m.last = nil, nil, nil
	showAbsence(m)
}

// want returns the entry of a subject, followed from now on. mu is held.
func (m *Mirror) want(s Subject) (*entry, error) {
	e := m.entries[s]
	if e == nil {
		if !m.open {
			return nil, m.cfg.errUnknown(s, "and this agent does not look for it")
		}
		if len(m.pending) >= m.cfg.Pending && !dropPending(m) {
			m.count.Refused++
			return nil, m.cfg.errUnknown(s, "and too many others are being asked for")
		}
		e = m.add(s)
	}
	e.touch(time.Now())
	m.follow(e)
	return e, nil
}

// await waits until what is held of an entry is done, for the limit (0: none) or
// until ctx ends; then what is held must do. mu is held, but not meanwhile.
func (m *Mirror) await(ctx context.Context, e *entry, limit time.Duration, done func(*held) bool) (*held, error) {
	e.waiters++
	defer func() {
		e.waiters--
		m.settle(e)
	}()
	var late <-chan time.Time
	for over := false; ; {
		h := e.held.Load()
		switch {
		case e.failed != nil:
			return nil, e.failed
		case h != nil && (over || done(h) || !e.following.Load()):
			return h, nil
		case over || e.removed:
			m.count.Timeouts++
			return nil, m.cfg.errUnknown(e.subject, "no server has told of it in time")
		}
		if limit > 0 && late == nil {
			t := time.NewTimer(limit)
			defer t.Stop()
			late = t.C
		}
		if e.news == nil {
			e.news = make(chan struct{})
		}
		news := e.news
		m.mu.Unlock()
		select {
		case <-news:
		case <-late:
			over = true
		case <-ctx.Done():
			over = true
		case <-m.life.Done():
			over = true
		}
		m.mu.Lock()
	}
}

// settle decides what becomes of an entry that a question has left.
func (m *Mirror) settle(e *entry) {
	if e.waiters > 0 || e.pins > 0 || e.removed {
		return
	}
	h := e.held.Load()
	switch {
	case h == nil:
		// The answer may still come, and serve the next question; not at the
		// expense of others.
		if len(m.pending) > m.cfg.Pending/2 {
			m.remove(e, nil)
		}
	case h.absent():
		m.remove(e, nil)
	case e.following.Load() && !e.kept:
		if e.charged {
			m.unfollow(e)
		} else {
			m.remove(e, nil)
		}
	}
}

// add makes an entry that nothing is known of.
func (m *Mirror) add(s Subject) *entry {
	e := &entry{mirror: m, subject: s, since: time.Now()}
	m.entries[s] = e
	m.pending[e] = struct{}{}
	return e
}

// dropPending forgets an entry that nobody waits for any more.
func dropPending(m *Mirror) bool {
	for e := range m.pending {
		if e.waiters == 0 && e.pins == 0 {
			m.remove(e, nil)
			return true
		}
	}
	return false
}

// dropAbsent forgets a name that the name index lacks. Who waits for it to come
// goes on waiting.
func dropAbsent(m *Mirror, s Subject) {
	if e := m.entries[s]; e != nil && e.waiters == 0 && e.pins == 0 && !e.following.Load() {
		m.remove(e, nil)
	}
}

// remove forgets an entry, on disk as well. Those who wait get the error, if any.
func (m *Mirror) remove(e *entry, failed error) {
	if e.removed {
		return
	}
	e.removed, e.failed = true, failed
	if why := EndLimit; len(e.passages) > 0 {
		if errors.Is(failed, fault.Denied) {
			why = EndDenied
		}
		crowd{m}.dropFollowers(e, why)
	}
	m.unfollow(e)
	if h := e.held.Load(); h != nil && !h.absent() && !h.token.before(m.index.dropped) {
		m.index.dropped = h.token
		showAbsence(m)
	}
	m.keep.told.remove(e.subject.hash())
	delete(m.entries, e.subject)
	delete(m.pending, e)
	m.shown.list(e, false)
	m.keep.listeners.tell(e.subject.Kind, e.subject.Name)
	if e.charged {
		e.charged = false
		m.deps.Budget.release(e)
		m.deps.Saved.Drop(m.cfg.Datacenter, e.subject, failed != nil)
	}
	e.tell()
}

// list shows an entry to lookups, or takes it away from them.
func (t *shown) list(e *entry, show bool) {
	switch e.subject.Kind {
	case KindService:
		put(&t.services, e.subject.Name, e, show)
	case KindNode:
		put(&t.nodes, e.subject.Name, e, show)
	case KindAddress:
		if a, ok := parseAddr(e.subject.Name); ok {
			put(&t.addrs, a, e, show)
		}
	}
}

func put[K comparable](t *table[K, entry], k K, e *entry, show bool) {
	if show {
		t.store(k, e)
	} else {
		t.delete(k)
	}
}

// tell wakes those who wait for the entry.
func (e *entry) tell() {
	if e.news != nil {
		close(e.news)
		e.news = nil
	}
}

// follow asks for an entry. Without a place in the budget it is asked for once.
func (m *Mirror) follow(e *entry) {
	if e.following.Load() {
		return
	}
	e.kept = m.deps.Budget.follow()
	e.following.Store(true)
	m.up.enqueue(e)
}

// unfollow ends that, and keeps what is known as it was known last.
func (m *Mirror) unfollow(e *entry) {
	if !e.following.Load() {
		return
	}
	e.following.Store(false)
	if e.kept {
		e.kept = false
		m.deps.Budget.unfollow()
	}
	if e.seq != 0 {
		e.seq, e.stop, e.parts = 0, true, nil
		m.up.enqueue(e)
	}
	if h := e.held.Load(); h != nil && h.link != nil {
		still := *h
		still.token, still.link = h.resume(), nil
		if b := h.link.beat.Load(); b != nil && b.asOf.After(still.asOf) {
			still.asOf = b.asOf
		}
		e.held.Store(&still)
		m.keep.listeners.tell(e.subject.Kind, e.subject.Name)
	}
}

// forget removes entries for which there is no room, of any mirror. No mirror's
// mu is held.
func forget(victims []*entry) {
	for _, e := range victims {
		m := e.mirror
		m.mu.Lock()
		if !e.removed {
			m.remove(e, nil)
		}
		m.mu.Unlock()
	}
}

// sweep ends what nobody uses any more, until Close.
func (m *Mirror) sweep() {
	const tick = time.Second // what is swept is counted in seconds at least
	t := time.NewTicker(tick)
	defer t.Stop()
	idle := time.Now()
	for {
		select {
		case <-m.life.Done():
			return
		case now := <-t.C:
			m.mu.Lock()
			sweepPending(m, now)
			if now.Sub(idle) >= m.cfg.Idle/8 { // often enough for a limit that is not exact
				idle = now
				sweepIdle(m, now)
			}
			m.mu.Unlock()
		}
	}
}

func sweepPending(m *Mirror, now time.Time) {
	const grace = 2 * time.Second // a person's second try
	for e := range m.pending {
		if e.waiters == 0 && e.pins == 0 && now.Sub(e.since) > grace {
			m.remove(e, nil)
		}
	}
}

func sweepIdle(m *Mirror, now time.Time) {
	limit := now.Add(-m.cfg.Idle).Unix()
	for _, e := range m.entries {
		if e.following.Load() && e.waiters == 0 && e.pins == 0 && e.held.Load() != nil && e.used.Load() < limit {
			m.unfollow(e)
		}
	}
}
