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
	ended  chan struct{}
	once   sync.Once
	wake   chan struct{} // of one place: there may be something to receive

	follows  map[Subject]*passage
	behind   int // subjects that were told and are not confirmed
	queue    []*passage
	ends     []Event
	parts    []Event
	nextBeat time.Time
	beat     *pulse
	over     error // why the session ends
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
	if len(s.follows) >= s.cfg.Subjects {
		return s.end(Event{Subject: a.Subject, Seq: a.Seq, End: EndLimit})
	}
	p := &passage{session: s, subject: a.Subject, seq: a.Seq, from: a.From, whole: a.Whole}
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
	s.dirty(p)
	return nil
}

func (s *relaySession) end(e Event) error {
	if len(s.ends) >= maxEnds {
		return fault.Newf(fault.RateLimited, "too many subjects were asked for")
	}
	s.ends = append(s.ends, e)
	s.poke()
	return nil
}

// drop ends a subject.
func (s *relaySession) drop(p *passage) {
	delete(s.follows, p.subject)
	if p.behind {
		p.behind = false
		s.behind--
	}
	if i := slices.Index(s.queue, p); i >= 0 {
		s.queue = slices.Delete(s.queue, i, i+1)
		if s.beat != nil && i < s.beat.after {
			s.beat.after--
		}
	}
	if len(s.parts) > 0 && s.parts[0].Seq == p.seq && s.parts[0].Subject == p.subject {
		s.parts = nil
	}
	if e := p.entry; e != nil {
		delete(e.passages, p)
		e.pins--
		s.m.settle(e)
	}
}

// dirty marks a subject to be told.
func (s *relaySession) dirty(p *passage) {
	if p.queued {
		return
	}
	p.queued = true
	s.queue = append(s.queue, p)
	s.poke()
}

func (s *relaySession) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Recv returns the next event.
func (s *relaySession) Recv() (Event, error) {
	var timer *time.Timer
	for {
		e, again, err := s.next()
		if err != nil || again.IsZero() {
			return e, err
		}
		if timer == nil {
			timer = time.NewTimer(time.Until(again))
			defer timer.Stop()
		} else {
			timer.Reset(time.Until(again))
		}
		select {
		case <-s.wake:
		case <-timer.C:
		case <-s.ended:
		case <-s.m.life.Done():
			_ = s.Close() // has no errors
		case <-s.ctx.Done():
			_ = s.Close() // has no errors
		}
	}
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
		if len(s.ends) > 0 {
			e, s.ends = s.ends[0], s.ends[1:]
			return e, time.Time{}, nil
		}
		if len(s.parts) > 0 {
			e, s.parts = s.parts[0], s.parts[1:]
			return e, time.Time{}, nil
		}
		if s.beat == nil && !now.Before(s.nextBeat) {
			s.beat = s.pulse(now)
		}
		if b := s.beat; b != nil && b.after == 0 {
			s.beat, s.nextBeat = nil, now.Add(s.cfg.Heartbeat)
			return Event{Heartbeat: true, Token: b.token, LeaderAge: b.age + now.Sub(b.at)}, time.Time{}, nil
		}
		if len(s.queue) == 0 {
			return Event{}, s.nextBeat, nil
		}
		p := s.queue[0]
		s.queue[0] = nil
		if s.queue = s.queue[1:]; len(s.queue) == 0 {
			s.queue = nil
		}
		if s.beat != nil {
			s.beat.after--
		}
		p.queued = false
		s.parts = s.tell(p, now)
	}
}

// pulse is a heartbeat that says how fresh the mirror is. It says nothing but
// that this server lives while the mirror has no session, or has not confirmed
// in it all that was told here.
func (s *relaySession) pulse(now time.Time) *pulse {
	p := &pulse{at: now, after: len(s.queue)}
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
	if p.told || !h.resume().before(p.from) || p.entry == nil && p.whole {
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
	first, last := !p.told, p.last
	p.told, p.last = true, h
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
		x.all = make([]uint64, 0, len(x.hashes))
		for h := range x.hashes {
			x.all = append(x.all, h)
		}
	}
	return x.all
}

// beaten has sessions look again at what waits, and pass a first heartbeat on at once.
func (c crowd) beaten(first bool) {
	m := c.m
	now := time.Now()
	for s := range m.relayed {
		for _, p := range s.follows {
			if !p.told {
				s.dirty(p)
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
