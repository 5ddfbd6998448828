package view

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
)

// feedSession is one follower's conversation with a Feed. All but the first lines
// is guarded by feed.mu.
type feedSession struct {
	feed *Feed
	ctx  context.Context
	once sync.Once
	outbox[*follow]

	follows map[Subject]*follow
	waiting []*follow // asked with a token that is ahead of us
}

// follow is one subject in one session.
type follow struct {
	told
	session *feedSession
	gone    bool // no longer followed
	secret  string
	sight   Sight
	revised bool // what was told before is to be told anew, since the sight is another one
	service *Service
	index   uint64 // what of the name index has been told
}

// Send takes an Ask.
func (s *feedSession) Send(a Ask) error {
	f := s.feed
	sight, judged, err := s.sightOf(a)
	f.mu.Lock()
	defer f.mu.Unlock()
	for err == nil && judged != f.judged { // it may be another one now
		f.mu.Unlock()
		sight, judged, err = s.sightOf(a)
		f.mu.Lock()
	}
	if _, open := f.sessions[s]; !open {
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
	if err != nil {
		return s.end(Event{Subject: a.Subject, Seq: a.Seq, End: endOf(err)})
	}
	if len(s.follows) >= f.cfg.Subjects {
		return s.end(Event{Subject: a.Subject, Seq: a.Seq, End: EndLimit})
	}
	fl := &follow{told: told{subject: a.Subject, seq: a.Seq, from: a.From, whole: a.Whole}, session: s, secret: a.Secret, sight: sight}
	s.follows[a.Subject] = fl
	if f.followers[a.Subject] == nil {
		f.followers[a.Subject] = map[*follow]struct{}{}
	}
	f.followers[a.Subject][fl] = struct{}{}
	if !s.canAnswer(fl) {
		s.wait(fl)
	} else {
		s.dirty(fl)
	}
	return nil
}

// sightOf finds out what an ask may see, and in which state of the rules. The feed
// is not locked.
func (s *feedSession) sightOf(a Ask) (sight Sight, judged uint64, err error) {
	if a.Stop {
		return sight, s.feed.rules(), nil
	}
	judged = s.feed.rules()
	sight, err = s.feed.judge(s.ctx, a.Secret)
	return sight, judged, err
}

// canAnswer reports whether the feed knows as much as the follower does.
func (s *feedSession) canAnswer(fl *follow) bool {
	f := s.feed
	return f.dir.Ready() && f.life != Token{} && !f.life.before(fl.from)
}

func (s *feedSession) wait(fl *follow) {
	fl.until = time.Now().Add(s.feed.cfg.Hold)
	s.waiting = append(s.waiting, fl)
	s.feed.waiting[s] = struct{}{}
	s.poke()
}

// drop ends a subject.
func (s *feedSession) drop(fl *follow) {
	fl.gone = true
	delete(s.follows, fl.subject)
	all := s.feed.followers[fl.subject]
	if delete(all, fl); len(all) == 0 {
		delete(s.feed.followers, fl.subject)
	}
	if i := slices.Index(s.waiting, fl); i >= 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
	}
	s.unmark(fl)
}

// dirty marks a subject to be told, unless it waits for the feed to catch up.
func (s *feedSession) dirty(fl *follow) {
	if fl.given || !slices.Contains(s.waiting, fl) {
		s.mark(fl)
	}
}

// restart marks all subjects to be told anew, in a new life of the catalog.
func (s *feedSession) restart() {
	s.parts, s.beat = nil, nil
	for _, fl := range s.follows {
		if !fl.given {
			continue // it is marked, or waits
		}
		fl.given, fl.from, fl.service = false, Token{}, nil
		s.dirty(fl)
	}
	s.poke()
}

// Recv returns the next event.
func (s *feedSession) Recv() (Event, error) {
	return s.receive(s.ctx.Done(), nil, s.Close, s.next)
}

// next returns the next event, or when to look again at the latest.
func (s *feedSession) next() (e Event, again time.Time, err error) {
	f := s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, open := f.sessions[s]; !open {
		return Event{}, time.Time{}, s.cause()
	}
	now := time.Now()
	s.retry(now)
	if e, ok := s.due(now, f.cfg.Heartbeat, s.pulse); ok {
		return e, time.Time{}, nil
	}
	if fl, ok := s.take(); ok {
		events := s.tell(fl)
		if len(events) == 0 { // it has ended
			return Event{}, now, nil
		}
		s.parts = events[1:]
		return events[0], time.Time{}, nil
	}
	again = s.nextBeat
	for _, fl := range s.waiting {
		if fl.until.Before(again) {
			again = fl.until
		}
	}
	return Event{}, again, nil
}

// pulse is a heartbeat that says how fresh the feed is.
func (s *feedSession) pulse(time.Time) *pulse {
	p := &pulse{token: s.feed.life, age: s.feed.deps.LeaderAge()}
	if !s.feed.dir.Ready() {
		p.token = Token{}
	}
	return p
}

