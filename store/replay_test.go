package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/store/disklog"
	"consul.internal/store/fsm"
	"consul.internal/store/state"
)

// An entry that was refused when it was new is refused again when the log is
// replayed, wherever it stands among good ones, and leaves no trace.
func TestRefusedEntriesInTheLog(t *testing.T) {
	dir := t.TempDir()
	s := open(t, testConfig(dir))
	ready(t, s)
	for n := range 200 {
		register(t, s, n)
		if n%20 > 1 {
			continue
		}
		bad := registration(1000 + n)
		bad.Checks = append(bad.Checks, &catalog.Check{CheckID: "lost", ServiceID: "nosuch"})
		if _, err := s.Register(t.Context(), bad); fault.Of(err) != fault.Invalid {
			t.Fatalf("a check of an unknown service: %v", err)
		}
	}
	want := dump(s.State())
	kill(t, dir, func(dir string) {
		s := open(t, testConfig(dir))
		ready(t, s)
		if got := dump(s.State()); got != want {
			t.Errorf("replayed %d bytes of text, want %d", len(got), len(want))
		}
	})
}

// TestTenThousandEntries: a snapshot, and behind it more entries than raft's own
// replay could carry. They are put into the log as raft puts them there.
func TestTenThousandEntries(t *testing.T) {
	dir := t.TempDir()
	s := open(t, testConfig(dir))
	ready(t, s)
	register(t, s, 0)
	if err := s.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	register(t, s, 1)
	shut(t, s)
	m, _, err := disklog.OpenMark(filepath.Join(dir, "raft", "mark"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := disklog.OpenLog(disklog.Config{Dir: filepath.Join(dir, "raft", "wal"), SegmentSize: 1 << 20, Mark: m, Gate: disklog.NewGate(zap.NewNop()), Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	var last raft.Log
	if _, err := l.Read(m.Get().Acked, &last); err != nil {
		t.Fatal(err)
	}
	const more, batch = 10_000, 500
	for n := 0; n < more; n += batch {
		entries := make([]*raft.Log, batch)
		for i := range entries {
			cmd, err := s.fsm.Encode(fsm.TypeAutopilot, fsm.SetAutopilot{Config: state.Autopilot{MaxTrailingLogs: uint64(n + i)}}, fsm.Level)
			if (n+i)%20 == 0 { // of registrations alone the test would be slow
				cmd, err = s.fsm.Encode(fsm.TypeRegister, registration(100+n+i), fsm.Level)
			}
			if err != nil {
				t.Fatal(err)
			}
			entries[i] = &raft.Log{Index: last.Index + uint64(n+i+1), Term: last.Term, Type: raft.LogCommand, Data: cmd}
		}
		if err := l.StoreLogs(entries); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(m.Set(last.Index+more, last.Index+more, true), l.Close()); err != nil {
		t.Fatal(err)
	}
	s = open(t, testConfig(dir))
	if got := s.Index(); got != last.Index+more {
		t.Errorf("replayed to %d, want %d", got, last.Index+more)
	}
	ready(t, s)
	for _, n := range []int{0, 1, 100, 80 + more} {
		if _, ok := s.State().Node(fmt.Sprintf("n%d", n)); !ok {
			t.Errorf("n%d is lost", n)
		}
	}
	if got := s.Autopilot().Config().MaxTrailingLogs; got != more-1 {
		t.Errorf("the last entry is not applied: %d", got)
	}
	register(t, s, 2)
	want := digest(t, s)
	kill(t, dir, func(dir string) {
		s := open(t, testConfig(dir))
		ready(t, s)
		if got := digest(t, s); got != want {
			t.Error("the state differs after a kill with 10,000 entries in the log")
		}
	})
}
