package store

import (
	"fmt"
	"testing"

	"github.com/hashicorp/raft"
)

// A restarted server's raft stands where its state does, with its configuration,
// before it has heard of anybody, and takes a snapshot of that.
func TestResume(t *testing.T) {
	for _, c := range []struct {
		name               string
		before, after, own int // entries before a snapshot, after it, and snapshots
	}{
		{"a log", 0, 5, 1},
		{"a snapshot", 5, 0, 1},
		{"a snapshot and a log", 5, 5, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, testConfig(dir))
			ready(t, s)
			for n := range c.before {
				register(t, s, n)
			}
			if c.before > 0 {
				if err := s.Snapshot(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			for n := range c.after {
				register(t, s, 100+n)
			}
			applied, want := s.fsm.Applied(), dump(s.State())
			kill(t, dir, func(dir string) {
				cfg := testConfig(dir)
				cfg.patient = true // so that nothing happens beside
				s := open(t, cfg)
				n := s.node.Load()
				// Nothing in the log says that its last entry was committed.
				if s.fsm.Applied() < applied-1 {
					t.Errorf("replayed up to %d of %d", s.fsm.Applied(), applied)
				}
				applied := s.fsm.Applied()
				if n.AppliedIndex() != applied || c.after > 0 && n.CommitIndex() != applied {
					t.Errorf("the state is at %d, raft has applied %d and knows %d to be committed", applied, n.AppliedIndex(), n.CommitIndex())
				}
				f := n.GetConfiguration()
				if err := f.Error(); err != nil || len(f.Configuration().Servers) != 1 {
					t.Errorf("configuration %+v, %v", f.Configuration(), err)
				}
				// raft's goroutine for the state may not have come to the last entry yet: then there
				// is nothing new for it, and it says so.
				var list []*raft.SnapshotMeta
				for list == nil || len(list) < c.own {
					if err := s.Snapshot(t.Context()); err != nil {
						t.Fatal(err)
					}
					var err error
					if list, err = s.disk.snaps.List(); err != nil {
						t.Fatal(err)
					}
				}
				if len(list) != c.own || list[0].Index != applied || len(list[0].Configuration.Servers) != 1 {
					t.Errorf("snapshots %+v; want %d, up to entry %d", list, c.own, applied)
				}
				ready(t, s)
				register(t, s, 200)
			})
			kill(t, dir, func(dir string) {
				s := open(t, testConfig(dir))
				ready(t, s)
				if got := dump(s.State()); got != want {
					t.Errorf("restored %d bytes of text, want %d", len(got), len(want))
				}
			})
		})
	}
}

// counted counts the entries that are read.
type counted struct {
	*raft.InmemStore
	reads int
}

func (c *counted) GetLog(index uint64, log *raft.Log) error {
	c.reads++
	return c.InmemStore.GetLog(index, log)
}

// Entries that are applied are passed over once, without being read.
func TestResumedLog(t *testing.T) {
	inner := &counted{InmemStore: raft.NewInmemStore()}
	for i := range uint64(7) {
		if err := inner.StoreLog(&raft.Log{Index: i + 1, Term: 1 + i/4, Data: fmt.Appendf(nil, "entry %d", i+1)}); err != nil {
			t.Fatal(err)
		}
	}
	cache, err := raft.NewLogCache(1, inner)
	if err != nil {
		t.Fatal(err)
	}
	l := &resumedLog{LogCache: cache, applied: 5}
	get := func(index uint64) (log raft.Log) {
		t.Helper()
		if err := l.GetLog(index, &log); err != nil || log.Index != index {
			t.Fatalf("entry %d: %+v, %v", index, log, err)
		}
		return log
	}
	if e := get(7); string(e.Data) != "entry 7" {
		t.Errorf("before: %+v", e)
	}
	if index, err := l.GetCommitIndex(); index != 5 || err != nil {
		t.Errorf("committed up to %d, %v", index, err)
	}
	inner.reads = 0
	for i := uint64(1); i < 5; i++ {
		if e := get(i); e.Type != raft.LogNoop || e.Data != nil {
			t.Errorf("passed: %+v", e)
		}
	}
	if inner.reads > 0 {
		t.Errorf("%d entries were read in passing", inner.reads)
	}
	if e := get(5); e.Type != raft.LogBarrier || e.Term != 2 {
		t.Errorf("the last one: %+v", e)
	}
	for i := uint64(1); i <= 7; i++ {
		if e := get(i); e.Type != raft.LogCommand || string(e.Data) != fmt.Sprintf("entry %d", i) {
			t.Errorf("after: %+v", e)
		}
	}
}
