package disklog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/segment"
	"go.uber.org/zap"

	"consul.internal/internal/durable"
	"consul.internal/internal/logx"
	"consul.internal/internal/metrics"
)

// Log is raft's log store: raft-wal with a checksum of ours on each entry,
// and a mark of the highest entry stored.
//
// The checksum, and the index known to be committed when the entry was stored,
// travel at the end of the entry's Extensions and are taken off when it is read.
// The committed index lets a restarted server replay what it knows committed
// before any other server answers. raft's own way to do that
// (RestoreCommittedLogs) hands the entries to a channel that nobody reads yet, and
// so blocks for ever past 8,192 entries; replay does it instead, and raft passes over
// them then without reading them (see resumedLog in package store).
//
// A disk that is full is no reason to end: raft-wal cannot go on after a write
// that failed, so the log is opened anew until that works. Meanwhile the gate is
// shut, writes fail and reads wait. After any other failed write nobody knows
// what is on the disk, and the server stops.
type Log struct {
	cfg Config

	mu   sync.RWMutex
	wal  *wal.WAL      // nil while it cannot be opened
	back chan struct{} // closed when it is open again

	// committed gives the index known to be committed now.
	committed func() uint64
	// damaged is told of an entry that cannot be used, once raft runs; nil before.
	damaged func(error)
	closing <-chan struct{}

	unshown Unshown
	peek    peeking // while the log is replayed
	cut     bool    // raft has taken away the end, and nothing stands in its place yet; raft's own goroutine's
}

// Config is what a log needs.
type Config struct {
	Dir string
	// SegmentSize of the log's files, bytes, allocated ahead.
	SegmentSize int
	// Mark stands beside the log, and is closed with it.
	Mark *Mark
	// Gate is shut while the disk does not take writes.
	Gate   *Gate
	Logger *zap.Logger
	// Run runs what whoever closes the log waits for; it reports false, and runs
	// nothing, once that has begun.
	Run func(func()) bool
	// Metrics takes the figures of the log's files; nil = nobody asks.
	Metrics *metrics.Registry
	// Faults of the disk, for tests: called before each write, by what it is for. May be nil.
	Faults func(op string) error
}

const (
	trailerUntimed = 1 // its checksum left out when the entry was made; none such is written any more
	trailerVersion = 2
	trailerSize    = 1 + 8 + 4 // version, committed index, CRC32C
	metaFile       = "meta"
)

// OpenLog opens the log in its directory, making it if there is none.
func OpenLog(cfg Config) (*Log, error) {
	if err := durable.MkdirAll(cfg.Dir); err != nil {
		return nil, err
	}
	if err := RemoveLeftovers(cfg.Dir); err != nil {
		return nil, err
	}
	if cfg.Faults == nil {
		cfg.Faults = func(string) error { return nil }
	}
	l := &Log{cfg: cfg, committed: func() uint64 { return 0 }}
	var err error
	l.wal, err = l.open()
	l.peek.Store(true) // the files have been checked
	return l, err
}

func (l *Log) open() (w *wal.WAL, err error) {
	defer func() {
		// raft-wal indexes by lengths that it read from the file.
		if p := recover(); p != nil {
			err = &Damage{Path: l.cfg.Dir, What: fmt.Sprintf("the log cannot be opened: %v", p)}
		}
	}()
	w, err = wal.Open(l.cfg.Dir,
		wal.WithMetaStore(&walMeta{path: filepath.Join(l.cfg.Dir, metaFile), acked: l.cfg.Mark.Get().Acked, faults: l.cfg.Faults}),
		wal.WithSegmentFiler(segment.NewFiler(l.cfg.Dir, privateFS{faults: l.cfg.Faults, peek: &l.peek})),
		wal.WithSegmentSize(l.cfg.SegmentSize),
		wal.WithMetricsCollector(newMeter(l.cfg.Metrics)),
		wal.WithLogger(logx.HCLog(l.cfg.Logger.Named("wal"))))
	switch {
	case err == nil:
		return w, nil
	case IsDamage(err):
		return nil, err
	case errors.Is(err, wal.ErrCorrupt), errors.Is(err, os.ErrNotExist):
		return nil, &Damage{Path: l.cfg.Dir, What: "the log cannot be opened", Err: err}
	default:
		return nil, fmt.Errorf("open log %s: %w", l.cfg.Dir, err)
	}
}

