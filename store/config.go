package store

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// Config is what a store needs to know.
type Config struct {
	// NodeID names this server in the cluster for ever, whatever its address.
	NodeID string
	// DataDir is the agent's data directory; "" keeps everything in memory.
	DataDir string
	// Bootstrap lets this server found a cluster of which it is the only member.
	Bootstrap bool
	// Expect is with how many servers together this one founds a cluster
	// (bootstrap_expect); 0 = it is taken in by others, or founds by Bootstrap.
	Expect int
	// Multiplier stretches raft's timers (performance.raft_multiplier); 1 is good to 200 ms between servers.
	Multiplier int
	// SnapshotThreshold is after how many log entries a snapshot is due (raft_snapshot_threshold).
	SnapshotThreshold uint64
	// SnapshotInterval is how often that is looked at (raft_snapshot_interval).
	SnapshotInterval time.Duration
	// TrailingLogs are kept behind a snapshot for servers that lag (raft_trailing_logs).
	TrailingLogs uint64

	patient     bool                  // a server that is alone waits for its election timeout, for tests
	segmentSize int                   // of the log's files; tests make it small
	faults      func(op string) error // of the disk, for tests: called before each write, by what it is for
}

const (
	// Timers at multiplier 1: a lost leader is replaced in about 1.2 s, and a
	// round trip of 200 ms between servers still leaves three heartbeats a term.
	heartbeatTimeout = 750 * time.Millisecond
	// leaseTimeout after the last word of a majority a leader steps down. No read
	// relies on it. It is longer than the 600 ms that TCP takes over a segment lost
	// twice, so that loss replaces fewer leaders, and below the heartbeat timeout, as
	// raft and look demand.
	leaseTimeout = 700 * time.Millisecond
	// commitTimeout, or up to twice that, is how soon followers learn that an entry
	// is committed when no other follows: their views, and DNS there, wait for it.
	// One empty message to each in that time costs a leader some hundredths of a core.
	commitTimeout = 6 * time.Millisecond
	// freeTimeout bounds the question to a server that is to be taken in: a line and a
	// busy machine.
	freeTimeout = time.Second
	// maxMultiplier is the known upper bound of performance.raft_multiplier.
	maxMultiplier = 10
	// maxAppendEntries is raft's batch, sent and applied at once.
	maxAppendEntries = 64
	// segmentSize of log files: raft-wal's own default, allocated ahead.
	segmentSize = 64 << 20
	// cachedEntries of the log stay in memory for followers and for applying.
	cachedEntries = 512
)

// DefaultConfig has every setting that does not depend on the machine.
func DefaultConfig() Config {
	return Config{Multiplier: 1, SnapshotThreshold: 16384, SnapshotInterval: 30 * time.Second, TrailingLogs: 10240}
}

// Validate reports all that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	if c.NodeID == "" {
		errs = append(errs, errors.New("store: a node ID is needed"))
	}
	if c.Expect < 0 || c.Expect > maxFounders {
		errs = append(errs, fmt.Errorf("bootstrap_expect is %d: must be 0 to %d", c.Expect, maxFounders))
	}
	if c.Bootstrap && c.Expect > 0 {
		errs = append(errs, errors.New("bootstrap and bootstrap_expect exclude each other"))
	}
	if c.Multiplier < 1 || c.Multiplier > maxMultiplier {
		errs = append(errs, fmt.Errorf("performance.raft_multiplier is %d: must be 1 to %d", c.Multiplier, maxMultiplier))
	}
	if c.SnapshotInterval < 5*time.Millisecond { // raft's own lower bound
		errs = append(errs, fmt.Errorf("raft_snapshot_interval is %s: must be at least 5ms", c.SnapshotInterval))
	}
	if c.SnapshotThreshold == 0 {
		errs = append(errs, errors.New("raft_snapshot_threshold must be above 0"))
	}
	return errors.Join(errs...)
}

// expected is how many voters the cluster shall never have less of.
func (c Config) expected() int {
	if c.Bootstrap {
		return 1
	}
	return c.Expect
}

func (c Config) raft() *raft.Config {
	rc := raft.DefaultConfig()
	m := time.Duration(c.Multiplier)
	rc.LocalID = raft.ServerID(c.NodeID)
	rc.HeartbeatTimeout = m * heartbeatTimeout
	rc.ElectionTimeout = m * heartbeatTimeout
	rc.LeaderLeaseTimeout = m * leaseTimeout
	rc.CommitTimeout = commitTimeout
	rc.MaxAppendEntries = maxAppendEntries
	// raft takes what waits at its queue to disk together either way; with a
	// buffered queue it forgets what stands in it when it shuts down.
	rc.BatchApplyCh = false
	rc.SnapshotThreshold = c.SnapshotThreshold
	rc.SnapshotInterval = c.SnapshotInterval
	rc.TrailingLogs = c.TrailingLogs
	rc.NoLegacyTelemetry = true
	// replay restores the snapshot and the committed entries before raft starts,
	// with every check, so raft must not do it again.
	rc.NoSnapshotRestoreOnStart = true
	return rc
}
