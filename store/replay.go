package store

import (
	"context"
	"fmt"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

// replayed is what a server knows from its disk before raft starts.
type replayed struct {
	last   uint64 // last entry of the log, or the snapshot's index
	config raft.Configuration
}

// replay reads back everything: the newest snapshot that is whole, then every
// entry of the d.log. Each is checked; the committed entries are applied. So a
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
	m := d.log.mark.get()
	switch {
	case m.acked > last:
		return r, &Damage{Path: d.log.segmentOf(m.acked), What: fmt.Sprintf("entries up to %d were stored, but the log now ends at %d", m.acked, last)}
	case !known && last > 0:
		d.logger.Warn("the file with the highest stored log index is missing and is made anew; a loss at the end of the log would not have been seen",
			zap.String("file", d.log.mark.path), zap.Uint64("index", last))
	}
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
	return r, d.log.mark.set(last, max(m.committed, d.fsm.applied.Load()), true)
}

// restoreNewest restores the newest snapshot that is whole. A damaged one may
// only be passed over if the log has everything since an older one, or since the
// beginning.
func (d *disk) restoreNewest(first, last uint64, r *replayed) (uint64, error) {
	ids, err := d.snaps.ids()
	if err != nil {
		return 0, err
	}
	var damaged error
	for _, id := range ids {
		meta, content, err := d.snaps.Open(id)
		if err == nil {
			if err = d.fsm.Restore(content); err != nil {
				// Its checksums are right: raft would take it for the newest state.
				return 0, &Damage{Path: d.snaps.path(id), What: "the snapshot cannot be used", Err: err}
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
		d.fsm.applied.Store(max(d.fsm.applied.Load(), meta.Index))
		d.fsm.reached.advance(meta.Index)
		r.config = meta.Configuration
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
	return &Damage{Path: d.snaps.dir, What: what, Err: cause}
}

// readLog checks every entry and applies those known to be committed. What was
// known is in the entries after them, so it reads the end first.
func (d *disk) readLog(ctx context.Context, first, last, snapIndex uint64, r *replayed) error {
	var end raft.Log
	committed, err := d.log.read(last, &end)
	if err != nil {
		return err
	}
	committed = min(max(committed, d.log.mark.get().committed), last)
	var term uint64
	for index := first; index <= last; index++ {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("read log: %w", context.Cause(ctx))
		}
		entry := new(raft.Log)
		if _, err := d.log.read(index, entry); err != nil {
			return err
		}
		if entry.Term < term {
			return d.log.damage(index, fmt.Sprintf("its term is %d after term %d", entry.Term, term), nil)
		}
		term = entry.Term
		d.log.other.note(entry)
		if entry.Type == raft.LogConfiguration && index > snapIndex {
			r.config = raft.DecodeConfiguration(entry.Data)
		}
		if index <= committed && index > snapIndex && (entry.Type == raft.LogCommand || entry.Type == raft.LogConfiguration) {
			d.fsm.apply(entry)
			if d.fsm.stopped != nil {
				return d.fsm.stopped
			}
		}
	}
	d.fsm.reached.advance(d.fsm.applied.Load())
	return nil
}
