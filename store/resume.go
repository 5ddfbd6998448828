package store

import (
	"github.com/hashicorp/raft"
)

// settled is what replay has found and applied: raft goes on from there, without
// reading the log another two times, for its configurations and to apply it.
type settled struct {
	applied     uint64             // in the state
	snap        raft.SnapshotMeta  // the snapshot it began with, or none
	config      raft.Configuration // committed, the last up to applied
	configIndex uint64
}

// resume has raft begin where the state is. It shows raft the log and snapshots
// for that, which are those given once raft runs.
func (s settled) resume(rc *raft.Config, logs *raft.LogCache, snaps raft.SnapshotStore) (raft.LogStore, raft.SnapshotStore) {
	// With nothing above the snapshot raft would complain that there is nothing.
	rc.RestoreCommittedLogs = s.configIndex > 0 && s.applied > s.snap.Index
	if s.configIndex == 0 {
		return logs, snaps
	}
	snap := s.snap
	snap.Version = 1 // with a configuration; raft's only other one is of old
	snap.Configuration, snap.ConfigurationIndex = s.config, s.configIndex
	return &resumedLog{LogCache: logs, applied: s.applied}, &resumedSnapshots{SnapshotStore: snaps, first: &snap}
}

// resumedLog is a log whose entries up to applied are in the state already. raft
// asks for them once, one after the other, before it has any goroutine: from
// GetCommitIndex on to applied.
type resumedLog struct {
	*raft.LogCache
	applied uint64
	passing bool
}

var _ raft.CommitTrackingLogStore = (*resumedLog)(nil)

// GetCommitIndex implements raft.CommitTrackingLogStore.
func (l *resumedLog) GetCommitIndex() (uint64, error) {
	l.passing = true
	return l.applied, nil
}

// StageCommitIndex implements raft.CommitTrackingLogStore. The log below notes
// with each entry what is committed (see disklog.Log).
func (l *resumedLog) StageCommitIndex(uint64) error { return nil }

// GetLog implements raft.LogStore. In passing, an entry does nothing; the last one
// is a barrier, by which raft learns the index and term of what a snapshot holds.
func (l *resumedLog) GetLog(index uint64, log *raft.Log) error {
	if !l.passing {
		return l.LogCache.GetLog(index, log)
	}
	if index < l.applied {
		*log = raft.Log{Index: index, Type: raft.LogNoop}
		return nil
	}
	l.passing = false
	if err := l.LogCache.GetLog(index, log); err != nil {
		return err
	}
	*log = raft.Log{Index: index, Term: log.Term, Type: raft.LogBarrier}
	return nil
}

// resumedSnapshots shows first, in the place of all others, to who asks first:
// raft, before it has any goroutine. What is in the state, with the configuration
// that was committed since, needs no snapshot to be read and checked again.
type resumedSnapshots struct {
	raft.SnapshotStore
	first *raft.SnapshotMeta
}

// List implements raft.SnapshotStore.
func (s *resumedSnapshots) List() ([]*raft.SnapshotMeta, error) {
	if s.first == nil {
		return s.SnapshotStore.List()
	}
	first := s.first
	s.first = nil
	return []*raft.SnapshotMeta{first}, nil
}
