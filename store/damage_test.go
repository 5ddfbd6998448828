package store

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"consul.internal/store/disklog"
)

// builtDir makes a data directory with a snapshot and entries after it, closed
// cleanly, and returns it with the state that it holds.
func builtDir(t *testing.T, snapshot bool) (dir, want string) {
	t.Helper()
	dir = t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig(dir)
		cfg.TrailingLogs, cfg.segmentSize = 3, 64<<10
		s := newStore(t, cfg, testDeps())
		if err := s.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		ready(t, s)
		for n := range 20 {
			register(t, s, n)
			if n == 10 && snapshot {
				if err := s.Snapshot(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		want = dump(s.State())
		shut(t, s)
	})
	return dir, want
}

// reopened opens a directory and returns the state once all is replayed. The
// error is Open's, or what stopped the store.
func reopened(t *testing.T, dir string) (got string, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, testConfig(dir), testDeps())
		defer shut(t, s)
		if err = s.Open(t.Context()); err != nil {
			return
		}
		ready(t, s)
		got = dump(s.State())
	})
	return got, err
}

// listing tells every file with its content, to show that nothing was touched.
func listing(t *testing.T, dir string) map[string]string {
	t.Helper()
	m := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != "lock" {
			m[path] = raw(t, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func sameListing(a, b map[string]string) string {
	for path, content := range a {
		if b[path] != content {
			return path
		}
	}
	return ""
}

// used is how much of a segment holds entries; the rest is allocated ahead.
func used(b []byte) int { return len(bytes.TrimRight(b, "\x00")) }

func glob(t *testing.T, dir, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "raft", pattern))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no file %s: %v", pattern, err)
	}
	return paths
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// One flipped bit anywhere is found, or makes no difference; it is never used,
// and nothing is deleted on its account.
func TestBitFlips(t *testing.T) {
	base, want := builtDir(t, true)
	r := rand.New(rand.NewPCG(1, 2))
	refused := map[string]int{}
	for _, file := range []struct {
		pattern string
		flips   int
	}{{"wal/*.wal", 80}, {"wal/meta", 15}, {"snapshots/*.snap", 30}, {"mark", 12}, {"cluster", 8}} {
		for range file.flips {
			dir := filepath.Join(t.TempDir(), "data")
			copyDir(t, base, dir)
			path := glob(t, dir, file.pattern)[0]
			content := []byte(raw(t, path))
			at := r.IntN(used(content))
			if file.pattern == "mark" { // two slots of a few bytes, far apart
				at = r.IntN(28) + 4096*r.IntN(2)
			}
			content[at] ^= 1 << r.IntN(8)
			write(t, path, content)
			before := listing(t, dir)
			got, err := reopened(t, dir)
			switch {
			case err != nil && !disklog.IsDamage(err):
				t.Errorf("%s: bit at %d: not told as damage: %v", file.pattern, at, err)
			case err != nil:
				refused[file.pattern]++
				if !strings.Contains(err.Error(), filepath.Join(dir, "raft")) || !strings.Contains(err.Error(), "Nothing was deleted") {
					t.Errorf("%s: message does not help: %v", file.pattern, err)
				}
				if changed := sameListing(before, listing(t, dir)); changed != "" {
					t.Errorf("%s: bit at %d: %s was changed by a refused start", file.pattern, at, changed)
				}
			case got != want:
				t.Errorf("%s: bit at %d is used in silence\n%s\nwant\n%s", file.pattern, at, got, want)
			}
		}
	}
	t.Logf("refused: %v", refused)
	for pattern, least := range map[string]int{"wal/*.wal": 30, "wal/meta": 15, "snapshots/*.snap": 30} {
		if refused[pattern] < least {
			t.Errorf("%s: only %d flips were refused", pattern, refused[pattern])
		}
	}
}

// A log that ends anywhere is refused if acknowledged entries are lost, and else
// starts with what is left.
func TestTornTail(t *testing.T) {
	base, _ := builtDir(t, false)
	segment := glob(t, base, "wal/*.wal")[0]
	content := []byte(raw(t, segment))
	end := used(content)
	r := rand.New(rand.NewPCG(3, 4))
	started := 0
	for i := range 60 {
		cut := r.IntN(end)
		if i < 20 { // the end is where power cuts happen
			cut = end - 1 - i*4
		}
		torn := bytes.Clone(content)
		switch i % 3 {
		case 0: // cut off
			torn = torn[:cut]
		case 1: // never written
			clear(torn[cut:])
		case 2: // garbage
			for j := cut; j < end; j++ {
				torn[j] = byte(r.Uint32())
			}
		}
		dir := filepath.Join(t.TempDir(), "data")
		copyDir(t, base, dir)
		write(t, glob(t, dir, "wal/*.wal")[0], torn)
		if _, err := reopened(t, dir); !disklog.IsDamage(err) {
			t.Errorf("cut at %d of %d: acknowledged entries are lost, and Open says %v", cut, end, err)
		}
		// The same where only the first ten entries had been acknowledged.
		const acked = 10
		m, _, err := disklog.OpenMark(filepath.Join(dir, "raft", "mark"))
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Set(acked, 0, true); err != nil {
			t.Fatal(err)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := reopened(t, dir)
		if err != nil && !disklog.IsDamage(err) {
			t.Errorf("cut at %d: %v", cut, err)
		}
		if err == nil {
			started++
			for n := range acked - 4 { // the first four entries are not registrations
				if !strings.Contains(got, fmt.Sprintf("Name:n%d ", n)) {
					t.Errorf("cut at %d: started without n%d", cut, n)
				}
			}
		}
	}
	if started < 20 {
		t.Errorf("only %d of 60 torn logs start", started)
	}
}

// Files that are missing or empty: started healed, or refused with their name.
func TestMissingFiles(t *testing.T) {
	base, want := builtDir(t, true)
	for _, tt := range []struct {
		name, pattern string
		heals         bool
	}{
		{"meta", "wal/meta", false},
		{"segment", "wal/*.wal", false},
		{"snapshot", "snapshots/*.snap", false},
		{"mark", "mark", true},
		{"cluster", "cluster", true},
		{"log directory", "wal", false},
		{"snapshot directory", "snapshots", false},
	} {
		for _, how := range []string{"removed", "empty", "random"} {
			if how != "removed" && strings.HasSuffix(tt.name, "directory") {
				continue // there is no such thing
			}
			t.Run(tt.name+" "+how, func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "data")
				copyDir(t, base, dir)
				for _, path := range glob(t, dir, tt.pattern) {
					if err := os.RemoveAll(path); err != nil {
						t.Fatal(err)
					}
					switch how {
					case "empty":
						write(t, path, nil)
					case "random":
						write(t, path, bytes.Repeat([]byte("\xa5\x17random"), 2000))
					}
				}
				got, err := reopened(t, dir)
				switch {
				case err != nil && !disklog.IsDamage(err):
					t.Errorf("not told as damage: %v", err)
				case err == nil && got != want:
					t.Errorf("started with another state\n%s\nwant\n%s", got, want)
				case err != nil && tt.heals && how != "random":
					t.Errorf("could have healed: %v", err)
				case err == nil && !tt.heals:
					t.Errorf("started without it")
				}
			})
		}
	}
}

