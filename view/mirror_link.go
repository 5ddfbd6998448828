package view

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"consul.internal/internal/fault"
)

// link is one session as the entries see it. It outlives the session: what it
// kept up to date is as old as its last heartbeat.
type link struct {
	beat   atomic.Pointer[beat] // nil before the first
	direct bool                 // with a server that has the catalog itself
	id     uint64               // another for each session of any mirror, and never 0
	peer   string               // who is at the other end, for people
}

type beat struct {
	token Token
	asOf  time.Time
}

// uplink keeps a mirror's session with a server. What it holds is guarded by the
// mirror's mu.
type uplink struct {
	m      *Mirror
	link   atomic.Pointer[link] // nil while there is no session
	outbox []*entry             // have something to be sent
	send   chan struct{}        // of one place: there is something in the outbox
	seq    uint64
	heard  bool // anything in the last session; of run alone, as silent is
	silent int  // short sessions that ended in silence since one lasted long
}

// current reports whether the present session keeps what is held up to date.
func (u *uplink) current(h *held) bool {
	l := u.link.Load()
	return l != nil && h.link == l
}

// firstPause is how soon a lost session is replaced: at once for a person, and
// spread enough that not all agents of a dead server come in the same moment.
const firstPause = 50 * time.Millisecond

const (
	// shortSession is how long a session may have lived whose silence makes the next
	// one more patient: a server that dies is no reason.
	shortSession = 10 * time.Second
	// longSession is how long one lives on a line that is well again.
	longSession = time.Minute
)

var (
	errSilent  = fault.Newf(fault.Unavailable, "the server has been silent for three heartbeats or more")
	errConnect = fault.Newf(fault.Unavailable, "no server took the session in time")
)

// run keeps a session until Close.
func (u *uplink) run() {
	var pause time.Duration
	for u.m.life.Err() == nil {
		began := time.Now()
		err := u.session()
		if u.m.life.Err() != nil {
			return
		}
		if time.Since(began) > 2*u.m.cfg.RetryMax {
			pause = 0 // it was a good one
		}
		u.judge(err, time.Since(began))
		u.m.deps.Logger.Debug("view session ended", zap.String("datacenter", u.m.cfg.Datacenter), zap.Error(err))
		pause = min(max(2*pause, firstPause), u.m.cfg.RetryMax)
		select {
		case <-u.m.life.Done():
		case <-time.After(jitter(pause)):
		}
	}
}

// judge notes how a session ended. Where one after the other is heard and soon falls
// silent, no single server is to blame but the line: on one that loses a third of
// its segments TCP is silent for a second every few, and sessions that end for it
// never get as far as the news. A line that is cut, or a server that hangs, is not
// heard at all.
func (u *uplink) judge(err error, lived time.Duration) {
	if u.heard && lived < shortSession && errors.Is(err, errSilent) {
		u.silent++
	}
}

// patience is how long a server may be silent: three heartbeats, and up to four
// times as long on a line that has proved to need it.
func (u *uplink) patience() time.Duration {
	return 3 * u.m.cfg.Heartbeat << min(u.silent, 2)
}

// session opens a session and works with it until it ends.
func (u *uplink) session() error {
	ctx, cancel := context.WithCancelCause(u.m.life)
	defer cancel(nil)
	limit := time.AfterFunc(u.m.cfg.Connect, func() { cancel(errConnect) })
	s, err := u.m.deps.Source.Session(ctx, u.m.cfg.Datacenter)
	if !limit.Stop() && err == nil {
		err = errors.Join(errConnect, s.Close())
	}
	if err != nil {
		return err
	}
	l := u.attach(s)
	alive := make(chan struct{}, 1)
	var wg sync.WaitGroup
	wg.Go(func() { cancel(u.read(l, s, alive)) })
	wg.Go(func() { cancel(u.write(ctx, s)) })
	u.watch(ctx, cancel, alive)
	cerr := s.Close()
	wg.Wait()
	u.detach()
	return errors.Join(context.Cause(ctx), cerr)
}

