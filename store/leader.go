package store

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"

	"consul.internal/internal/fault"
	"consul.internal/internal/metrics"
	"consul.internal/store/fsm"
)

// errLeadershipLost is the cause with which a leadership context ends.
var errLeadershipLost = errors.New("leadership was lost")

// leadership is this server's part in who leads.
type leadership struct {
	s *Store

	mu        sync.Mutex
	clusterID string // to be written into the state by the first leader
	duties    []func(context.Context)
	term      uint64        // in which this server leads and knows all that is committed; 0 = it does not
	changed   chan struct{} // closed, and made anew, when leadership or term change
	heard     chan struct{} // closed once this server leads with all applied, or follows a leader and has caught up
	once      sync.Once
}

func (l *leadership) init(s *Store) {
	l.s = s
	l.changed = make(chan struct{})
	l.heard = make(chan struct{})
}

// found sets the ID of the cluster that this server founds or belongs to.
func (l *leadership) found(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clusterID = id
}

// set notes that this server is established as leader in a term, or, by 0, that
// it is not (yet).
func (l *leadership) set(term uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.term = term
	close(l.changed)
	l.changed = make(chan struct{})
}

// established is the term in which this server leads, with all applied that
// former leaders committed, 0 for none, and what closes when that may be otherwise.
func (l *leadership) established() (term uint64, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.term, l.changed
}

const (
	// barrierWarning: a leader that cannot begin its duties in this time says so.
	barrierWarning = 10 * time.Second
	// retryPause between attempts at something that only a leader can do.
	retryPause = 100 * time.Millisecond
)

// RunLeader has duty run whenever this server leads, once all that former leaders
// committed is applied. Its context ends with leadership, and the next leadership
// begins only when duty has returned. To be called before Open.
func (s *Store) RunLeader(duty func(context.Context)) {
	s.lead.mu.Lock()
	defer s.lead.mu.Unlock()
	s.lead.duties = append(s.lead.duties, duty)
}

// follow watches leadership come and go until the store closes or raft is gone.
// Behind a shut gate a server does not lead, whatever raft says.
func (l *leadership) follow(notify <-chan bool, observed <-chan raft.Observation, gone <-chan struct{}) {
	ended := make(chan struct{}) // of the last term's duties
	close(ended)
	cancel := func(error) {}
	defer func() {
		cancel(errors.New("the store is closing"))
		<-ended
	}()
	elected, leads := false, false
	turn := func() {
		now := elected && !l.s.gate.IsShut()
		if now == leads {
			return
		}
		leads = now
		cancel(errLeadershipLost)
		l.set(0)
		if !leads {
			l.s.logger.Info("cluster leadership lost")
			return
		}
		ctx, stop := context.WithCancelCause(context.Background())
		cancel = stop
		before, done := ended, make(chan struct{})
		if l.s.work.run(func() {
			defer close(done)
			<-before
			l.serve(ctx)
		}) {
			ended = done
		}
	}
	for {
		select {
		case elected = <-notify:
			turn()
		case <-l.s.gate.Changed():
			turn()
		case o := <-observed:
			if o, ok := o.Data.(raft.LeaderObservation); ok && o.LeaderID != "" {
				l.s.logger.Info("New leader elected", zap.String("payload", string(o.LeaderID)), zap.String("address", string(o.LeaderAddr)))
			}
		case <-gone:
			return
		case <-l.s.life.Done():
			return
		}
	}
}

// serve is one term of leadership: what must be done first, then the duties.
func (l *leadership) serve(ctx context.Context) {
	term, ok := l.establish(ctx)
	if !ok {
		return
	}
	l.s.logger.Info("cluster leadership acquired")
	l.mu.Lock()
	duties := l.duties
	l.mu.Unlock()
	if ctx.Err() == nil {
		l.set(term)
	}
	l.once.Do(func() { close(l.heard) })

	var wg sync.WaitGroup
	for _, duty := range duties {
		wg.Go(func() { duty(ctx) })
	}
	<-ctx.Done()
	wg.Wait()
}

