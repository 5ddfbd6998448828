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
// known is in the entries after them, so it reads the end first. Entries are read
// and decoded by all processors, ahead of the one that applies them in order.
func (d *disk) readLog(ctx context.Context, first, last, snapIndex uint64, r *replayed) error {
	var end raft.Log
	committed, err := d.log.read(last, &end)
	if err != nil {
		return err
	}
	committed = min(max(committed, d.log.mark.get().committed), last)
	parts := func(yield func(uint64) bool) {
		for from := first; from <= last && yield(from); from += readPart {
		}
	}
	load := func(from uint64) []loaded {
		part := make([]loaded, 0, min(readPart, last-from+1))
		for index := from; index <= last && index < from+readPart; index++ {
			e := d.load(index, index <= committed && index > snapIndex)
			if part = append(part, e); e.err != nil {
				break
			}
		}
		return part
	}
	a := applier{fsm: d.fsm}
	var term uint64
	take := func(part []loaded) error {
		if ctx.Err() != nil {
			return fmt.Errorf("read log: %w", context.Cause(ctx))
		}
		for i := range part {
			e := &part[i]
			switch {
			case e.err != nil:
				return e.err
			case e.entry.Term < term:
				return d.log.damage(e.entry.Index, fmt.Sprintf("its term is %d after term %d", e.entry.Term, term), nil)
			}
			term = e.entry.Term
			d.log.other.note(&e.entry)
			if e.entry.Type == raft.LogConfiguration && e.entry.Index > snapIndex {
				r.config = raft.DecodeConfiguration(e.entry.Data)
			}
			if err := a.add(e); err != nil {
				return err
			}
		}
		return nil
	}
	if err := inOrder(parts, load, take); err != nil {
		return err
	}
	a.flush()
	d.fsm.reached.advance(d.fsm.applied.Load())
	return nil
}

const (
	// readPart entries are read and decoded at once: enough that handing them on
	// costs nothing, few enough to hold some parts in memory.
	readPart = 256
	// applyPart entries are applied in one transaction: the more, the less is
	// copied; so many are held in case one of them fails.
	applyPart = 8192
)

// loaded is an entry of the log, read, checked and decoded.
type loaded struct {
	entry   raft.Log
	apply   bool  // it is to be applied
	do      apply // of a command to be applied
	unknown error // why there is no do
	err     error // the entry cannot be read
}

func (d *disk) load(index uint64, apply bool) (e loaded) {
	if _, e.err = d.log.read(index, &e.entry); e.err != nil {
		return e
	}
	e.apply = apply && (e.entry.Type == raft.LogCommand || e.entry.Type == raft.LogConfiguration)
	if e.apply && e.entry.Type == raft.LogCommand {
		e.do, e.unknown = d.fsm.decode(e.entry.Data)
		e.entry.Data = nil
	}
	return e
}

// applier applies many entries in few transactions.
type applier struct {
	fsm     *fsm
	pending []pending
}

type pending struct {
	index uint64
	do    apply
}

// add applies an entry, now or by the next flush.
func (a *applier) add(e *loaded) error {
	switch {
	case !e.apply:
		return nil
	case e.unknown != nil:
		a.flush()
		return a.fsm.stop(e.entry.Index, e.unknown)
	case e.do == nil:
		a.flush()
		a.fsm.applied.Store(e.entry.Index)
		return nil
	}
	if a.pending = append(a.pending, pending{e.entry.Index, e.do}); len(a.pending) == applyPart {
		a.flush()
	}
	return nil
}

// flush applies what add put off. An entry that the state refused when it was
// new is refused again: it must leave no trace, so what came before it in the
// transaction is done a second time.
func (a *applier) flush() {
	for rest := a.pending; len(rest) > 0; {
		n := a.try(rest)
		if n < len(rest) {
			a.try(rest[:n])
			n++
		}
		rest = rest[n:]
	}
	if n := len(a.pending); n > 0 {
		a.fsm.applied.Store(a.pending[n-1].index)
	}
	a.pending = a.pending[:0]
}

// try applies a list in one transaction and returns how many are good; the
// transaction happened if all are.
func (a *applier) try(list []pending) int {
	if len(list) == 0 {
		return 0
	}
	tx := a.fsm.state.Begin(list[0].index)
	for i, p := range list {
		if i > 0 {
			tx.Next(p.index)
		}
		if _, err := p.do(tx); err != nil {
			tx.Abort()
			return i
		}
	}
	tx.Commit()
	return len(list)
}