// watch ends a session that has fallen silent.
func (u *uplink) watch(ctx context.Context, cancel context.CancelCauseFunc, alive <-chan struct{}) {
	began := time.Now()
	u.heard = false
	t := time.NewTimer(u.patience())
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-alive:
			u.heard = true
			if time.Since(began) > longSession {
				u.silent = 0
			}
			t.Reset(u.patience())
		case <-t.C:
			cancel(errSilent)
			return
		}
	}
}

func (u *uplink) read(l *link, s Session, alive chan<- struct{}) error {
	for {
		e, err := s.Recv()
		if err != nil {
			return err
		}
		select {
		case alive <- struct{}{}:
		default:
		}
		victims, err := u.m.take(l, e)
		forget(victims)
		if err != nil {
			return err
		}
	}
}

func (u *uplink) write(ctx context.Context, s Session) error {
	for {
		a, ok := u.nextAsk()
		if ok {
			if err := s.Send(a); err != nil {
				return err
			}
			continue
		}
		select {
		case <-u.send:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// attach makes a new session the present one: the name index is asked for first,
// then what somebody waits for, then all the rest.
func (u *uplink) attach(s Session) *link {
	u.m.mu.Lock()
	defer u.m.mu.Unlock()
	l := &link{direct: true}
	if r, ok := s.(interface{ Relayed() bool }); ok {
		l.direct = !r.Relayed()
	}
	if p, ok := s.(interface{ Peer() string }); ok {
		l.peer = p.Peer()
	}
	u.m.count.Sessions++
	l.id = rand.Uint64() | 1
	u.outbox = nil
	u.link.Store(l)
	crowd{u.m}.relink()
	u.renew(u.m.index.entry)
	for e := range u.m.pending {
		u.renew(e)
	}
	for _, e := range u.m.entries {
		if e.waiters > 0 && e.held.Load() != nil {
			u.renew(e)
		}
	}
	for _, e := range u.m.entries {
		if e.waiters == 0 && e.held.Load() != nil {
			u.renew(e)
		}
	}
	return l
}

func (u *uplink) renew(e *entry) {
	e.seq, e.stop, e.queued, e.parts = 0, false, false, nil
	if e.following.Load() {
		u.enqueue(e)
	}
}

func (u *uplink) detach() {
	u.m.mu.Lock()
	defer u.m.mu.Unlock()
	u.link.Store(nil)
	u.outbox = nil
	crowd{u.m}.unlinked()
}

// enqueue notes that there is something to be sent about an entry.
func (u *uplink) enqueue(e *entry) {
	if u.link.Load() == nil || e.queued {
		return // all that is followed is asked for by the next session
	}
	e.queued = true
	u.outbox = append(u.outbox, e)
	select {
	case u.send <- struct{}{}:
	default:
	}
}

// nextAsk returns what is to be sent next.
func (u *uplink) nextAsk() (Ask, bool) {
	u.m.mu.Lock()
	defer u.m.mu.Unlock()
	for len(u.outbox) > 0 {
		e := u.outbox[0]
		u.outbox[0] = nil
		u.outbox = u.outbox[1:]
		e.queued = false
		follow := e.following.Load()
		switch {
		case follow && e.seq == 0: // ends what was asked before, too
			u.seq++
			e.seq, e.stop = u.seq, false
			a := Ask{Subject: e.subject, Secret: u.m.cfg.Secret, Seq: e.seq}
			if e == u.m.index.entry {
				a.From = u.m.index.absent.resume()
			} else {
				a.From = e.held.Load().resume()
			}
			if a.From == (Token{}) {
				a.From, a.Whole = u.m.floor, true
			}
			return a, true
		case !follow && e.stop:
			e.stop = false
			return Ask{Subject: e.subject, Stop: true}, true
		}
	}
	return Ask{}, false
}
