package disklog

import (
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

// TestCutWhileFull: the disk has no room for a new segment when raft drops the end
// of the log, nor for the entries that come in its place. raft believes what it is
// told, so it is told nothing before both are done.
func TestCutWhileFull(t *testing.T) {
	for _, op := range []string{"segment", "meta", "log"} {
		t.Run(op, func(t *testing.T) {
			dir := t.TempDir()
			m, _, err := OpenMark(filepath.Join(dir, "mark"))
			if err != nil {
				t.Fatal(err)
			}
			var (
				mu      sync.Mutex
				failing int
				wg      sync.WaitGroup
			)
			gate := NewGate(zap.NewNop())
			l, err := OpenLog(Config{
				Dir: filepath.Join(dir, "wal"), SegmentSize: 1 << 20, Mark: m, Gate: gate, Logger: zap.NewNop(),
				Run: func(f func()) bool { wg.Go(f); return true },
				Faults: func(what string) error {
					mu.Lock()
					defer mu.Unlock()
					if what != op || failing == 0 {
						return nil
					}
					failing--
					return fmt.Errorf("%s: %w", what, syscall.ENOSPC)
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			closing := make(chan struct{})
			if err := l.Arm(closing, func(err error) { t.Error(err) }, func() uint64 { return 5 }); err != nil {
				t.Fatal(err)
			}
			store := func(from, to, term uint64) {
				t.Helper()
				var list []*raft.Log
				for i := from; i <= to; i++ {
					list = append(list, &raft.Log{Index: i, Term: term, Type: raft.LogCommand, Data: []byte{byte(i), byte(term)}})
				}
				if err := l.StoreLogs(list); err != nil {
					t.Fatal(err)
				}
			}
			fill := func(n int) { mu.Lock(); failing = n; mu.Unlock() }
			store(1, 10, 1)
			fill(2)
			if err := l.DeleteRange(8, 10); err != nil {
				t.Fatal(err)
			}
			if last, err := l.LastIndex(); err != nil || last != 7 {
				t.Errorf("the log ends at %d, %v, want 7", last, err)
			}
			fill(2)
			store(8, 9, 2)
			fill(0)
			store(10, 10, 2)
			for i := uint64(1); i <= 10; i++ {
				var e raft.Log
				if err := l.GetLog(i, &e); err != nil || (e.Term == 2) != (i > 7) {
					t.Errorf("entry %d: %+v, %v", i, e, err)
				}
			}
			close(closing)
			wg.Wait()
			if gate.IsShut() {
				t.Error("the gate stays shut")
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
