package disklog

import (
	"encoding/binary"
	"io"
	"sync/atomic"

	"github.com/hashicorp/raft-wal/types"
)

// raft-wal reads 64 KiB for each entry, most of which have some hundred bytes. That
// is a good part of what reading a whole log takes, so while a log is replayed the
// files give it no more than the entry. Outside of that its reads are its own: what
// it reads to check a batch looks just the same.

const (
	frameRead  = 64 << 10 // what raft-wal reads of an entry at first
	frameHead  = 8        // type, length at 4; see raft-wal's README
	frameEntry = 1        // the type of an entry
	peekRead   = 2 << 10  // holds a usual registration, and costs hardly more than less
)

// peeking says whether the files of a log give no more than the entry.
type peeking struct{ atomic.Bool }

// readAt reads as f does. If it is an entry that begins at off and ends soon, it
// says that the file ends, too, which raft-wal takes well.
func (p *peeking) readAt(f io.ReaderAt, b []byte, off int64) (int, error) {
	if len(b) != frameRead || !p.Load() {
		return f.ReadAt(b, off)
	}
	n, err := f.ReadAt(b[:peekRead], off)
	if err == nil && b[0] == frameEntry {
		if size := binary.LittleEndian.Uint32(b[4:]); size > 0 && size <= peekRead-frameHead {
			return n, io.EOF
		}
	}
	return f.ReadAt(b, off)
}

type peekReader struct {
	types.ReadableFile
	peek *peeking
}

func (r peekReader) ReadAt(b []byte, off int64) (int, error) {
	return r.peek.readAt(r.ReadableFile, b, off)
}

type peekWriter struct {
	types.WritableFile
	peek *peeking
}

func (w peekWriter) ReadAt(b []byte, off int64) (int, error) {
	return w.peek.readAt(w.WritableFile, b, off)
}
