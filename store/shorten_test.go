package store

import (
	"path/filepath"
	"testing"
	"time"
)

// Half of raft_snapshot_threshold, which is not enough for raft itself, is enough
// for a snapshot.
func TestShortens(t *testing.T) {
	dir := t.TempDir()
	cfg := testConfig(dir)
	cfg.SnapshotThreshold, cfg.SnapshotInterval = 200, shortenLooks*shortenLeast
	s := open(t, cfg)
	ready(t, s)
	for n := range 50 {
		register(t, s, n)
	}
	taken := func() []string {
		paths, err := filepath.Glob(filepath.Join(dir, "raft", "snapshots", "*.snap"))
		if err != nil {
			t.Fatal(err)
		}
		return paths
	}
	if got := taken(); len(got) > 0 {
		t.Errorf("snapshots after some 50 entries: %v", got)
	}
	for n := range 60 {
		register(t, s, n+50)
	}
	tick, limit := time.NewTicker(10*time.Millisecond), time.After(30*time.Second)
	defer tick.Stop()
	for len(taken()) == 0 {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("no snapshot after %d entries", s.fsm.Applied())
		}
	}
}