// Arm hands the log to raft. It makes sure first that the disk takes a write:
// raft would end the process by a panic.
func (l *Log) Arm(closing <-chan struct{}, fail func(error), committed func() uint64) error {
	l.peek.Store(false)
	term, err := l.GetUint64(keyCurrentTerm)
	if err == nil {
		err = l.SetUint64(keyCurrentTerm, term)
	}
	if err != nil {
		return fmt.Errorf("the raft log in %s cannot be written: %w", l.cfg.Dir, err)
	}
	l.closing, l.damaged, l.committed = closing, fail, committed
	return nil
}

// keyCurrentTerm is raft's own name for its term in the stable store.
var keyCurrentTerm = []byte("CurrentTerm")

// reading reads the log, waiting until it is open.
func reading[T any](l *Log, f func(*wal.WAL) (T, error)) (T, error) {
	for {
		l.mu.RLock()
		if l.wal != nil {
			defer l.mu.RUnlock()
			return f(l.wal)
		}
		back := l.back
		l.mu.RUnlock()
		select {
		case <-back:
		case <-l.closing:
			runtime.Goexit() // raft is ending, and knows no error here
		}
	}
}

// writing writes to the log, or its stable values, with an eye on how long it takes.
func (l *Log) writing(f func(*wal.WAL) error) error {
	err := l.cfg.Gate.Watch(func() error {
		l.mu.RLock()
		defer l.mu.RUnlock()
		if l.wal == nil {
			return errDiskFull
		}
		return f(l.wal)
	})
	switch {
	case err == nil, l.damaged == nil, errors.Is(err, errDiskFull), errors.Is(err, wal.ErrClosed):
		return err
	case diskFull(err), errors.Is(err, wal.ErrSealed): // sealed: the next segment could not be made
		l.reopen(err)
		return errDiskFull
	default:
		l.damaged(fmt.Errorf("the raft log in %s cannot be written: %w. This server stops: what the disk holds is not known any more. Look at the disk, then start the server again", l.cfg.Dir, err))
		return err
	}
}

var errDiskFull = errors.New("the disk is full")

func diskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// reopenPause lies between attempts to write to a disk that is full.
const reopenPause = 500 * time.Millisecond

// reopen closes the log and opens it as soon as the disk takes that.
func (l *Log) reopen(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wal == nil {
		return
	}
	if err := l.wal.Close(); err != nil {
		l.cfg.Logger.Warn("cannot close the log", zap.Error(err))
	}
	l.wal, l.back = nil, make(chan struct{})
	release := l.cfg.Gate.Hold("the log cannot be written: " + cause.Error() + "; make room on the disk of " + l.cfg.Dir)
	l.cfg.Run(func() {
		defer release()
		tick := time.NewTicker(reopenPause)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-l.closing:
				return
			}
			w, err := l.again()
			switch {
			case err == nil:
				l.mu.Lock()
				l.wal = w
				close(l.back)
				l.mu.Unlock()
				return
			case !diskFull(err):
				l.damaged(err)
				return
			}
		}
	})
}

