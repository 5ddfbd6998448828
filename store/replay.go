package store

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"

	"consul.internal/store/disklog"
	"consul.internal/store/fsm"
)

// replayed is what a server knows from its disk before raft starts.
type replayed struct {
	last    uint64 // last entry of the log, or the snapshot's index
	config  raft.Configuration
	settled settled
}

// replay reads back everything: the newest snapshot that is whole, then every
// entry of the log. Each is checked; the committed entries are applied. So a
// damaged server does not start raft, and a good one can answer from its own
// disk before it has heard of any other.
func (d *disk) replay(ctx context.Context, known bool) (replayed, error) {
	var r replayed
	first, err := d.log.FirstIndex()
	if err != nil {
		return r, err
	}
	last, err := d.log.LastIndex()
	if err != nil {
		return r, err
	}
	m := d.mark.Get()
	switch {
	case m.Acked > last:
		return r, &disklog.Damage{Path: d.log.SegmentOf(m.Acked), What: fmt.Sprintf("entries up to %d were stored, but the log now ends at %d", m.Acked, last)}
	case !known && last > 0:
		d.logger.Warn("the file with the highest stored log index is missing and is made anew; a loss at the end of the log would not have been seen",
			zap.String("file", d.mark.Path()), zap.Uint64("index", last))
	}
	defer d.makeRoom(last-first, d.snaps.Newest())()
	snapIndex, err := d.restoreNewest(first, last, &r)
	if err != nil {
		return r, err
	}
	r.last = max(last, snapIndex)
	if last == 0 {
		return r, nil
	}
	if err := d.readLog(ctx, first, last, snapIndex, &r); err != nil {
		return r, err
	}
	r.settled.applied = d.fsm.Applied()
	return r, d.mark.Set(last, max(m.Committed, d.fsm.Applied()), true)
}

// restoreNewest restores the newest snapshot that is whole. A damaged one may
// only be passed over if the log has everything since an older one, or since the
// beginning.
func (d *disk) restoreNewest(first, last uint64, r *replayed) (uint64, error) {
	ids, err := d.snaps.IDs()
	if err != nil {
		return 0, err
	}
	var damaged error
	for _, id := range ids {
		meta, content, err := d.snaps.Open(id)
		if err == nil {
			if meta.Size > longSnapshot {
				d.state.Foretell()
			}
			if err = d.fsm.Restore(content); err != nil {
				// Its checksums are right: raft would take it for the newest state.
				return 0, &disklog.Damage{Path: d.snaps.Path(id), What: "the snapshot cannot be used", Err: err}
			}
		}
		if err != nil {
			d.logger.Error("a snapshot cannot be used; looking for an older one", zap.Error(err))
			if damaged == nil {
				damaged = err
			}
			continue
		}
		if last > 0 && first > meta.Index+1 || damaged != nil && last == 0 {
			return 0, d.gap(first, last, meta.Index, damaged)
		}
		d.fsm.Cover(meta.Index)
		r.config = meta.Configuration
		r.settled = settled{applied: meta.Index, snap: *meta, config: meta.Configuration, configIndex: meta.ConfigurationIndex}
		return meta.Index, nil
	}
	if first > 1 || damaged != nil && last == 0 {
		return 0, d.gap(first, last, 0, damaged)
	}
	return 0, nil
}

func (d *disk) gap(first, last, have uint64, cause error) error {
	what := fmt.Sprintf("snapshots reach to entry %d and the log holds %d to %d: entries between are missing", have, first, last)
	if last == 0 {
		what = fmt.Sprintf("the log is empty and the newest whole snapshot ends at entry %d", have)
	}
	return &disklog.Damage{Path: d.snaps.Dir(), What: what, Err: cause}
}

// readLog checks every entry and applies those known to be committed. What was
// known is in the entries after them, so it reads the end first.
func (d *disk) readLog(ctx context.Context, first, last, snapIndex uint64, r *replayed) error {
	var end raft.Log
	committed, err := d.log.Read(last, &end)
	if err != nil {
		return err
	}
	var term uint64
	committed = min(max(committed, d.mark.Get().Committed), last)
	return d.fsm.Replay(ctx, fsm.Stored{
		First: first, Last: last, Committed: committed,
		Read: func(index uint64, into *raft.Log) error {
			_, err := d.log.Read(index, into)
			return err
		},
		Visit: func(e *raft.Log) error {
			if e.Term < term {
				return d.log.DamageAt(e.Index, fmt.Sprintf("its term is %d after term %d", e.Term, term), nil)
			}
			term = e.Term
			d.log.Unshown().Note(e)
			if e.Type == raft.LogConfiguration && e.Index > snapIndex {
				r.config = raft.DecodeConfiguration(e.Data)
				if e.Index <= committed {
					r.settled.config, r.settled.configIndex = r.config, e.Index
				}
			}
			return nil
		},
	})
}

const (
	// roomy is from how many log entries on a replay makes room, if no long snapshot
	// is to be read: fewer leave little behind.
	roomy = 8192
	// room lets the garbage of some 20,000 entries pile up. Without it the collector
	// goes over the growing state again and again, for a quarter of a restart's work.
	room = 128 << 20
	// maxRoom: a long snapshot gets as much as it is long, up to this.
	maxRoom = 512 << 20
	// longSnapshot takes a second to read or more: names are answered out of its first
	// part meanwhile, as stale. A shorter one is not worth telling the catalog twice.
	longSnapshot = 32 << 20
	// tidyAfter lets a restarted server give its first answers first.
	tidyAfter = 2 * time.Second
)

// makeRoom has the garbage collector wait longer, until the function that it
// returns is called: it counts a block that nobody touches, which takes no memory,
// as if it were in use. Some time after, what the replay took is given back.
func (d *disk) makeRoom(entries uint64, snapshot int64) (end func()) {
	size := int64(room)
	if snapshot > longSnapshot { // what is read of it stays, and as much again does not
		size = min(max(size, snapshot), maxRoom)
	}
	if entries < roomy && snapshot <= longSnapshot || debug.SetMemoryLimit(-1) < 8*size { // a person has set less (GOMEMLIMIT)
		return func() {}
	}
	block := make([]byte, size)
	return func() {
		runtime.KeepAlive(block)
		d.run(func() {
			select {
			case <-time.After(tidyAfter):
				debug.FreeOSMemory()
			case <-d.closing:
			}
		})
	}
}
