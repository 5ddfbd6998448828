package fsm

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/fxamacker/cbor/v2"
	"github.com/hashicorp/raft"

	"consul.internal/store/state"
)

// FSM applies the log to the state. raft calls it from one goroutine.
//
// It reads no clock and no configuration: the same entries make the same state
// on every server. What it cannot apply stops it for good, by fail, since going
// on would let this server differ from the others.
type FSM struct {
	state    *state.State
	codec    codec
	commands map[Type]command
	image    image
	sums     cbor.EncMode
	fail     func(error)
	// checkpoint is told of each checkpoint, nil = nobody is.
	checkpoint func(index uint64, c Checkpoint, snap *state.Snapshot)

	held    uint64 // the feed hears nothing before this is applied, 0 = it does
	stopped error  // why nothing is applied any more
	applied atomic.Uint64
	reached progress
}

// New makes an FSM over a state to which nothing has been applied. fail is told
// why nothing is applied any more.
func New(st *state.State, fail func(error)) (*FSM, error) {
	commands, err := newCodec(maxNesting)
	if err != nil {
		return nil, err
	}
	images, err := newCodec(snapshotNesting)
	if err != nil {
		return nil, err
	}
	sums, err := newSumEncoding()
	if err != nil {
		return nil, err
	}
	return &FSM{state: st, codec: commands, commands: known(commands), image: image{images}, sums: sums, fail: fail}, nil
}

// Applied is the index of the last entry that is in the state.
func (f *FSM) Applied() uint64 { return f.applied.Load() }

// Cover notes that the state holds all up to index: the FSM is not shown what
// stands between that and the last entry that it was shown.
func (f *FSM) Cover(index uint64) {
	f.applied.Store(max(f.applied.Load(), index))
	f.reached.advance(index)
}

// Stopped is why nothing is applied any more, nil while all is well. To be asked
// while raft does not run.
func (f *FSM) Stopped() error { return f.stopped }

// Wait blocks until the entry at index is applied, or stop or cancel closes. It
// reports whether the entry is.
func (f *FSM) Wait(index uint64, stop, cancel <-chan struct{}) bool {
	return f.reached.wait(index, stop, cancel)
}

// Reset makes the state one to which nothing has been applied. Nobody may be waiting.
func (f *FSM) Reset() error {
	f.stopped = nil
	f.applied.Store(0)
	f.reached.restart()
	return f.state.Restore().Commit(0)
}

// Hold keeps from the feed what happens until all up to index is in the state, and
// tells it the whole state then: whoever is fed keeps what he has while a state that
// was reset fills up again. To be called while raft does not run.
func (f *FSM) Hold(index uint64) {
	f.state.HoldFeed()
	f.held = index
}

// release ends Hold, in raft's goroutine.
func (f *FSM) release() {
	if f.held > 0 && f.applied.Load() >= f.held {
		f.held = 0
		f.state.ReleaseFeed()
	}
}

// WriteImage writes a snapshot of a state after the entry at index.
func (f *FSM) WriteImage(w io.Writer, snap *state.Snapshot, index uint64) error {
	return f.image.write(w, snap, index)
}

// ReadImage puts the state of a snapshot in the place of st's, and returns its index.
func (f *FSM) ReadImage(r io.Reader, st *state.State) (index uint64, err error) {
	return f.image.read(r, st)
}

// Result is what raft hands from Apply to whoever proposed the entry.
type Result struct {
	Value any
	Err   error
}

// Apply implements raft.FSM.
func (f *FSM) Apply(log *raft.Log) any { return f.ApplyBatch([]*raft.Log{log})[0] }

// ApplyBatch implements raft.BatchingFSM.
func (f *FSM) ApplyBatch(logs []*raft.Log) []any {
	out := make([]any, len(logs))
	for i := 0; i < len(logs); {
		if list := f.pending(logs[i:]); len(list) > 0 {
			i += f.together(list, out[i:])
			continue
		}
		out[i] = f.apply(logs[i])
		i++
	}
	f.release()
	f.reached.advance(f.applied.Load())
	return out
}

func (f *FSM) apply(log *raft.Log) (r Result) {
	switch {
	case f.stopped != nil:
		return Result{Err: f.stopped}
	case log.Index <= f.applied.Load():
		return Result{} // replayed before raft started
	case log.Type != raft.LogCommand:
		f.applied.Store(log.Index)
		return Result{}
	}
	_, err := f.decode(log.Data)
	return Result{Err: f.stop(log.Index, err)} // else it would be in together
}

// pending decodes the commands with which logs begins, as far as they are to be applied.
func (f *FSM) pending(logs []*raft.Log) []pending {
	var list []pending
	for _, log := range logs {
		if f.stopped != nil || log.Index <= f.applied.Load() || log.Type != raft.LogCommand {
			break
		}
		do, err := f.decode(log.Data)
		if err != nil {
			break
		}
		list = append(list, pending{log.Index, do})
	}
	return list
}

// together applies the head of a list in one transaction, which costs much less
// than one for each entry, and returns how many entries that were.
func (f *FSM) together(list []pending, out []any) int {
	tx := f.state.Begin(list[0].index)
	var value any
	for i, p := range list {
		if i > 0 {
			tx.Next(p.index)
		}
		var err error
		if value, err = p.do(tx); err != nil {
			tx.Abort()
			if i > 0 {
				return f.together(list[:i], out) // again without it: it must leave no trace
			}
			out[0] = Result{value, err}
			f.applied.Store(p.index)
			return 1
		}
		out[i] = Result{Value: value}
		if _, ok := value.(Checkpoint); ok { // wants the state as it is right after it
			list = list[:i+1]
			break
		}
	}
	tx.Commit()
	last := list[len(list)-1].index
	f.applied.Store(last)
	f.passed(last, value)
	return len(list)
}

// stop ends the applying for good, at an entry that this version does not understand.
func (f *FSM) stop(index uint64, err error) error {
	f.stopped = fmt.Errorf("log entry %d: %w. This server stops here, nothing was changed; run it with the version that its cluster runs", index, err)
	f.fail(f.stopped)
	return f.stopped
}

// Snapshot implements raft.FSM.
func (f *FSM) Snapshot() (raft.FSMSnapshot, error) {
	if f.stopped != nil {
		return nil, f.stopped
	}
	return &fsmSnapshot{image: f.image, snap: f.state.Snapshot(), applied: f.applied.Load()}, nil
}

// Restore implements raft.FSM. The state changes only when the whole snapshot
// has been read and found right.
func (f *FSM) Restore(r io.ReadCloser) error {
	index, err := f.image.read(r, f.state)
	if err = errors.Join(err, r.Close()); err != nil {
		return err
	}
	f.applied.Store(index)
	f.release()
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

// restart begins at 0 again. Nobody may be waiting.
func (p *progress) restart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.index = 0
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
