package fsm

import (
	"context"
	"fmt"
	"iter"

	"github.com/hashicorp/raft"
)

// Stored is a log to be replayed.
type Stored struct {
	First, Last uint64 // its entries
	Committed   uint64 // the last entry known to be committed
	// Read reads and checks an entry. It is called from several goroutines.
	Read func(index uint64, into *raft.Log) error
	// Visit is shown every entry in order, with its Data unless it is a command
	// that is applied. An error ends the replay.
	Visit func(*raft.Log) error
}

// Replay reads every entry of a log and applies those that are committed and not
// yet in the state. Entries are read and decoded by all processors, ahead of the
// one that applies them in order.
func (f *FSM) Replay(ctx context.Context, log Stored) error {
	have := f.applied.Load()
	var parts iter.Seq[uint64] = func(yield func(uint64) bool) {
		for from := log.First; from <= log.Last && yield(from); from += readPart {
		}
	}
	load := func(from uint64) []loaded {
		part := make([]loaded, 0, min(readPart, log.Last-from+1))
		for index := from; index <= log.Last && index < from+readPart; index++ {
			e := f.load(&log, index, index <= log.Committed && index > have)
			if part = append(part, e); e.err != nil {
				break
			}
		}
		return part
	}
	a := applier{fsm: f}
	take := func(part []loaded) error {
		if ctx.Err() != nil {
			return fmt.Errorf("read log: %w", context.Cause(ctx))
		}
		for i := range part {
			e := &part[i]
			if e.err != nil {
				return e.err
			}
			if err := log.Visit(&e.entry); err != nil {
				return err
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
	f.reached.advance(f.applied.Load())
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

func (f *FSM) load(log *Stored, index uint64, apply bool) (e loaded) {
	if e.err = log.Read(index, &e.entry); e.err != nil {
		return e
	}
	e.apply = apply && (e.entry.Type == raft.LogCommand || e.entry.Type == raft.LogConfiguration)
	if e.apply && e.entry.Type == raft.LogCommand {
		e.do, e.unknown = f.decode(e.entry.Data)
		e.entry.Data = nil
	}
	return e
}

// applier applies many entries in few transactions.
type applier struct {
	fsm     *FSM
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
