package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/internal/logx"
	"consul.internal/internal/metrics"
	"consul.internal/rpc"
	"consul.internal/store/checkpoint"
	"consul.internal/store/disklog"
	"consul.internal/store/fsm"
	"consul.internal/store/state"
	"consul.internal/store/transport"
)

// ServerID is a node ID as raft has it, so that whoever gives Deps need not know raft.
type ServerID = raft.ServerID

// Deps is what a store needs from others.
type Deps struct {
	// Logger is named for the server; raft's lines come below it as "raft".
	Logger *zap.Logger
	// Transport carries raft between servers. The store closes it.
	Transport raft.Transport
	// Feed gets every change of the catalog in order; it must be quick. May be nil.
	Feed func(catalog.Batch)

	// What follows may be nil on a server that stands alone.

	// Address tells where a server is now, as the pool knows it; else the address
	// in raft's configuration holds.
	Address func(id raft.ServerID) (string, bool)
	// Pool lists the servers of the datacenter, this one among them, whatever their status.
	Pool func() []Candidate
	// Peers reaches other servers.
	Peers Peers
	// Demote asks the leader, wherever it is, to take this server's vote.
	Demote func(context.Context, *rpc.RaftDemoteRequest) (*rpc.RaftDemoteReply, error)
	// Forget tells the pool that autopilot has removed a failed server.
	Forget func(Candidate)
	// Metrics takes the figures of the log's files.
	Metrics *metrics.Registry
}

// Store is one server's part of the replicated state.
type Store struct {
	cfg    Config
	deps   Deps
	logger *zap.Logger
	state  *state.State
	fsm    *fsm.FSM

	node    atomic.Pointer[node] // nil while raft does not run
	disk    *disk                // nil in memory
	unshown *disklog.Unshown
	gate    *disklog.Gate

	failed  chan error
	life    context.Context // ends when the store closes
	end     context.CancelFunc
	stopped chan struct{} // closed once raft has shut down
	once    sync.Once
	work    group
	lead    leadership
	rounds  rounds
	former  *Former
	pilot   *Autopilot
	compare *checkpoint.Comparer
}

// node is a running raft with what it stands on.
type node struct {
	*raft.Raft
	stable raft.StableStore
	snaps  raft.SnapshotStore
	door   *transport.Door
	on     founder
	gone   chan struct{} // closed when the store goes on without this raft (see orphan.go)
}

// stop ends raft, and with it the transport, and waits for it.
func (n *node) stop() error {
	f := n.Shutdown()
	n.door.HangUp()
	return f.Error()
}

// New checks the configuration and makes a store. It opens nothing.
func New(cfg Config, deps Deps) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Transport == nil || deps.Logger == nil {
		return nil, errors.New("store: a transport and a logger are needed")
	}
	if cfg.Expect > 1 && (deps.Pool == nil || deps.Peers == nil) {
		return nil, errors.New("store: a pool and peers are needed where several servers are expected")
	}
	if cfg.segmentSize == 0 {
		cfg.segmentSize = segmentSize
	}
	s := &Store{
		cfg: cfg, deps: deps, logger: deps.Logger, state: state.New(deps.Feed),
		unshown: &disklog.Unshown{}, failed: make(chan error, 1), stopped: make(chan struct{}), gate: disklog.NewGate(deps.Logger),
	}
	s.life, s.end = context.WithCancel(context.Background())
	var err error
	if s.fsm, err = fsm.New(s.state, s.fail); err != nil {
		return nil, err
	}
	s.lead.init(s)
	s.former, s.pilot, s.compare = newFormer(s), newAutopilot(s), newComparer(s)
	return s, nil
}

// State is the replicated state, for reading.
func (s *Store) State() *state.State { return s.state }

// Failed yields, at most once, the error that stopped this server: an entry it
// does not understand, or damage on its disk. Whoever waits for it closes the
// store; writes fail meanwhile.
func (s *Store) Failed() <-chan error { return s.failed }

func (s *Store) fail(err error) {
	select {
	case s.failed <- err:
	default: // the first one counts
	}
}

// Former founds the cluster together with other servers.
func (s *Store) Former() *Former { return s.former }

// Members changes who belongs to the raft cluster.
func (s *Store) Members() Members { return Members{s} }

// Autopilot keeps the raft cluster at full strength.
func (s *Store) Autopilot() *Autopilot { return s.pilot }

// Open reads back what is on disk and starts raft. When it returns, State holds
// everything that this server knows to be committed; Ready waits for the rest.
// A server among several whose data are damaged opens without raft and heals.
func (s *Store) Open(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	rc := s.cfg.raft()
	rc.Logger = logx.HCLog(s.logger.Named("raft"))
	d := newDoor(s)
	if s.cfg.DataDir == "" {
		mem := disklog.Memory{InmemStore: raft.NewInmemStore(), Unshown: s.unshown}
		f := founder{rc: rc, logs: mem, stable: mem, snaps: raft.NewInmemSnapshotStore(), transport: d}
		return s.start(f, replayed{})
	}
	s.disk = &disk{dir: filepath.Join(s.cfg.DataDir, "raft"), nodeID: rc.LocalID, segmentSize: s.cfg.segmentSize, fsm: s.fsm, state: s.state, logger: s.logger, gate: s.gate, run: s.work.run, closing: s.life.Done(), faults: s.cfg.faults, metrics: s.deps.Metrics}
	known, err := s.disk.open(ctx)
	if err == nil {
		err = s.former.load(s.disk.dir)
	}
	f := founder{disk: s.disk, rc: rc, transport: d}
	if err != nil {
		return heal(s, f, err)
	}
	return s.start(f.on(s.disk), known)
}

