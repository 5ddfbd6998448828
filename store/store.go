package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/internal/logx"
	"consul.internal/store/state"
)

// Deps is what a store needs from others.
type Deps struct {
	// Logger is named for the server; raft's lines come below it as "raft".
	Logger *zap.Logger
	// Transport carries raft between servers. The store closes it.
	Transport raft.Transport
	// Feed gets every change of the catalog in order; it must be quick. May be nil.
	Feed func(catalog.Batch)
}

// Store is one server's part of the replicated state.
type Store struct {
	cfg    Config
	deps   Deps
	logger *zap.Logger
	state  *state.State
	fsm    *fsm

	raft  *raft.Raft
	disk  *disk // nil in memory
	other *otherEntries

	failed  chan error
	closing chan struct{}
	stopped chan struct{} // closed once raft has shut down
	once    sync.Once
	work    group
	lead    leadership
	rounds  rounds
}

// New checks the configuration and makes a store. It opens nothing.
func New(cfg Config, deps Deps) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Transport == nil || deps.Logger == nil {
		return nil, errors.New("store: a transport and a logger are needed")
	}
	if cfg.segmentSize == 0 {
		cfg.segmentSize = segmentSize
	}
	commands, err := newCodec(maxNesting)
	if err != nil {
		return nil, err
	}
	images, err := newCodec(snapshotNesting)
	if err != nil {
		return nil, err
	}
	s := &Store{
		cfg: cfg, deps: deps, logger: deps.Logger, state: state.New(deps.Feed),
		other: &otherEntries{}, failed: make(chan error, 1), closing: make(chan struct{}), stopped: make(chan struct{}),
	}
	s.fsm = &fsm{state: s.state, codec: commands, decoders: decoders(commands), image: image{images}, fail: s.fail}
	s.lead.init(s)
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

// Open reads back what is on disk and starts raft. When it returns, State holds
// everything that this server knows to be committed; Ready waits for the rest.
func (s *Store) Open(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	rc := s.cfg.raft()
	rc.Logger = logx.HCLog(s.logger.Named("raft"))
	notify := make(chan bool, 16) // leadership changes faster than they can be told are not expected
	rc.NotifyCh = notify
	var (
		logs   raft.LogStore
		stable raft.StableStore
		snaps  raft.SnapshotStore
		known  replayed
	)
	if s.cfg.DataDir == "" {
		mem := memoryLog{raft.NewInmemStore(), s.other}
		logs, stable, snaps = mem, mem, raft.NewInmemSnapshotStore()
	} else {
		s.disk = &disk{dir: filepath.Join(s.cfg.DataDir, "raft"), nodeID: rc.LocalID, segmentSize: s.cfg.segmentSize, fsm: s.fsm, logger: s.logger}
		if known, err = s.disk.open(ctx); err != nil {
			return err
		}
		s.other = s.disk.log.other
		logs, stable, snaps = s.disk.log, s.disk.log, s.disk.snaps
	}
	f := founder{disk: s.disk, rc: rc, logs: logs, stable: stable, snaps: snaps, transport: s.deps.Transport}
	if s.lead.clusterID, err = f.found(s.state.Cluster().ID, s.cfg.Bootstrap, known.last); err != nil {
		return err
	}
	cached, err := raft.NewLogCache(cachedEntries, logs)
	if err != nil {
		return err
	}
	if s.disk != nil {
		log := s.disk.log
		log.closing, log.damaged, log.committed = s.closing, s.fail, s.fsm.applied.Load
	}
	if s.raft, err = raft.NewRaft(rc, s.fsm, cached, stable, snaps, s.deps.Transport); err != nil {
		return fmt.Errorf("start raft: %w", err)
	}
	observations := make(chan raft.Observation, 16) // leader changes; none is lost in practice, and only a log line hangs on it
	observer := raft.NewObserver(observations, false, func(o *raft.Observation) bool {
		_, ok := o.Data.(raft.LeaderObservation)
		return ok
	})
	s.raft.RegisterObserver(observer)
	s.work.run(func() {
		defer s.raft.DeregisterObserver(observer)
		s.lead.follow(notify, observations)
	})
	s.work.run(func() { standAlone(s.raft, rc.LocalID, s.deps.Transport, s.logger) })
	return nil
}

// Close stops raft and closes every file. It may be called more than once.
func (s *Store) Close() error {
	var errs []error
	s.once.Do(func() {
		close(s.closing)
		if s.raft != nil {
			errs = append(errs, s.raft.Shutdown().Error()) // closes the transport, too
		} else if c, ok := s.deps.Transport.(raft.WithClose); ok {
			errs = append(errs, c.Close())
		}
		close(s.stopped)
		s.work.end()
		errs = append(errs, s.disk.close())
	})
	return errors.Join(errs...)
}

// Snapshot takes a snapshot now and shortens the log.
func (s *Store) Snapshot(ctx context.Context) error {
	err := s.await(ctx, s.raft.Snapshot())
	if errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return nil
	}
	return err
}

// TransferLeadership hands leadership to another server, and returns when that is done.
func (s *Store) TransferLeadership(ctx context.Context) error {
	return s.await(ctx, s.raft.LeadershipTransfer())
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

// end waits for all that runs.
func (g *group) end() {
	g.mu.Lock()
	g.ended = true
	g.mu.Unlock()
	g.wg.Wait()
}
