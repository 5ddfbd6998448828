package store

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"consul.internal/store/state"
)

// fsm applies the log to the state. raft calls it from one goroutine.
//
// It reads no clock and no configuration: the same entries make the same state
// on every server. What it cannot apply stops it for good, by fail, since going
// on would let this server differ from the others.
type fsm struct {
	state    *state.State
	codec    codec
	decoders map[commandType]func([]byte) (apply, error)
	image    image
	fail     func(error)

	stopped error // why nothing is applied any more
	applied atomic.Uint64
	reached progress
}

// result is what raft hands from Apply to whoever proposed the entry.
type result struct {
	value any
	err   error
}

// Apply implements raft.FSM.
func (f *fsm) Apply(log *raft.Log) any { return f.ApplyBatch([]*raft.Log{log})[0] }

// ApplyBatch implements raft.BatchingFSM.
func (f *fsm) ApplyBatch(logs []*raft.Log) []any {
	out := make([]any, len(logs))
	for i, log := range logs {
		out[i] = f.apply(log)
	}
	f.reached.advance(f.applied.Load())
	return out
}

func (f *fsm) apply(log *raft.Log) (r result) {
	switch {
	case f.stopped != nil:
		return result{err: f.stopped}
	case log.Index <= f.applied.Load():
		return result{} // replayed before raft started
	case log.Type != raft.LogCommand:
		f.applied.Store(log.Index)
		return result{}
	}
	do, err := f.decode(log.Data)
	if err != nil {
		return result{err: f.stop(log.Index, err)}
	}
	tx := f.state.Begin(log.Index)
	if r.value, r.err = do(tx); r.err != nil {
		tx.Abort()
	} else {
		tx.Commit()
	}
	f.applied.Store(log.Index)
	return r
}

// stop ends the applying for good, at an entry that this version does not understand.
func (f *fsm) stop(index uint64, err error) error {
	f.stopped = fmt.Errorf("log entry %d: %w. This server stops here, nothing was changed; run it with the version that its cluster runs", index, err)
	f.fail(f.stopped)
	return f.stopped
}

// Snapshot implements raft.FSM.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	if f.stopped != nil {
		return nil, f.stopped
	}
	return &fsmSnapshot{image: f.image, snap: f.state.Snapshot(), applied: f.applied.Load()}, nil
}

// Restore implements raft.FSM. The state changes only when the whole snapshot
// has been read and found right.
func (f *fsm) Restore(r io.ReadCloser) error {
	index, err := f.image.read(r, f.state)
	if err = errors.Join(err, r.Close()); err != nil {
		return err
	}
	f.applied.Store(index)
	f.reached.advance(index)
	return nil
}

type fsmSnapshot struct {
	image   image
	snap    *state.Snapshot
	applied uint64
}

// Persist implements raft.FSMSnapshot.
func (s *fsmSnapshot) Persist(sink raft.SnapshotSink) error {
	if err := s.image.write(sink, s.snap, s.applied); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot; the snapshot holds nothing but memory.
func (s *fsmSnapshot) Release() {}

// progress lets goroutines wait for an index.
type progress struct {
	mu      sync.Mutex
	index   uint64
	waiting map[chan struct{}]uint64
}

func (p *progress) advance(index uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.index = max(p.index, index)
	for ch, want := range p.waiting {
		if want <= p.index {
			close(ch)
			delete(p.waiting, ch)
		}
	}
}

// wait blocks until the index is reached, or stop or cancel closes. It reports
// whether the index was reached.
func (p *progress) wait(index uint64, stop, cancel <-chan struct{}) bool {
	p.mu.Lock()
	if p.index >= index {
		p.mu.Unlock()
		return true
	}
	if p.waiting == nil {
		p.waiting = map[chan struct{}]uint64{}
	}
	ch := make(chan struct{})
	p.waiting[ch] = index
	p.mu.Unlock()
	select {
	case <-ch:
		return true
	case <-stop:
	case <-cancel:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiting, ch)
	return p.index >= index
}
