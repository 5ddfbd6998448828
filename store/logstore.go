package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/segment"
	"go.uber.org/zap"

	"consul.internal/internal/durable"
	"consul.internal/internal/logx"
)

// diskLog is raft's log store: raft-wal with a checksum of ours on each entry,
// and a mark of the highest entry stored.
//
// The checksum, and the index known to be committed when the entry was stored,
// travel at the end of the entry's Extensions and are taken off when it is read.
// The committed index lets a restarted server replay what it knows committed
// before any other server answers. raft's own way to do that
// (RestoreCommittedLogs) hands the entries to a channel that nobody reads yet, and
// so blocks for ever past 8,192 entries; replay does it instead.
type diskLog struct {
	*wal.WAL // stable store, FirstIndex, LastIndex, IsMonotonic
	dir      string
	mark     *mark
	// committed gives the index known to be committed now.
	committed func() uint64
	// damaged is told of an entry that cannot be used, once raft runs; nil before.
	damaged func(error)
	closing <-chan struct{}

	other *otherEntries
}

const (
	trailerVersion = 1
	trailerSize    = 1 + 8 + 4 // version, committed index, CRC32C
	metaFile       = "meta"
)

// openDiskLog opens the log in dir, making it if there is none. It reads the
// whole of it only in verify.
func openDiskLog(dir string, segmentSize int, m *mark, logger *zap.Logger) (l *diskLog, err error) {
	defer func() {
		// raft-wal indexes by lengths that it read from the file.
		if p := recover(); p != nil {
			err = &Damage{Path: dir, What: fmt.Sprintf("the log cannot be opened: %v", p)}
		}
	}()
	if err := durable.MkdirAll(dir); err != nil {
		return nil, err
	}
	if err := removeLeftovers(dir); err != nil {
		return nil, err
	}
	w, err := wal.Open(dir,
		wal.WithMetaStore(&walMeta{path: filepath.Join(dir, metaFile), acked: m.get().acked}),
		wal.WithSegmentFiler(segment.NewFiler(dir, privateFS{})),
		wal.WithSegmentSize(segmentSize),
		wal.WithLogger(logx.HCLog(logger.Named("wal"))))
	switch {
	case err == nil:
		return &diskLog{WAL: w, dir: dir, mark: m, committed: func() uint64 { return 0 }, other: &otherEntries{}}, nil
	case IsDamage(err):
		return nil, err
	case errors.Is(err, wal.ErrCorrupt), errors.Is(err, os.ErrNotExist):
		return nil, &Damage{Path: dir, What: "the log cannot be opened", Err: err}
	default:
		return nil, fmt.Errorf("open log %s: %w", dir, err)
	}
}

// StoreLog implements raft.LogStore.
func (l *diskLog) StoreLog(log *raft.Log) error { return l.StoreLogs([]*raft.Log{log}) }

// StoreLogs implements raft.LogStore.
func (l *diskLog) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	committed := l.committed()
	sealed := make([]*raft.Log, len(logs))
	for i, log := range logs {
		c := *log
		c.Extensions = seal(log, committed)
		sealed[i] = &c
		l.other.note(log)
	}
	if err := l.WAL.StoreLogs(sealed); err != nil {
		return err
	}
	return l.mark.set(logs[len(logs)-1].Index, committed, false)
}

// GetLog implements raft.LogStore. Once raft runs it does not return from a
// damaged entry: raft would end the process by a panic in which nobody could
// read what to do. The store is told, is closed by whoever waits for Failed, and
// the goroutine ends with it.
func (l *diskLog) GetLog(index uint64, log *raft.Log) error {
	_, err := l.read(index, log)
	if l.damaged != nil && IsDamage(err) {
		l.damaged(err)
		<-l.closing
		runtime.Goexit()
	}
	return err
}

// read reads and checks an entry; committed is what was known to be committed
// when it was stored.
func (l *diskLog) read(index uint64, log *raft.Log) (committed uint64, err error) {
	defer func() {
		if p := recover(); p != nil { // raft-wal's codec trusts lengths in the entry
			err = l.damage(index, fmt.Sprint(p), nil)
		}
	}()
	if err := l.WAL.GetLog(index, log); err != nil {
		if errors.Is(err, raft.ErrLogNotFound) || errors.Is(err, wal.ErrClosed) {
			return 0, err
		}
		return 0, l.damage(index, "it cannot be read", err)
	}
	if log.Index != index {
		return 0, l.damage(index, fmt.Sprintf("entry %d is in its place", log.Index), nil)
	}
	n := len(log.Extensions) - trailerSize
	if n < 0 || log.Extensions[n] != trailerVersion {
		return 0, l.damage(index, "its checksum is missing", nil)
	}
	trailer := log.Extensions[n:]
	log.Extensions = log.Extensions[:n:n]
	if n == 0 {
		log.Extensions = nil
	}
	committed = binary.LittleEndian.Uint64(trailer[1:])
	if checksum(log, committed) != binary.LittleEndian.Uint32(trailer[9:]) {
		return 0, l.damage(index, "its checksum is wrong", nil)
	}
	return committed, nil
}