// retry looks at the subjects that wait for the feed to catch up.
func (s *feedSession) retry(now time.Time) {
	if len(s.waiting) == 0 {
		return
	}
	for _, fl := range slices.Clone(s.waiting) {
		switch {
		case s.canAnswer(fl):
			s.waiting = slices.DeleteFunc(s.waiting, func(o *follow) bool { return o == fl })
			s.dirty(fl)
		case !now.Before(fl.until):
			s.drop(fl)
			s.ends = append(s.ends, Event{Subject: fl.subject, Seq: fl.seq, End: EndUnavailable}) // as many as waited at most
		}
	}
	if len(s.waiting) == 0 {
		delete(s.feed.waiting, s)
	}
}

// tell makes the events that bring a follower's subject up to date.
func (s *feedSession) tell(fl *follow) []Event {
	f := s.feed
	e := Event{Subject: fl.subject, Seq: fl.seq, Token: f.life, LeaderAge: f.deps.LeaderAge()}
	if s.mustForget(fl) {
		s.deny(fl, EndDenied)
		return nil
	}
	switch fl.subject.Kind {
	case KindService:
		if fl.given && fl.service == nil && fl.sight.service(f.dir.Service(fl.subject.Name)) == nil {
			return nil // there is nothing to tell: also not that something hidden has changed
		}
		s.tellService(fl, &e)
	case KindNode:
		n := fl.sight.node(f.dir.Node(fl.subject.Name))
		if n == nil || fl.given || !s.upToDate(fl, n.Index) {
			e.Reset = true
			if n != nil {
				e.Changes = []catalog.Change{{Op: catalog.NodeSet, Node: n.Node}}
			}
		}
	case KindAddress:
		e.Reset = true
		if a, ok := parseAddr(fl.subject.Name); ok {
			e.Changes = fl.sight.address(f.dir.Address(a)).changes()
		}
	case KindIndex:
		s.tellIndex(fl, &e)
	}
	fl.given, fl.from = true, Token{}
	return split(e)
}

// mustForget reports whether a follower has been told something that it may not
// see any more, or asks for what is shown only to those who may see all names.
func (s *feedSession) mustForget(fl *follow) bool {
	dir := s.feed.dir
	switch {
	case fl.sight.full():
		return false
	case fl.subject.Kind == KindIndex:
		return true // its names are asked for one by one
	case !fl.revised:
		return false
	}
	fl.revised = false
	switch fl.subject.Kind {
	case KindService:
		svc := dir.Service(fl.subject.Name)
		return svc != nil && fl.sight.service(svc) == nil
	case KindNode:
		n := dir.Node(fl.subject.Name)
		return n != nil && fl.sight.node(n) == nil
	}
	a, ok := parseAddr(fl.subject.Name)
	return ok && dir.Address(a) != nil && fl.sight.address(dir.Address(a)) == nil
}

// returns reports whether a follower comes back with something that this life of
// the catalog told it.
func (s *feedSession) returns(fl *follow) bool {
	// What was told may have been less than may be seen now, where some is hidden.
	return s.feed.deps.Judge == nil && !fl.whole && fl.from.Cluster != "" && fl.from.sameLife(s.feed.life)
}

// upToDate reports whether a returning follower has missed nothing of what last
// changed at an index.
func (s *feedSession) upToDate(fl *follow, index uint64) bool {
	return s.returns(fl) && index <= fl.from.Index
}

func (s *feedSession) tellService(fl *follow, e *Event) {
	f := s.feed
	now := fl.sight.service(f.dir.Service(fl.subject.Name))
	old := fl.service
	fl.service = now
	switch {
	case now == nil:
		e.Reset = true
		return
	case fl.given && old != nil:
		e.Changes = difference(old, now)
	case !fl.given && s.upToDate(fl, now.Index):
		return
	case !fl.given && s.returns(fl):
		if keys, ok := f.ring.memberKeys(fl.subject, fl.from.Index); ok {
			e.Changes = pick(now, keys)
			break
		}
		e.Reset = true
	default:
		e.Reset = true
	}
	if e.Reset || len(e.Changes) > len(now.Instances) {
		e.Reset, e.Changes = true, now.changes()
	}
}

func (s *feedSession) tellIndex(fl *follow, e *Event) {
	f := s.feed
	from := fl.index
	fl.index = f.life.Index
	if !fl.given {
		if !s.returns(fl) {
			e.Reset, e.Added = true, f.everyName()
			return
		}
		from = fl.from.Index
	}
	var ok bool
	if e.Added, e.Removed, ok = f.ring.nameChanges(from); !ok {
		e.Reset, e.Added, e.Removed = true, f.everyName(), nil
	}
}

// cause says why the session is over.
func (s *feedSession) cause() error {
	if err := context.Cause(s.ctx); err != nil {
		return err
	}
	if s.feed.closed {
		return errFeedClosed
	}
	return errSessionClosed
}

var errSessionClosed = errors.New("the session is closed")

func (s *feedSession) done() <-chan struct{} { return s.ended }

// refused tells that the whole feed has ended.
func (s *feedSession) refused() error {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	if s.feed.closed {
		return errFeedClosed
	}
	return nil
}

// Close ends the session.
func (s *feedSession) Close() error {
	s.once.Do(func() {
		close(s.ended)
		f := s.feed
		f.mu.Lock()
		defer f.mu.Unlock()
		s.waiting, s.queue = nil, nil // so that dropping needs no search
		for _, fl := range s.follows {
			s.drop(fl)
		}
		delete(f.sessions, s)
		delete(f.waiting, s)
	})
	return nil
}