// A damaged newest snapshot is passed over if the log still has everything.
func TestOlderSnapshotServes(t *testing.T) {
	dir := t.TempDir()
	s := open(t, testConfig(dir)) // keeps 10,240 entries behind a snapshot
	ready(t, s)
	for n := range 6 {
		register(t, s, n)
		if n == 2 || n == 4 {
			if err := s.Snapshot(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := dump(s.State())
	shut(t, s)
	paths := glob(t, dir, "snapshots/*.snap")
	newest := paths[len(paths)-1]
	b := []byte(raw(t, newest))
	b[len(b)/2] ^= 1
	write(t, newest, b)
	if got, err := reopened(t, dir); err != nil || got != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
	for _, path := range paths {
		if err := os.Truncate(path, 10); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := reopened(t, dir); err != nil || got != want {
		t.Errorf("without any snapshot: %v\n%s\nwant\n%s", err, got, want)
	}
}

// Damage that comes while the server runs stops it with a message, not a panic.
func TestDamageWhileRunning(t *testing.T) {
	dir := t.TempDir()
	s := open(t, testConfig(dir))
	ready(t, s)
	var at uint64
	for n := range cachedEntries + 50 { // past raft's cache
		at = register(t, s, n)
	}
	at -= cachedEntries + 20
	var entry raft.Log
	if _, err := s.disk.log.Read(at, &entry); err != nil {
		t.Fatal(err)
	}
	path := glob(t, dir, "wal/*.wal")[0]
	content := []byte(raw(t, path))
	where := bytes.Index(content, entry.Data)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{content[where+9] ^ 4}, int64(where+9)); err != nil {
		t.Fatal(err)
	}
	s.work.run(func() { _ = s.disk.log.GetLog(at, &raft.Log{}) })
	select {
	case err := <-s.Failed():
		if !disklog.IsDamage(err) || !strings.Contains(err.Error(), fmt.Sprintf("log entry %d", at)) || !strings.Contains(err.Error(), path) {
			t.Errorf("failed with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("nothing failed")
	}
}
