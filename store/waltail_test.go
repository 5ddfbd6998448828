package store

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"consul.internal/store/disklog"
)

// Kills while one segment of the log gives way to the next. The log must go on
// by itself from each of them.
func TestKilledWhileSegmentsChange(t *testing.T) {
	base := t.TempDir()
	var before, want string // the list of segments and the state before the change
	var unfinished int      // where the last batch of the full segment begins
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, testConfig(base), testDeps())
		if err := s.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		ready(t, s)
		meta := filepath.Join(base, "raft", "wal", "meta")
		before = raw(t, meta)
		r := registration(1)
		for n := 0; raw(t, meta) == before; n++ { // until a new segment is listed
			unfinished = used([]byte(raw(t, glob(t, base, "wal/*.wal")[0])))
			r.Service.Meta["n"] = string(bytes.Repeat([]byte("x"), 50000+n))
			if _, err := s.Register(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		want = dump(s.State())
		shut(t, s)
	})
	segments := glob(t, base, "wal/*.wal")
	if len(segments) != 2 {
		t.Fatalf("segments %v", segments)
	}
	full := []byte(raw(t, segments[0]))
	end := used(full)
	for _, tt := range []struct {
		name  string
		cut   int  // the full segment was written up to here
		acked bool // the last batch had been acknowledged
		whole bool // all of the state is there afterwards
		fails bool
	}{
		{"before the next is listed", end, true, true, false},
		{"before the last batch is acknowledged", end, false, true, false},
		{"within the index", end - 40, false, false, false},
		{"after the index, before the batch is closed", end - 8, false, false, false},
		{"within the entry", unfinished + 30000, false, false, false},
		{"lost after it was acknowledged", end - 40, true, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			copyDir(t, base, dir)
			write(t, filepath.Join(dir, "raft", "wal", "meta"), []byte(before))
			paths := glob(t, dir, "wal/*.wal")
			if err := os.Remove(paths[1]); err != nil {
				t.Fatal(err)
			}
			torn := bytes.Clone(full)
			clear(torn[tt.cut:])
			write(t, paths[0], torn)
			if !tt.acked {
				m, _, err := disklog.OpenMark(filepath.Join(dir, "raft", "mark"))
				if err != nil {
					t.Fatal(err)
				}
				if err := m.Set(m.Get().Acked-1, 0, true); err != nil {
					t.Fatal(err)
				}
				if err := m.Close(); err != nil {
					t.Fatal(err)
				}
			}
			got, err := reopened(t, dir)
			switch {
			case tt.fails:
				if !disklog.IsDamage(err) {
					t.Errorf("got %v", err)
				}
				return
			case err != nil:
				t.Fatal(err)
			case tt.whole && got != want:
				t.Error("the state differs")
			}
			// It takes writes, and they outlive the next start.
			synctest.Test(t, func(t *testing.T) {
				s := newStore(t, testConfig(dir), testDeps())
				if err := s.Open(t.Context()); err != nil {
					t.Fatal(err)
				}
				ready(t, s)
				register(t, s, 77)
				got = dump(s.State())
				shut(t, s)
			})
			if again, err := reopened(t, dir); err != nil || again != got {
				t.Errorf("after one more start: %v", err)
			}
		})
	}
}
