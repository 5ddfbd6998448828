package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/hashicorp/go-uuid"
	"github.com/hashicorp/raft"
	"go.uber.org/zap"

	"consul.internal/catalog"
	"consul.internal/internal/durable"
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
	codec  codec
	state  *state.State
	fsm    *fsm

	raft  *raft.Raft
	snaps *snapshots // nil in memory
	log   *diskLog   // nil in memory
	other *otherEntries
	lock  *durable.Lock

	failed  chan error
	closing chan struct{}
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
		cfg: cfg, deps: deps, logger: deps.Logger, codec: commands, state: state.New(deps.Feed),
		other: &otherEntries{}, failed: make(chan error, 1), closing: make(chan struct{}),
	}
	s.fsm = &fsm{state: s.state, codec: commands, decoders: decoders(commands), image: image{images}, fail: s.fail}
	s.lead.init()
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
	)
	if s.cfg.DataDir == "" {
		mem := memoryLog{raft.NewInmemStore(), s.other}
		logs, stable, snaps = mem, mem, raft.NewInmemSnapshotStore()
		err = s.found(rc, logs, stable, snaps, replayed{})
	} else {
		logs, stable, snaps, err = s.openDisk(ctx, rc)
	}
	if err != nil {
		return err
	}
	cached, err := raft.NewLogCache(cachedEntries, logs)
	if err != nil {
		return err
	}
	if s.log != nil {
		s.log.closing, s.log.damaged, s.log.committed = s.closing, s.fail, s.fsm.applied.Load
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
		s.follow(notify, observations)
	})
	return nil
}

// openDisk opens, checks and replays the files below the data directory.
func (s *Store) openDisk(ctx context.Context, rc *raft.Config) (raft.LogStore, raft.StableStore, raft.SnapshotStore, error) {
	if err := durable.MkdirAll(s.cfg.DataDir); err != nil {
		return nil, nil, nil, fmt.Errorf("data directory: %w", err)
	}
	dir := filepath.Join(s.cfg.DataDir, "raft")
	var err error
	if s.lock, err = durable.LockDir(dir); err != nil {
		return nil, nil, nil, err
	}
	if err := removeLeftovers(dir); err != nil {
		return nil, nil, nil, err
	}
	m, known, err := openMark(filepath.Join(dir, "mark"))
	if err != nil {
		return nil, nil, nil, err
	}
	log, err := openDiskLog(filepath.Join(dir, "wal"), s.cfg.segmentSize, m, s.logger)
	if err != nil {
		return nil, nil, nil, errors.Join(err, m.close())
	}
	s.log, s.other = log, log.other
	if s.snaps, err = openSnapshots(filepath.Join(dir, "snapshots"), s.logger.Named("snapshot")); err != nil {
		return nil, nil, nil, err
	}
	r, err := s.replay(ctx, log, known)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := s.checkMember(r); err != nil {
		return nil, nil, nil, err
	}
	return log, log, s.snaps, s.found(rc, log, log, s.snaps, r)
}

// checkMember refuses a data directory of another server where going on would
// only mean waiting for ever for a leader.
func (s *Store) checkMember(r replayed) error {
	if len(r.config.Servers) != 1 || r.config.Servers[0].ID == raft.ServerID(s.cfg.NodeID) {
		return nil
	}
	return fmt.Errorf("the raft log in %s belongs to server %s, but this server is %s: give the node its old ID back (node-id file or node_id), or move the raft directory away",
		filepath.Join(s.cfg.DataDir, "raft"), r.config.Servers[0].ID, s.cfg.NodeID)
}

// found mints the cluster's ID and bootstraps raft, where this server may do that
// and nothing has been done yet. It may be cut short anywhere and go on at the
// next start: the ID is kept from its first moment, and a term without an entry
// or a vote is the trace of a bootstrap that did not get further.
func (s *Store) found(rc *raft.Config, logs raft.LogStore, stable raft.StableStore, snaps raft.SnapshotStore, r replayed) error {
	id := s.state.Cluster().ID
	var path string
	if s.cfg.DataDir != "" {
		path = filepath.Join(s.cfg.DataDir, "raft", "cluster")
		kept, err := readClusterFile(path)
		switch {
		case err != nil && id == "":
			return err
		case err == nil && id != "" && kept != "" && kept != id:
			return &Damage{Path: path, What: fmt.Sprintf("it names cluster %s, but the log belongs to cluster %s", kept, id)}
		case id != "" && kept != id: // lost or damaged, and the state knows better
			if err := writeClusterFile(path, id); err != nil {
				return err
			}
		case id == "":
			id = kept
		}
	}
	if id == "" && s.cfg.Bootstrap {
		var err error
		if id, err = uuid.GenerateUUID(); err != nil {
			return err
		}
		if path != "" {
			if err := writeClusterFile(path, id); err != nil {
				return err
			}
		}
	}
	s.lead.clusterID = id
	if !s.cfg.Bootstrap || r.last > 0 {
		return nil
	}
	vote, err := stable.GetUint64([]byte("LastVoteTerm")) // raft's own key
	if err != nil {
		return fmt.Errorf("read the last vote: %w", err)
	}
	if vote > 0 {
		return &Damage{Path: path, What: fmt.Sprintf("this server has voted in term %d, but its log is empty", vote)}
	}
	if err := stable.SetUint64([]byte("CurrentTerm"), 0); err != nil {
		return err
	}
	err = raft.BootstrapCluster(rc, logs, stable, snaps, s.deps.Transport, raft.Configuration{Servers: []raft.Server{{
		Suffrage: raft.Voter, ID: rc.LocalID, Address: s.deps.Transport.LocalAddr(),
	}}})
	if err != nil {
		return fmt.Errorf("found the cluster: %w", err)
	}
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
		s.work.end()
		if s.log != nil {
			errs = append(errs, s.log.close())
		}
		errs = append(errs, s.lock.Unlock())
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
	if !s.work.run(func() { done <- f.Error() }) { // ends at the latest when raft shuts down
		return fault.Newf(fault.Unknown, "the store is closed")
	}
	select {
	case err := <-done:
		return err
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
