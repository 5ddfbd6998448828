package view

import (
	"context"
	"slices"
	"sync"
	"time"

	"consul.internal/internal/fault"
)

// relaySession is one follower's conversation with a Relay. All but the first
// lines is guarded by the mirror's mu.
type relaySession struct {
	m      *Mirror
	cfg    FeedConfig
	ctx    context.Context
	direct bool
	once   sync.Once
	outbox[*passage]

	follows map[Subject]*passage
	behind  int   // subjects that were told and are not confirmed
	over    error // why the session ends
}

// Send takes an Ask.
func (s *relaySession) Send(a Ask) error {
	m := s.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, open := m.relayed[s]; !open {
		return s.cause()
	}
	if !a.Subject.valid() {
		return fault.Newf(fault.Invalid, "%.100q cannot be followed", a.Subject.String())
	}
	if old := s.follows[a.Subject]; old != nil {
		s.drop(old)
	}
	if a.Stop {
		return nil
	}
	if m.cfg.Guarded && a.Secret != m.cfg.Secret {
		return s.end(Event{Subject: a.Subject, Seq: a.Seq, End: EndDenied})
	}
	if len(s.follows) >= s.cfg.Subjects {
		return s.end(Event{Subject: a.Subject, Seq: a.Seq, End: EndLimit})
	}
	p := &passage{told: told{subject: a.Subject, seq: a.Seq, from: a.From, whole: a.Whole}, session: s}
	if a.Subject.Kind == KindIndex {
		if !m.index.entry.following.Load() {
			return s.end(Event{Subject: a.Subject, Seq: a.Seq, End: EndLimit})
		}
	} else {
		e, err := m.want(a.Subject)
		if err == nil && !e.kept {
			m.settle(e)
			err = fault.Newf(fault.RateLimited, "this server follows no more names")
		}
		if err != nil {
			return s.end(Event{Subject: a.Subject, Seq: a.Seq, End: EndLimit})
		}
		e.pins++
		if e.passages == nil {
			e.passages = map[*passage]struct{}{}
		}
		e.passages[p] = struct{}{}
		p.entry = e
	}
	s.follows[a.Subject] = p
	s.mark(p)
	return nil
}

// drop ends a subject.
func (s *relaySession) drop(p *passage) {
	delete(s.follows, p.subject)
	if p.behind {
		p.behind = false
		s.behind--
	}
	s.unmark(p)
	if e := p.entry; e != nil {
		delete(e.passages, p)
		e.pins--
		s.m.settle(e)
	}
}

// Recv returns the next event.
func (s *relaySession) Recv() (Event, error) {
	return s.receive(s.ctx.Done(), s.m.life.Done(), s.Close, s.next)
}

// next returns the next event, or when to look again at the latest.
func (s *relaySession) next() (e Event, again time.Time, err error) {
	m := s.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, open := m.relayed[s]; !open || s.over != nil {
		return Event{}, time.Time{}, s.cause()
	}
	now := time.Now()
	for {
		if e, ok := s.due(now, s.cfg.Heartbeat, s.pulse); ok {
			return e, time.Time{}, nil
		}
		p, ok := s.take()
		if !ok {
			return Event{}, s.nextBeat, nil
		}
		s.parts = s.tell(p, now)
	}
}

// pulse is a heartbeat that says how fresh the mirror is. It says nothing but
// that this server lives while the mirror has no session, or has not confirmed
// in it all that was told here.
func (s *relaySession) pulse(now time.Time) *pulse {
	p := &pulse{}
	l := s.m.up.link.Load()
	if l == nil || s.behind > 0 {
		return p
	}
	if b := l.beat.Load(); b != nil {
		p.token, p.age = b.token, max(0, now.Sub(b.asOf))
	}
	return p
}

// known is what can be told of a subject now, or nil: it is told when there is
// news of it, or a heartbeat.
func (s *relaySession) known(p *passage, now time.Time) *held {
	m := s.m
	h := m.index.absent
	if p.entry != nil {
		h = p.entry.held.Load()
	}
	if h == nil {
		return nil
	}
	connected := m.up.link.Load() != nil
	if connected && !m.up.current(h) {
		return nil // in a moment there is better
	}
	if p.given || !h.resume().before(p.from) || p.entry == nil && p.whole {
		return h
	}
	if !connected {
		return nil
	}
	if p.until.IsZero() {
		p.until = now.Add(s.cfg.Hold)
	}
	if now.After(p.until) {
		s.drop(p)
		_ = s.end(Event{Subject: p.subject, Seq: p.seq, End: EndUnavailable}) // the session ends by it
		return nil
	}
	return nil
}

// tell makes the events that bring a follower's subject up to date.
func (s *relaySession) tell(p *passage, now time.Time) []Event {
	h := s.known(p, now)
	if h == nil {
		return nil
	}
	st := h.state(now, s.m.cfg.StaleAfter)
	e := Event{Subject: p.subject, Seq: p.seq, Token: h.resume(), LeaderAge: st.Age}
	first, last := !p.given, p.last
	p.given, p.last = true, h
	if p.entry == nil {
		return s.tellIndex(p, e, first, h)
	}
	same := last != nil && last.service == h.service && last.node == h.node && last.address == h.address
	switch {
	case first && !p.whole && p.from.Cluster != "" && p.from.sameLife(h.token) && h.changed <= p.from.Index:
	case !first && same && last.token.sameLife(h.token):
		return nil // heartbeats say the rest
	case !first && last.service != nil && h.service != nil && last.token.sameLife(h.token):
		e.Changes = difference(last.service, h.service)
		if len(e.Changes) > len(h.service.Instances) {
			e.Reset, e.Changes = true, h.changes()
		}
	default:
		e.Reset, e.Changes = true, h.changes()
	}
	return split(e)
}

func (s *relaySession) tellIndex(p *passage, e Event, first bool, h *held) []Event {
	n := p.index
	p.index = indexNews{}
	if first || n.reset {
		e.Reset, e.Added = true, s.m.index.everyName()
		return split(e)
	}
	if len(n.added)+len(n.removed) == 0 {
		return nil
	}
	e.Added, e.Removed = n.added, n.removed
	return split(e)
}

// everyName is the whole name index, shared by all who get it.
func (x *nameIndex) everyName() []uint64 {
	if x.all == nil {
		x.all = slices.AppendSeq(make([]uint64, 0, x.hashes.len()), x.hashes.all())
	}
	return x.all
}

// beaten has sessions look again at what waits, and pass a first heartbeat on at once.
func (c crowd) beaten(first bool) {
	m := c.m
	now := time.Now()
	for s := range m.relayed {
		for _, p := range s.follows {
			if !p.given {
				s.mark(p)
			}
		}
		if first {
			s.nextBeat = now
			s.poke()
		}
	}
}

// cause says why the session is over.
func (s *relaySession) cause() error {
	switch {
	case s.over != nil:
		return s.over
	case s.m.life.Err() != nil:
		return errFeedClosed
	case context.Cause(s.ctx) != nil:
		return context.Cause(s.ctx)
	}
	return errSessionClosed
}

func (s *relaySession) done() <-chan struct{} { return s.ended }

// refused is why the session ended if that was not the follower's doing.
func (s *relaySession) refused() error {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if s.m.life.Err() != nil {
		return errFeedClosed
	}
	return s.over
}

// Close ends the session.
func (s *relaySession) Close() error {
	s.once.Do(func() {
		close(s.ended)
		m := s.m
		m.mu.Lock()
		defer m.mu.Unlock()
		s.queue = nil
		for _, p := range s.follows {
			s.drop(p)
		}
		delete(m.relayed, s)
	})
	return nil
}
