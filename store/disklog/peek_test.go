package disklog

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

// TestPeek: entries of every size around the limits of what is read at once are
// read as they were written, while the log is replayed and after.
func TestPeek(t *testing.T) {
	dir := t.TempDir()
	open := func() *Log {
		t.Helper()
		m, _, err := OpenMark(filepath.Join(dir, "mark"))
		if err != nil {
			t.Fatal(err)
		}
		l, err := OpenLog(Config{
			Dir: filepath.Join(dir, "wal"), SegmentSize: 4 << 20, Mark: m, Gate: NewGate(zap.NewNop()), Logger: zap.NewNop(),
			Run: func(f func()) bool { f(); return true },
		})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	var sizes []int
	for _, limit := range []int{peekRead, frameRead} {
		for size := limit - 96; size <= limit+16; size++ {
			sizes = append(sizes, size)
		}
	}
	sizes = append(sizes, 0, 1, 300, 1<<20)
	// What looks like the head of a short entry, all over.
	data := func(size int) []byte { return bytes.Repeat([]byte{frameEntry, 0, 0, 0, 9, 0, 0, 0}, size/8+1)[:size] }
	l := open()
	for i, size := range sizes {
		if err := l.StoreLog(&raft.Log{Index: uint64(i + 1), Term: 1, Type: raft.LogCommand, Data: data(size)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open()
	for _, replaying := range []bool{true, false} {
		for i, size := range sizes {
			l.peek.Store(replaying) // an entry that was refused ends it
			var e raft.Log
			if _, err := l.Read(uint64(i+1), &e); err != nil || !bytes.Equal(e.Data, data(size)) {
				t.Errorf("an entry of %d bytes, peeking %t: %d bytes, %v", size, replaying, len(e.Data), err)
			}
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