// DeleteRange implements raft.LogStore.
func (l *diskLog) DeleteRange(first, last uint64) error {
	end, err := l.LastIndex()
	if err != nil {
		return err
	}
	if last >= end && first <= end {
		// The end of the log goes: so must the promise that it reaches further.
		begin, err := l.FirstIndex()
		if err != nil {
			return err
		}
		acked := uint64(0)
		if first > begin {
			acked = first - 1
		}
		if err := l.mark.set(acked, min(l.committed(), acked), true); err != nil {
			return err
		}
	}
	return l.WAL.DeleteRange(first, last)
}

// close syncs the mark, with what is known to be committed, and closes the log.
// A log that raft never got is left exactly as it is.
func (l *diskLog) close() error {
	if l.damaged == nil {
		return errors.Join(l.WAL.Close(), l.mark.close())
	}
	m := l.mark.get()
	committed := max(m.committed, min(l.committed(), m.acked))
	return errors.Join(l.WAL.Close(), l.mark.set(m.acked, committed, true), l.mark.close())
}

// damage makes the error about an entry, with the segment file that holds it.
func (l *diskLog) damage(index uint64, what string, err error) error {
	return &Damage{Path: l.segmentOf(index), What: fmt.Sprintf("log entry %d: %s", index, what), Err: err}
}

// segmentOf finds the file that holds an entry: the one with the highest first
// index up to it, which raft-wal writes into the name.
func (l *diskLog) segmentOf(index uint64) string {
	best := l.dir
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return best
	}
	for _, e := range entries { // in lexical order, which is that of first indexes
		var base, id uint64
		if n, _ := fmt.Sscanf(e.Name(), "%020d-%016x.wal", &base, &id); n == 2 && base <= index {
			best = filepath.Join(l.dir, e.Name())
		}
	}
	return best
}

func seal(log *raft.Log, committed uint64) []byte {
	b := make([]byte, 0, len(log.Extensions)+trailerSize)
	b = append(append(b, log.Extensions...), trailerVersion)
	b = binary.LittleEndian.AppendUint64(b, committed)
	return binary.LittleEndian.AppendUint32(b, checksum(log, committed))
}

// checksum covers everything of an entry that raft acts on, with the lengths so
// that no byte can move from one field to the next.
func checksum(log *raft.Log, committed uint64) uint32 {
	var head [5*8 + 1]byte
	binary.LittleEndian.PutUint64(head[0:], log.Index)
	binary.LittleEndian.PutUint64(head[8:], log.Term)
	binary.LittleEndian.PutUint64(head[16:], uint64(len(log.Data)))
	binary.LittleEndian.PutUint64(head[24:], uint64(len(log.Extensions)))
	binary.LittleEndian.PutUint64(head[32:], committed)
	head[40] = byte(log.Type)
	sum := crc32.Update(0, castagnoli, head[:])
	sum = crc32.Update(sum, castagnoli, log.Data)
	return crc32.Update(sum, castagnoli, log.Extensions)
}

// otherEntries remembers which entries of the log are not commands, as runs of
// neighbours. raft does not show those to the FSM, so whoever waits until the FSM
// has reached an index must wait for the last command up to it.
type otherEntries struct {
	mu   sync.Mutex
	runs []run
}

// run is entries from the first to the last index.
type run struct{ first, last uint64 }

// keepRuns is far more than the elections, with a command between each and the
// next, that can happen while one read waits.
const keepRuns = 256

func (o *otherEntries) note(log *raft.Log) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for n := len(o.runs); n > 0 && o.runs[n-1].last >= log.Index; n-- {
		// The end of the log was cut, and is written anew.
		if o.runs[n-1].last = log.Index - 1; o.runs[n-1].last >= o.runs[n-1].first {
			break
		}
		o.runs = o.runs[:n-1]
	}
	if log.Type == raft.LogCommand || log.Type == raft.LogConfiguration {
		return
	}
	if n := len(o.runs); n > 0 && o.runs[n-1].last+1 == log.Index {
		o.runs[n-1].last = log.Index
		return
	}
	if len(o.runs) == keepRuns {
		o.runs = append(o.runs[:0], o.runs[1:]...)
	}
	o.runs = append(o.runs, run{log.Index, log.Index})
}

// lastShown is the highest index up to index whose entry the FSM is shown.
func (o *otherEntries) lastShown(index uint64) uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := len(o.runs) - 1; i >= 0; i-- {
		if r := o.runs[i]; r.first <= index && index <= r.last {
			return r.first - 1
		}
	}
	return index
}

// memoryLog is raft's log in memory, for an agent without a data directory.
type memoryLog struct {
	*raft.InmemStore
	other *otherEntries
}

func (l memoryLog) StoreLog(log *raft.Log) error { return l.StoreLogs([]*raft.Log{log}) }

func (l memoryLog) StoreLogs(logs []*raft.Log) error {
	for _, log := range logs {
		l.other.note(log)
	}
	return l.InmemStore.StoreLogs(logs)
}
