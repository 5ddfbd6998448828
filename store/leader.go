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
)

// errLeadershipLost is the cause with which a leadership context ends.
var errLeadershipLost = errors.New("leadership was lost")

// leadership is this server's part in who leads.
type leadership struct {
	s         *Store
	clusterID string // to be written into the state by the first leader

	mu     sync.Mutex
	duties []func(context.Context)
	ready  chan struct{} // closed while this server leads and knows all that is committed
	heard  chan struct{} // closed once this server leads with all applied, or follows a leader and has caught up
	once   sync.Once
}

func (l *leadership) init(s *Store) {
	l.s = s
	l.ready = make(chan struct{})
	l.heard = make(chan struct{})
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

// follow watches leadership come and go until the store closes.
func (l *leadership) follow(notify <-chan bool, observed <-chan raft.Observation) {
	ended := make(chan struct{}) // of the last term's duties
	close(ended)
	cancel := func(error) {}
	defer func() {
		cancel(errors.New("the store is closing"))
		<-ended
	}()
	for {
		select {
		case leads := <-notify:
			cancel(errLeadershipLost)
			if !leads {
				l.s.logger.Info("cluster leadership lost")
				continue
			}
			ctx, stop := context.WithCancelCause(context.Background())
			cancel = stop
			before, done := ended, make(chan struct{})
			if l.s.work.run(func() {
				defer close(done)
				<-before
				l.term(ctx)
			}) {
				ended = done
			}
		case o := <-observed:
			if o, ok := o.Data.(raft.LeaderObservation); ok && o.LeaderID != "" {
				l.s.logger.Info("New leader elected", zap.String("payload", string(o.LeaderID)), zap.String("address", string(o.LeaderAddr)))
			}
		case <-l.s.closing:
			return
		}
	}
}

// term is one term of leadership: what must be done first, then the duties.
func (l *leadership) term(ctx context.Context) {
	if !l.establish(ctx) {
		return
	}
	l.s.logger.Info("cluster leadership acquired")
	l.mu.Lock()
	ready, duties := l.ready, l.duties
	close(ready)
	l.mu.Unlock()
	l.once.Do(func() { close(l.heard) })

	var wg sync.WaitGroup
	for _, duty := range duties {
		wg.Go(func() { duty(ctx) })
	}
	<-ctx.Done()
	l.mu.Lock()
	l.ready = make(chan struct{})
	l.mu.Unlock()
	wg.Wait()
}

// establish waits until everything committed so far is applied, and writes what
// the first leader has to write. It reports false when leadership ended first.
func (l *leadership) establish(ctx context.Context) bool {
	warn := time.AfterFunc(barrierWarning, func() {
		l.s.logger.Warn("this server was elected but cannot yet act: entries of former leaders are not applied", zap.Duration("for", barrierWarning))
	})
	defer warn.Stop()
	for ctx.Err() == nil {
		err := l.s.await(ctx, l.s.raft.Barrier(0))
		if err == nil {
			err = l.settle(ctx)
		}
		if err == nil {
			return true
		}
		l.s.logger.Debug("leadership is not established yet", zap.Error(err))
		select {
		case <-ctx.Done():
		case <-time.After(retryPause):
		}
	}
	return false
}

// settle brings the state and the configuration in line with this server.
func (l *leadership) settle(ctx context.Context) error {
	if l.s.state.Cluster().ID == "" && l.clusterID != "" {
		if _, _, err := l.s.apply(ctx, commandFound, foundCluster{ID: l.clusterID}); err != nil {
			return err
		}
	}
	// A server that has moved tells the others where it is.
	id, addr := raft.ServerID(l.s.cfg.NodeID), l.s.deps.Transport.LocalAddr()
	servers, err := l.s.Servers()
	if err != nil {
		return err
	}
	for _, sv := range servers {
		if sv.ID == id && sv.Address != addr {
			return l.s.await(ctx, l.s.raft.AddVoter(id, addr, 0, 0))
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
		case <-s.closing:
			return fault.Newf(fault.Unavailable, "not ready: the store is closing")
		case <-tick.C:
			if s.LeaderAddr() != "" && s.raft.State() == raft.Follower && s.raft.CommitIndex() > 0 && s.raft.AppliedIndex() >= s.raft.CommitIndex() {
				s.lead.once.Do(func() { close(s.lead.heard) })
			}
		}
	}
}

// IsLeader reports whether this server believes that it leads.
func (s *Store) IsLeader() bool { return s.raft.State() == raft.Leader }

// LeaderAddr is the leader's address, "" while none is known.
func (s *Store) LeaderAddr() string {
	addr, _ := s.raft.LeaderWithID()
	return string(addr)
}

// LeaderID is the leader's node ID, "" while none is known.
func (s *Store) LeaderID() string {
	_, id := s.raft.LeaderWithID()
	return string(id)
}

// ClusterID is the ID of the cluster, "" before one was founded.
func (s *Store) ClusterID() string { return s.state.Cluster().ID }

// Servers lists the members of the raft cluster.
func (s *Store) Servers() ([]raft.Server, error) {
	f := s.raft.GetConfiguration()
	if err := f.Error(); err != nil {
		return nil, s.explain(err)
	}
	return f.Configuration().Servers, nil
}

// Peers lists the addresses of all raft servers.
func (s *Store) Peers() ([]string, error) {
	servers, err := s.Servers()
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
	if s.IsLeader() {
		return 0
	}
	return max(time.Since(s.raft.LastContact()), 0)
}

// Index is the index of the last entry applied to the state.
func (s *Store) Index() uint64 { return s.fsm.applied.Load() }

// Stats are raft's figures by their known names.
func (s *Store) Stats() map[string]string {
	stats := maps.Clone(s.raft.Stats())
	stats["fsm_applied_index"] = strconv.FormatUint(s.Index(), 10)
	return stats
}

// VerifyLeader makes a read of the state that follows it linearizable: this
// server is still the leader, as a majority confirms, and every write that was
// acknowledged before the call is applied. Calls that wait share one round.
func (s *Store) VerifyLeader(ctx context.Context) error {
	if !s.IsLeader() {
		return s.notLeader()
	}
	s.lead.mu.Lock()
	ready := s.lead.ready
	s.lead.mu.Unlock()
	select {
	case <-ready:
	case <-ctx.Done():
		return fault.Newf(fault.NoLeader, "No cluster leader")
	case <-s.closing:
		return fault.Newf(fault.Unavailable, "the store is closing")
	}
	return s.rounds.join(ctx, s)
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
	case <-s.closing:
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
// committed before a majority confirmed that nobody else could commit since.
func confirm(s *Store) error {
	committed := s.raft.CommitIndex()
	if err := s.await(context.Background(), s.raft.VerifyLeader()); err != nil {
		if err = s.explain(err); errors.Is(err, fault.Unknown) {
			return s.notLeader() // a read has no outcome that could be unknown
		}
		return err
	}
	if !s.fsm.reached.wait(s.other.lastShown(committed), s.closing, nil) {
		return fault.Newf(fault.Unavailable, "the store is closing")
	}
	return nil
}