// newDoor makes what stands between raft and the transport.
func newDoor(s *Store) *transport.Door {
	return transport.NewDoor(transport.Config{
		Transport: s.deps.Transport, Gate: s.gate, Address: s.deps.Address, Votes: s.former.vote, Run: s.work.run,
	})
}

// start starts raft on what has been read back.
func (s *Store) start(f founder, known replayed) (err error) {
	d := f.transport.(*transport.Door)
	if s.disk != nil {
		s.unshown = s.disk.log.Unshown()
		if known, err = s.disk.recoverPeers(f, known); err != nil {
			return err
		}
		if err := s.disk.checkMember(known); err != nil {
			return err
		}
	}
	if s.disk != nil && known.last == 0 {
		if m, found := readMemory(s.disk.dir); found && m.others(s.cfg.NodeID) > 0 {
			// Its data were removed, but it belongs to a cluster: it founds none.
			s.cfg.Bootstrap, s.cfg.Expect = false, 0
		}
	}
	id, err := f.found(s.state.Cluster().ID, s.cfg.Bootstrap, known.last)
	if err != nil {
		return err
	}
	if id == "" && known.last > 0 {
		id = s.former.ClusterID() // founded, and cut short before the log said so
	}
	s.lead.found(id)
	cached, err := raft.NewLogCache(cachedEntries, f.logs)
	if err != nil {
		return err
	}
	if s.disk != nil {
		if err := s.disk.log.Arm(s.life.Done(), s.fail, s.fsm.Applied); err != nil {
			return err
		}
	}
	notify := make(chan bool, 16) // leadership changes faster than they can be told are not expected
	f.rc.NotifyCh = notify
	logs, snaps := known.settled.resume(f.rc, cached, f.snaps)
	r, err := raft.NewRaft(f.rc, s.fsm, logs, f.stable, snaps, d)
	if err != nil {
		return fmt.Errorf("start raft: %w", err)
	}
	n := &node{r, f.stable, f.snaps, d, f, make(chan struct{})}
	s.node.Store(n)
	d.Open()
	observations := make(chan raft.Observation, 16) // leader changes; none is lost in practice, and only a log line hangs on it
	observer := raft.NewObserver(observations, false, func(o *raft.Observation) bool {
		_, ok := o.Data.(raft.LeaderObservation)
		return ok
	})
	r.RegisterObserver(observer)
	s.work.run(func() {
		defer r.DeregisterObserver(observer)
		s.lead.follow(notify, observations, n.gone)
	})
	if !s.cfg.patient {
		s.work.run(func() { standAlone(n, f.rc.LocalID, s.logger) })
	}
	s.work.run(func() { hasten(s, n, f.rc.HeartbeatTimeout) })
	if s.cfg.Expect > 1 {
		s.work.run(func() { s.former.run(f) })
	}
	if s.disk != nil {
		s.work.run(func() { shorten(s, n, known.settled.snap.Index) })
	}
	if s.disk != nil && s.deps.Pool != nil {
		s.work.run(func() { rememberPeers(s, n.gone) })
	}
	return nil
}

// Close stops raft and closes every file. It may be called more than once.
func (s *Store) Close() error {
	var errs []error
	s.once.Do(func() {
		s.end()
		s.work.drain() // nothing begins any more; a server that heals may just have started raft
		n := s.node.Load()
		if n != nil {
			errs = append(errs, n.stop()) // closes the transport, too
		}
		if c, ok := s.deps.Transport.(raft.WithClose); ok && (n == nil || n.door.Kept()) {
			errs = append(errs, c.Close())
		}
		close(s.stopped)
		s.work.end()
		errs = append(errs, s.disk.close())
	})
	return errors.Join(errs...)
}

// running is raft, or the error that says why it does not run.
func (s *Store) running() (*node, error) {
	if n := s.node.Load(); n != nil {
		return n, nil
	}
	return nil, fault.Newf(fault.NoLeader, "No cluster leader")
}

// Snapshot takes a snapshot now and shortens the log.
func (s *Store) Snapshot(ctx context.Context) error {
	n, err := s.running()
	if err != nil {
		return err
	}
	if err = s.await(ctx, n.Snapshot()); errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return nil
	}
	return err
}

// await waits for a future as long as ctx lasts. The future's outcome is not
// known when ctx ends first.
func (s *Store) await(ctx context.Context, f raft.Future) error {
	done := make(chan error, 1)
	// Nobody can wait for this goroutine: a future that stands in raft's queues
	// when it shuts down is never answered.
	go func() { done <- f.Error() }()
	select {
	case err := <-done:
		return err
	case <-s.stopped:
		return fault.Newf(fault.Unknown, "the store is closed")
	case <-s.gate.Shutting():
		return fault.With(fault.Unknown, disklog.ErrGateShut)
	case <-ctx.Done():
		return fault.Newf(fault.Unknown, "gave up waiting: %w", context.Cause(ctx))
	}
}

// group is a WaitGroup that takes no more work once its end is awaited.
type group struct {
	mu    sync.Mutex
	ended bool
	wg    sync.WaitGroup
}

// run runs f unless the group has ended, which it reports by false.
func (g *group) run(f func()) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.ended {
		g.wg.Go(f)
	}
	return !g.ended
}

// drain lets nothing begin any more.
func (g *group) drain() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended = true
}

// end waits for all that runs.
func (g *group) end() {
	g.mu.Lock()
	g.ended = true
	g.mu.Unlock()
	g.wg.Wait()
}
