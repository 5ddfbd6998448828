package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"

	"consul.internal/internal/durable"
	"consul.internal/internal/metrics"
	"consul.internal/store/disklog"
	"consul.internal/store/fsm"
	"consul.internal/store/state"
)

// disk is a store's files, and what it takes to trust them.
type disk struct {
	dir         string
	nodeID      raft.ServerID
	segmentSize int
	fsm         *fsm.FSM
	state       *state.State
	logger      *zap.Logger
	gate        *disklog.Gate
	run         func(func()) bool
	closing     <-chan struct{}
	faults      func(op string) error
	metrics     *metrics.Registry

	lock  *durable.Lock
	mark  *disklog.Mark // closed with the log
	log   *disklog.Log
	snaps *disklog.Snapshots
}

// open opens, checks and replays the files.
func (d *disk) open(ctx context.Context) (r replayed, err error) {
	if err := durable.MkdirAll(filepath.Dir(d.dir)); err != nil {
		return r, fmt.Errorf("data directory: %w", err)
	}
	if d.lock == nil { // held already by a server that heals
		if d.lock, err = durable.LockDir(d.dir); err != nil {
			return r, err
		}
	}
	if err := disklog.RemoveLeftovers(d.dir); err != nil {
		return r, err
	}
	m, known, err := disklog.OpenMark(filepath.Join(d.dir, "mark"))
	if err != nil {
		return r, err
	}
	d.mark = m
	if d.log, err = disklog.OpenLog(disklog.Config{
		Dir: filepath.Join(d.dir, "wal"), SegmentSize: d.segmentSize, Mark: m, Gate: d.gate, Logger: d.logger, Run: d.run, Faults: d.faults, Metrics: d.metrics,
	}); err != nil {
		d.log = nil
		return r, errors.Join(err, m.Close())
	}
	if d.snaps, err = disklog.OpenSnapshots(filepath.Join(d.dir, "snapshots"), d.logger.Named("snapshot")); err != nil {
		return r, err
	}
	d.state.HoldFeed() // nobody reads yet; one batch of all is much quicker
	r, err = d.replay(ctx, known)
	d.state.ReleaseFeed()
	if err != nil {
		return r, err
	}
	return r, nil
}

// close closes every file; on a nil disk it does nothing.
func (d *disk) close() error {
	if d == nil {
		return nil
	}
	return errors.Join(d.closeLog(), d.lock.Unlock())
}

func (d *disk) closeLog() error {
	if d.log == nil {
		return nil
	}
	log := d.log
	d.log = nil
	return log.Close()
}

// checkMember refuses a data directory of another server where going on would
// only mean waiting for ever for a leader.
func (d *disk) checkMember(r replayed) error {
	if len(r.config.Servers) != 1 || r.config.Servers[0].ID == d.nodeID {
		return nil
	}
	return fmt.Errorf("the raft log in %s belongs to server %s, but this server is %s: give the node its old ID back (node-id file or node_id), or move the raft directory away",
		d.dir, r.config.Servers[0].ID, d.nodeID)
}