// again opens the log as raft knows it: without entries whose writing failed.
func (l *Log) again() (*wal.WAL, error) {
	w, err := l.open()
	if err != nil {
		return nil, err
	}
	last, err := w.LastIndex()
	if acked := l.cfg.Mark.Get().Acked; err == nil && last > acked {
		err = w.DeleteRange(acked+1, last)
	} else if err == nil && last < acked {
		err = &Damage{Path: l.cfg.Dir, What: fmt.Sprintf("entries up to %d were stored, but the log now ends at %d", acked, last)}
	}
	if err == nil { // room for what changes with the term, too
		var term uint64
		if term, err = w.GetUint64(keyCurrentTerm); err == nil {
			err = w.SetUint64(keyCurrentTerm, term)
		}
	}
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// Unshown tells which entries the FSM is not shown.
func (l *Log) Unshown() *Unshown { return &l.unshown }

// FirstIndex implements raft.LogStore.
func (l *Log) FirstIndex() (uint64, error) { return reading(l, (*wal.WAL).FirstIndex) }

// LastIndex implements raft.LogStore.
func (l *Log) LastIndex() (uint64, error) { return reading(l, (*wal.WAL).LastIndex) }

// IsMonotonic implements raft.MonotonicLogStore.
func (l *Log) IsMonotonic() bool { return true }

// Get implements raft.StableStore.
func (l *Log) Get(key []byte) ([]byte, error) {
	return reading(l, func(w *wal.WAL) ([]byte, error) { return w.Get(key) })
}

// GetUint64 implements raft.StableStore.
func (l *Log) GetUint64(key []byte) (uint64, error) {
	return reading(l, func(w *wal.WAL) (uint64, error) { return w.GetUint64(key) })
}

// Set implements raft.StableStore.
func (l *Log) Set(key, value []byte) error {
	return l.writing(func(w *wal.WAL) error { return w.Set(key, value) })
}

// SetUint64 implements raft.StableStore. raft does not go on without its term: it
// would end the process. So that waits until the disk takes it.
func (l *Log) SetUint64(key []byte, value uint64) error {
	set := func(w *wal.WAL) error { return w.SetUint64(key, value) }
	if l.damaged == nil || !bytes.Equal(key, keyCurrentTerm) {
		return l.writing(set)
	}
	if l.insist(set) != nil {
		<-l.closing // the store was told
		runtime.Goexit()
	}
	return nil
}

// insist is writing, but waits for a disk that is full.
func (l *Log) insist(f func(*wal.WAL) error) error {
	for {
		err := l.writing(f)
		if l.damaged == nil || !errors.Is(err, errDiskFull) {
			return err
		}
		_, _ = l.LastIndex() // waits for the log, or ends with the store
		select {
		case <-l.closing:
			runtime.Goexit()
		default:
		}
	}
}

// StoreLog implements raft.LogStore.
func (l *Log) StoreLog(log *raft.Log) error { return l.StoreLogs([]*raft.Log{log}) }

// StoreLogs implements raft.LogStore.
func (l *Log) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	committed := l.committed()
	copies, sealed := make([]raft.Log, len(logs)), make([]*raft.Log, len(logs))
	size := 0
	for _, log := range logs {
		size += len(log.Extensions) + trailerSize
	}
	trails := make([]byte, 0, size)
	for i, log := range logs {
		begin := len(trails)
		trails = trail(trails, log, committed)
		copies[i], sealed[i] = *log, &copies[i]
		copies[i].Extensions = trails[begin:len(trails):len(trails)]
		l.unshown.Note(log)
	}
	write := l.writing
	if l.cut {
		write = l.insist
	}
	begun := time.Now()
	err := write(func(w *wal.WAL) error {
		err := l.cfg.Faults("log")
		if err == nil {
			err = w.StoreLogs(sealed)
		}
		if err == nil {
			err = l.cfg.Mark.Set(logs[len(logs)-1].Index, committed, false)
		}
		return err
	})
	if err == nil {
		l.cut = false
		l.cfg.Metrics.Timer(metrics.RaftDiskWrite).Since(begun)
	}
	return err
}

// GetLog implements raft.LogStore. Once raft runs it does not return from a
// damaged entry: raft would end the process by a panic in which nobody could
// read what to do. The store is told, is closed by whoever waits for Failed, and
// the goroutine ends with it.
func (l *Log) GetLog(index uint64, log *raft.Log) error {
	_, err := l.Read(index, log)
	if l.damaged != nil && IsDamage(err) {
		l.damaged(err)
		<-l.closing
		runtime.Goexit()
	}
	return err
}

// Read reads and checks an entry; committed is what was known to be committed
// when it was stored.
func (l *Log) Read(index uint64, log *raft.Log) (committed uint64, err error) {
	peeked := l.peek.Load()
	if committed, err = l.read(index, log); err != nil && peeked {
		l.peek.Store(false) // as raft-wal does it, before anything is said of damage
		return l.read(index, log)
	}
	return committed, err
}

func (l *Log) read(index uint64, log *raft.Log) (committed uint64, err error) {
	defer func() {
		if p := recover(); p != nil { // raft-wal's codec trusts lengths in the entry
			err = l.DamageAt(index, fmt.Sprint(p), nil)
		}
	}()
	_, err = reading(l, func(w *wal.WAL) (struct{}, error) { return struct{}{}, w.GetLog(index, log) })
	if err != nil {
		if errors.Is(err, raft.ErrLogNotFound) || errors.Is(err, wal.ErrClosed) {
			return 0, err
		}
		return 0, l.DamageAt(index, "it cannot be read", err)
	}
	if log.Index != index {
		return 0, l.DamageAt(index, fmt.Sprintf("entry %d is in its place", log.Index), nil)
	}
	n := len(log.Extensions) - trailerSize
	if n < 0 || log.Extensions[n] != trailerVersion && log.Extensions[n] != trailerUntimed {
		return 0, l.DamageAt(index, "its checksum is missing", nil)
	}
	trailer := log.Extensions[n:]
	log.Extensions = log.Extensions[:n:n]
	if n == 0 {
		log.Extensions = nil
	}
	committed = binary.LittleEndian.Uint64(trailer[1:])
	if checksum(log, committed, trailer[0]) != binary.LittleEndian.Uint32(trailer[9:]) {
		return 0, l.DamageAt(index, "its checksum is wrong", nil)
	}
	return committed, nil
}

