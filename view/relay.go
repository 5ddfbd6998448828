package view

import (
	"context"

	"consul.internal/internal/fault"
)

// Relay offers what a Mirror knows to followers elsewhere, so that a server's
// agents share one subscription to each name of another datacenter. Tokens are
// those of the datacenter itself: a follower can go on at any other server.
type Relay struct {
	m   *Mirror
	cfg FeedConfig
}

// NewRelay returns a Relay over a mirror.
func NewRelay(m *Mirror, cfg FeedConfig) *Relay { return &Relay{m, cfg} }

// errRoundabout: two servers that have each other for a source would have none.
var errRoundabout = fault.Newf(fault.Unavailable, "this server has no connection of its own to that datacenter")

// Session opens a session. With direct it is served only while the mirror's own
// session is with the datacenter itself, not with another relay.
func (r *Relay) Session(ctx context.Context, direct bool) (Session, error) {
	s, err := r.session(ctx, direct)
	if err != nil {
		return nil, err // not a nil *relaySession in an interface
	}
	return s, nil
}

func (r *Relay) session(ctx context.Context, direct bool) (*relaySession, error) {
	m := r.m
	s := &relaySession{m: m, cfg: r.cfg, ctx: ctx, direct: direct, follows: map[Subject]*passage{}}
	s.open()
	m.mu.Lock()
	defer m.mu.Unlock()
	switch l := m.up.link.Load(); {
	case m.life.Err() != nil:
		return nil, errFeedClosed
	case direct && (l == nil || !l.direct):
		return nil, errRoundabout
	case len(m.relayed) >= r.cfg.Sessions:
		return nil, fault.Newf(fault.RateLimited, "this server has %d followers already; ask another one", len(m.relayed))
	}
	m.relayed[s] = struct{}{}
	return s, nil
}

// passage is one subject of a session of a Relay.
type passage struct {
	told
	session *relaySession
	entry   *entry // nil: the name index
	behind  bool   // told, but not confirmed since the mirror has a new session
	last    *held
	index   indexNews // what is to be told of the name index
}

// indexNews is what became of the name index since it was told.
type indexNews struct {
	reset          bool
	added, removed []uint64
}

// maxIndexNews is how much is collected for a follower that does not listen;
// then it gets the whole again.
const maxIndexNews = 4096

// crowd is who follows a mirror from elsewhere. The mirror's mu is held.
type crowd struct{ m *Mirror }

// followed tells those who follow an entry that it may have changed.
func (c crowd) followed(e *entry) {
	m := c.m
	for p := range e.passages {
		p.confirmed(m.up.current(e.held.Load()))
		p.session.mark(p)
	}
}

// confirmed notes that what was told is confirmed by the present session.
func (p *passage) confirmed(current bool) {
	if p.behind && current {
		p.behind = false
		p.session.behind--
	}
}

// relink has all that was told count as not confirmed, since the mirror has
// begun a new session.
func (c crowd) relink() {
	m := c.m
	for s := range m.relayed {
		for _, p := range s.follows {
			if p.given && !p.behind {
				p.behind = true
				s.behind++
			}
		}
	}
}

// unlinked ends the sessions that live only as long as the mirror's own. To the
// others what was known must do.
func (c crowd) unlinked() {
	m := c.m
	for s := range m.relayed {
		for _, p := range s.follows {
			if !p.given {
				s.mark(p)
			}
		}
		if s.direct {
			s.over = errRoundabout
			s.poke()
		}
	}
}

// dropFollowers ends a subject for all who follow it, when the mirror forgets it.
func (c crowd) dropFollowers(e *entry, why string) {
	for p := range e.passages {
		s := p.session
		s.drop(p)
		_ = s.end(Event{Subject: p.subject, Seq: p.seq, End: why}) // who does not listen learns it by silence
	}
}

// indexed tells those who follow the name index what became of it.
func (c crowd) indexed(reset bool, added, removed []uint64) {
	m := c.m
	m.index.all = nil
	for s := range m.relayed {
		p := s.follows[Subject{Kind: KindIndex}]
		if p == nil {
			continue
		}
		if m.index.absent == nil {
			s.drop(p)
			_ = s.end(Event{Subject: p.subject, Seq: p.seq, End: EndLimit}) // as above
			continue
		}
		p.confirmed(m.up.current(m.index.absent))
		n := &p.index
		if reset || len(n.added)+len(n.removed)+len(added)+len(removed) > maxIndexNews {
			*n = indexNews{reset: true}
		} else if !n.reset {
			n.add(added, removed)
		}
		s.mark(p)
	}
}

// add takes up more news: what happened last to a name counts.
func (n *indexNews) add(added, removed []uint64) {
	n.added = append(without(n.added, removed), added...)
	n.removed = append(without(n.removed, added), removed...)
}

func without(list, gone []uint64) []uint64 {
	if len(list) == 0 || len(gone) == 0 {
		return list
	}
	set := make(map[uint64]struct{}, len(gone))
	for _, h := range gone {
		set[h] = struct{}{}
	}
	var out []uint64
	for _, h := range list {
		if _, there := set[h]; !there {
			out = append(out, h)
		}
	}
	return out
}