// establish waits until everything committed so far is applied, and writes what
// the first leader has to write. It reports false when leadership ended first.
func (l *leadership) establish(ctx context.Context) (term uint64, ok bool) {
	warn := time.AfterFunc(barrierWarning, func() {
		l.s.logger.Warn("this server was elected but cannot yet act: entries of former leaders are not applied", zap.Duration("for", barrierWarning))
	})
	defer warn.Stop()
	n := l.s.node.Load()
	for ctx.Err() == nil {
		term := n.CurrentTerm()
		err := l.s.await(ctx, n.Barrier(0))
		if err == nil && n.CurrentTerm() != term {
			err = errLeadershipLost // and won again: the barrier may have been of the term before
		}
		if err == nil {
			err = l.settle(ctx)
		}
		if err == nil {
			return term, true
		}
		l.s.logger.Debug("leadership is not established yet", zap.Error(err))
		select {
		case <-ctx.Done():
		case <-time.After(retryPause):
		}
	}
	return 0, false
}

// settle brings the state and the configuration in line with this server.
func (l *leadership) settle(ctx context.Context) error {
	l.mu.Lock()
	found := fsm.FoundCluster{ID: l.clusterID, Expect: l.s.cfg.expected()}
	l.mu.Unlock()
	if id := l.s.former.ClusterID(); found.ID == "" {
		found.ID = id
	}
	c := l.s.state.Cluster()
	if c.ID == "" && found.ID != "" || c.Expect == 0 && found.Expect > 0 {
		if _, _, err := l.s.apply(ctx, fsm.TypeFound, found); err != nil {
			return err
		}
	}
	// A server that has moved tells the others where it is.
	id, addr := l.s.cfg.NodeID, string(l.s.deps.Transport.LocalAddr())
	_, servers, err := l.s.Members().Servers(ctx)
	if err != nil {
		return err
	}
	for _, sv := range servers {
		if string(sv.ID) == id && sv.Suffrage == raft.Voter && string(sv.Address) != addr {
			return l.s.Members().AddServer(ctx, id, addr, true)
		}
	}
	return nil
}

// Ready waits until everything is applied that was known to be committed when
// this server started: it has led, or caught up with its leader, once.
func (s *Store) Ready(ctx context.Context) error {
	tick := time.NewTicker(retryPause / 4) // a follower's progress sends no signal
	defer tick.Stop()
	for {
		select {
		case <-s.lead.heard:
			return nil
		case <-ctx.Done():
			return fault.Newf(fault.Unavailable, "not ready: %w", context.Cause(ctx))
		case <-s.life.Done():
			return fault.Newf(fault.Unavailable, "not ready: the store is closing")
		case <-tick.C:
			if n := s.node.Load(); n != nil && s.LeaderAddr() != "" && n.State() == raft.Follower && n.CommitIndex() > 0 && n.AppliedIndex() >= n.CommitIndex() {
				s.lead.once.Do(func() { close(s.lead.heard) })
			}
		}
	}
}

// IsLeader reports whether this server believes that it leads.
func (s *Store) IsLeader() bool {
	n := s.node.Load()
	return n != nil && n.State() == raft.Leader && !s.gate.IsShut()
}

// leader is who leads as far as this server knows.
func leader(s *Store) (addr, id string) {
	n := s.node.Load()
	if n == nil {
		return "", ""
	}
	a, i := n.LeaderWithID()
	if string(i) == s.cfg.NodeID && s.gate.IsShut() {
		return "", ""
	}
	return string(a), string(i)
}

// LeaderAddr is the leader's address, "" while none is known.
func (s *Store) LeaderAddr() string { addr, _ := leader(s); return addr }

// LeaderID is the leader's node ID, "" while none is known.
func (s *Store) LeaderID() string { _, id := leader(s); return id }

// ClusterID is the ID of the cluster to which this server belongs, "" before it does.
func (s *Store) ClusterID() string { return s.state.Cluster().ID }