// DeleteRange implements raft.LogStore. raft has no way back from the loss of the
// log's end that failed half-way: it would go on believing in entries that are
// gone, and take part in nothing until it is restarted. So what takes the end away,
// and the entries that come in its place, wait for a disk that is full.
func (l *Log) DeleteRange(first, last uint64) error {
	end, err := l.LastIndex()
	if err != nil {
		return err
	}
	if last < end || first > end {
		return l.writing(func(w *wal.WAL) error { return w.DeleteRange(first, last) })
	}
	// The end of the log goes: so must the promise that it reaches further.
	begin, err := l.FirstIndex()
	if err != nil {
		return err
	}
	acked := uint64(0)
	if first > begin {
		acked = first - 1
	}
	if err := l.cfg.Mark.Set(acked, min(l.committed(), acked), true); err != nil {
		return err
	}
	err = l.insist(func(w *wal.WAL) error {
		if end, err := w.LastIndex(); err != nil || end < first {
			return err // gone at the first attempt, or when the log was opened again
		}
		return w.DeleteRange(first, last)
	})
	l.cut = err == nil
	return err
}

// Close syncs the mark, with what is known to be committed, and closes the log.
// A log that raft never got is left exactly as it is.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var err error
	if l.wal != nil {
		err = l.wal.Close()
	}
	if l.damaged != nil {
		m := l.cfg.Mark.Get()
		err = errors.Join(err, l.cfg.Mark.Set(m.Acked, max(m.Committed, min(l.committed(), m.Acked)), true))
	}
	return errors.Join(err, l.cfg.Mark.Close())
}

// DamageAt makes the error about an entry, with the segment file that holds it.
func (l *Log) DamageAt(index uint64, what string, err error) error {
	return &Damage{Path: l.SegmentOf(index), What: fmt.Sprintf("log entry %d: %s", index, what), Err: err}
}

// SegmentOf finds the file that holds an entry: the one with the highest first
// index up to it, which raft-wal writes into the name.
func (l *Log) SegmentOf(index uint64) string {
	best := l.cfg.Dir
	entries, err := os.ReadDir(l.cfg.Dir)
	if err != nil {
		return best
	}
	for _, e := range entries { // in lexical order, which is that of first indexes
		var base, id uint64
		if n, _ := fmt.Sscanf(e.Name(), "%020d-%016x.wal", &base, &id); n == 2 && base <= index {
			best = filepath.Join(l.cfg.Dir, e.Name())
		}
	}
	return best
}

// trail appends what an entry's Extensions become.
func trail(b []byte, log *raft.Log, committed uint64) []byte {
	b = append(append(b, log.Extensions...), trailerVersion)
	b = binary.LittleEndian.AppendUint64(b, committed)
	return binary.LittleEndian.AppendUint32(b, checksum(log, committed, trailerVersion))
}

// checksum covers everything of an entry, with the lengths so that no byte can
// move from one field to the next.
func checksum(log *raft.Log, committed uint64, version byte) uint32 {
	var head [5*8 + 1]byte
	binary.LittleEndian.PutUint64(head[0:], log.Index)
	binary.LittleEndian.PutUint64(head[8:], log.Term)
	binary.LittleEndian.PutUint64(head[16:], uint64(len(log.Data)))
	binary.LittleEndian.PutUint64(head[24:], uint64(len(log.Extensions)))
	binary.LittleEndian.PutUint64(head[32:], committed)
	head[40] = byte(log.Type)
	sum := crc32.Update(0, castagnoli, head[:])
	sum = crc32.Update(sum, castagnoli, log.Data)
	if version != trailerUntimed {
		var at [16]byte                                                // the time as raft-wal writes it
		if b, err := log.AppendedAt.AppendBinary(at[:0]); err == nil { // else it cannot be written
			sum = crc32.Update(sum, castagnoli, b)
		}
	}
	return crc32.Update(sum, castagnoli, log.Extensions)
}
