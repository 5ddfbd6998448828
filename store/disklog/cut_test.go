package disklog

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

// TestCutSegment: a follower drops the end of its log, writes on, and reads all of
// it after a restart, more than once.
func TestCutSegment(t *testing.T) {
	dir := t.TempDir()
	open := func() *Log {
		t.Helper()
		m, _, err := OpenMark(filepath.Join(dir, "mark"))
		if err != nil {
			t.Fatal(err)
		}
		l, err := OpenLog(Config{
			Dir: filepath.Join(dir, "wal"), SegmentSize: 1 << 20, Mark: m, Gate: NewGate(zap.NewNop()), Logger: zap.NewNop(),
			Run: func(f func()) bool { f(); return true },
		})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	entries := func(from, to, term uint64) (out []*raft.Log) {
		for i := from; i <= to; i++ {
			out = append(out, &raft.Log{Index: i, Term: term, Type: raft.LogCommand, Data: fmt.Appendf(nil, "%d of term %d", i, term)})
		}
		return out
	}
	check := func(l *Log, last uint64, term func(uint64) uint64) {
		t.Helper()
		if got, err := l.LastIndex(); err != nil || got != last {
			t.Fatalf("the log ends at %d, %v, want %d", got, err, last)
		}
		for i := uint64(1); i <= last; i++ {
			var e raft.Log
			if err := l.GetLog(i, &e); err != nil || e.Term != term(i) || string(e.Data) != fmt.Sprintf("%d of term %d", i, term(i)) {
				t.Fatalf("entry %d: %+v, %v", i, e, err)
			}
		}
	}
	l := open()
	if err := l.StoreLogs(entries(1, 20, 1)); err != nil {
		t.Fatal(err)
	}
	terms := map[uint64]uint64{}
	termOf := func(i uint64) uint64 { return max(terms[i], 1) }
	for round, cut := range []uint64{15, 12, 14} {
		last, err := l.LastIndex()
		if err != nil {
			t.Fatal(err)
		}
		if err := l.DeleteRange(cut, last); err != nil {
			t.Fatal(err)
		}
		term := uint64(round + 2)
		if err := l.StoreLogs(entries(cut, cut+8, term)); err != nil {
			t.Fatal(err)
		}
		for i := cut; i <= cut+8; i++ {
			terms[i] = term
		}
		check(l, cut+8, termOf)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = open()
		check(l, cut+8, termOf)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// Each cut sealed a segment that is nearly empty; only the last has its whole room.
	files, err := filepath.Glob(filepath.Join(dir, "wal", "*.wal"))
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	slices.Sort(files)
	for _, f := range files[:len(files)-1] {
		if fi, err := os.Stat(f); err != nil || fi.Size() > 8<<10 {
			t.Errorf("%s: %d bytes, %v", f, fi.Size(), err)
		}
	}
}
