package disklog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// mendTail puts right what a kill while segments change leaves, and raft-wal
// 0.4.0 cannot go on from: it writes an index of its entries at the end of a full
// segment, then notes the next segment. Killed between the two, the last segment
// is full; killed within the first, it looks full though its last batch is void.
// Either way every later write is refused, and a server that is alone never leads
// again.
//
// The first is mended by noting the next segment, the second by blanking what was
// never acknowledged. Where acknowledged entries are lost nothing is touched;
// replay refuses the log.
func mendTail(dir string, st types.PersistentState, acked uint64) (types.PersistentState, error) {
	n := len(st.Segments)
	if n == 0 || !st.Segments[n-1].SealTime.IsZero() {
		return st, nil
	}
	info := st.Segments[n-1]
	path := filepath.Join(dir, segment.FileName(info))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return st, nil // listed, not yet made: raft-wal makes it
	}
	if err != nil {
		return st, err
	}
	defer f.Close()
	t, err := readTail(f)
	if err != nil {
		return st, fmt.Errorf("read %s: %w", path, err)
	}
	last := info.BaseIndex + t.entries - 1
	switch {
	case t.index == 0 || acked > last:
		return st, nil
	case t.index > t.end:
		return st, blank(f, t.end)
	}
	now := time.Now()
	segments := append([]types.SegmentInfo(nil), st.Segments...)
	sealed := &segments[n-1]
	sealed.SealTime, sealed.MaxIndex, sealed.IndexStart = now, last, uint64(t.index)
	segments = append(segments, types.SegmentInfo{
		ID: st.NextSegmentID, BaseIndex: last + 1, MinIndex: last + 1,
		Codec: info.Codec, SizeLimit: info.SizeLimit, CreateTime: now,
	})
	return types.PersistentState{NextSegmentID: st.NextSegmentID + 1, Segments: segments}, nil
}

// indexCut gives an index to each segment that was cut: where a follower drops
// entries that its new leader does not have, raft-wal 0.4.0 notes the segment as
// full, writes no index of its entries, and cannot read it again after a restart.
// The index is written behind the last batch that holds, where nothing is, and
// then noted; a segment that lacks noted entries is left to replay to refuse.
func indexCut(dir string, st types.PersistentState) (types.PersistentState, bool, error) {
	changed := false
	for i, info := range st.Segments {
		if info.SealTime.IsZero() || info.IndexStart != 0 {
			continue
		}
		path := filepath.Join(dir, segment.FileName(info))
		start, err := writeIndex(path, info.MaxIndex-info.BaseIndex+1)
		if err != nil {
			return st, false, fmt.Errorf("index %s: %w", path, err)
		}
		if start == 0 {
			continue
		}
		if !changed {
			st.Segments, changed = append([]types.SegmentInfo(nil), st.Segments...), true
		}
		st.Segments[i].IndexStart = start
	}
	return st, changed, nil
}

// writeIndex writes the index of a segment that should hold so many entries, and
// returns where it begins; 0 where the segment holds fewer, or is not there.
func writeIndex(path string, want uint64) (uint64, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	t, err := readTail(f)
	if err != nil || t.entries < want {
		return 0, err
	}
	frame := make([]byte, frameHeader, frameHeader+(len(t.offsets)*4+frameHeader-1)/frameHeader*frameHeader)
	frame[0] = segment.FrameIndex
	binary.LittleEndian.PutUint32(frame[4:], uint32(4*t.entries))
	for _, at := range t.offsets[:t.entries] {
		frame = binary.LittleEndian.AppendUint32(frame, uint32(at))
	}
	if _, err := f.WriteAt(frame, t.end); err != nil {
		return 0, err
	}
	return uint64(t.end) + frameHeader, f.Sync()
}

// trimSealed gives back the room that sealed segments have reserved and will never
// use: each change of leader that makes a follower drop entries seals one that is
// nearly empty. Were that room kept, a small disk could fill up so far that
// not even the list of the segments can be written, and the server never starts again.
func trimSealed(dir string, list []types.SegmentInfo) error {
	for _, info := range list {
		if info.SealTime.IsZero() || info.IndexStart < frameHeader {
			continue
		}
		path := filepath.Join(dir, segment.FileName(info))
		const entry = 4 // bytes of an entry in the index
		if err := trimFile(path, int64(info.IndexStart), int64(info.MaxIndex-info.BaseIndex+1)*entry); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("trim %s: %w", path, err)
		}
	}
	return nil
}

// trimFile cuts a segment off behind its index, if that is where it should be, and
// as long as it must be: a wrong length may not cost an entry.
func trimFile(path string, index, least int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	var head [frameHeader]byte
	if _, err := f.ReadAt(head[:], index-frameHeader); errors.Is(err, io.EOF) || head[0] != segment.FrameIndex {
		return nil // whoever reads it will say what is wrong
	} else if err != nil {
		return err
	}
	size := int64(binary.LittleEndian.Uint32(head[4:]))
	if end := index + (size+frameHeader-1)/frameHeader*frameHeader; size >= least && end < fi.Size() {
		return errors.Join(f.Truncate(end), f.Sync())
	}
	return nil
}

// blank makes a file end in zeros from an offset on, keeping its size.
func blank(f *os.File, from int64) error {
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(from), f.Truncate(fi.Size()), f.Sync())
}

// tail is what raft-wal will find in a segment that is written to.
type tail struct {
	entries uint64  // up to the last batch that holds
	end     int64   // offset after that batch
	index   int64   // offset of the index at the end of a full segment, 0 = there is none
	offsets []int64 // of all entries that were found
}

const (
	segmentHeader = 32 // bytes before the first frame
	frameHeader   = 8  // type, three bytes unused, length or checksum
)

// readTail walks the frames of a segment by the rules of raft-wal's README: a
// batch holds if another one was begun after it, or its checksum is right.
func readTail(f *os.File) (tail, error) {
	type batch struct {
		tail
		begin int64 // of the bytes under the checksum
		sum   uint32
	}
	var (
		prev, last batch
		index      int64
		entries    uint64
		offsets    []int64
		head       [frameHeader]byte
	)
	for at := int64(segmentHeader); ; {
		if _, err := f.ReadAt(head[:], at); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return tail{}, err
		}
		value, size := binary.LittleEndian.Uint32(head[4:]), int64(0)
		switch head[0] {
		case segment.FrameEntry:
			entries++
			offsets = append(offsets, at)
			size = int64(value)
		case segment.FrameIndex:
			index = at + frameHeader
			size = int64(value)
		case segment.FrameCommit:
			prev, last = last, batch{tail{entries: entries, end: at + frameHeader}, last.end, value}
		}
		if head[0] == segment.FrameInvalid || head[0] > segment.FrameCommit {
			break
		}
		at += frameHeader + (size+frameHeader-1)/frameHeader*frameHeader
	}
	if entries == last.entries && last.end > 0 {
		sum := crc32.New(castagnoli)
		if _, err := io.Copy(sum, io.NewSectionReader(f, last.begin, last.end-frameHeader-last.begin)); err != nil {
			return tail{}, err
		}
		if sum.Sum32() != last.sum {
			last = prev
		}
	}
	last.index, last.offsets = index, offsets
	return last.tail, nil
}