// Peers lists the addresses of all raft servers.
func (s *Store) Peers() ([]string, error) {
	_, servers, err := s.Members().Servers(context.Background())
	if err != nil {
		return nil, err
	}
	peers := make([]string, 0, len(servers))
	for _, sv := range servers {
		peers = append(peers, string(sv.Address))
	}
	return peers, nil
}

// LastContact is how long ago this server heard from the leader; 0 on the leader.
func (s *Store) LastContact() time.Duration {
	n := s.node.Load()
	if n == nil || s.IsLeader() {
		return 0
	}
	return max(time.Since(n.LastContact()), 0)
}

// Index is the index of the last entry applied to the state.
func (s *Store) Index() uint64 { return s.fsm.Applied() }

// Stats are raft's figures by their known names.
func (s *Store) Stats() map[string]string {
	stats := map[string]string{}
	if n := s.node.Load(); n != nil {
		stats = maps.Clone(n.Stats())
	}
	stats["fsm_applied_index"] = strconv.FormatUint(s.Index(), 10)
	return stats
}

// VerifyLeader makes a read of the state that follows it linearizable: this
// server is still the leader, as a majority confirms, and every write that was
// acknowledged before the call is applied. Calls that wait share one round.
func (s *Store) VerifyLeader(ctx context.Context) error {
	for {
		term, changed := s.lead.established()
		n := s.node.Load()
		switch {
		case !s.IsLeader():
			return s.notLeader()
		case term != 0 && term == n.CurrentTerm():
			begun := time.Now()
			err := s.rounds.join(ctx, s)
			if err == nil {
				s.deps.Metrics.Timer(metrics.RPCConsistentRead).Since(begun)
			}
			return err
		}
		// Elected, but entries of former leaders may still be unknown here.
		select {
		case <-changed:
		case <-time.After(retryPause): // it may have lost leadership before it was established
		case <-ctx.Done():
			return fault.Newf(fault.NoLeader, "No cluster leader")
		case <-s.life.Done():
			return fault.Newf(fault.Unavailable, "the store is closing")
		}
	}
}

// rounds lets the reads that arrive while one round of confirmation runs share
// the next: a round that began before a read came proves nothing for it.
type rounds struct {
	mu      sync.Mutex
	running bool
	next    *round
}

type round struct {
	done chan struct{}
	err  error
}

func (r *rounds) join(ctx context.Context, s *Store) error {
	r.mu.Lock()
	if r.next == nil {
		r.next = &round{done: make(chan struct{})}
	}
	mine := r.next
	if !r.running {
		r.running = s.work.run(func() { r.run(s) })
	}
	r.mu.Unlock()
	select {
	case <-mine.done:
		return mine.err
	case <-s.life.Done():
		return fault.Newf(fault.Unavailable, "the store is closing")
	case <-ctx.Done():
		return fault.Newf(fault.Unavailable, "leadership was not confirmed in time: %w", context.Cause(ctx))
	}
}

func (r *rounds) run(s *Store) {
	for {
		r.mu.Lock()
		this := r.next
		r.next = nil
		if this == nil {
			r.running = false
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
		this.err = confirm(s)
		close(this.done)
	}
}

// confirm is one round: the commit index first, so that what it covers was
// committed before a majority confirmed that nobody else could commit since. All
// in one term: a commit index of a term in which this server is not established
// says nothing.
func confirm(s *Store) error {
	n := s.node.Load()
	term, _ := s.lead.established()
	committed := n.CommitIndex()
	if term == 0 || term != n.CurrentTerm() {
		return s.notLeader()
	}
	if err := s.await(s.life, n.VerifyLeader()); err != nil {
		if err = s.explain(err); errors.Is(err, fault.Unknown) {
			return s.notLeader() // a read has no outcome that could be unknown
		}
		return err
	}
	if n.CurrentTerm() != term {
		return s.notLeader()
	}
	if !s.fsm.Wait(s.unshown.LastShown(committed), s.life.Done(), s.gate.Shutting()) {
		return fault.Newf(fault.Unavailable, "the store is closing")
	}
	return nil
}
