//go:build linux

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// flipKinds are the kinds of files in which one bit is turned, and how many of a
// hundred flips each gets.
var flipKinds = []struct {
	name  string
	globs []string
	share int
}{
	{"log entries", []string{"raft/wal/*.wal"}, 60},
	{"snapshots", []string{"raft/snapshots/*"}, 20},
	{"node-id", []string{"node-id"}, 4},
	{"keyring", []string{"serf/local.keyring"}, 4},
	{"meta and peers", []string{"raft/wal/meta", "raft/mark", "raft/pledge", "raft/cluster", "raft/members", "serf/local.snapshot"}, 12},
}

// gossipKey is any 32 bytes.
const gossipKey = "cGxhaW5seS1ub3QtYS1zZWNyZXQtMDEyMzQ1Njc4OWE="

// TestFlips: one bit of a stopped follower's files is turned, in a byte that is in
// use. The follower heals, or refuses and names file and remedy; in the end all
// servers hold the same.
func TestFlips(t *testing.T) {
	l := newLab(t, shape{servers: 3, expectAll: true, args: []string{
		"-encrypt=" + gossipKey,
		"-hcl=raft_snapshot_threshold = 800", "-hcl=raft_snapshot_interval = \"1s\"", "-hcl=raft_trailing_logs = 100",
	}})
	for _, a := range l.agents() {
		a.start()
	}
	l.formed()
	w := l.write(2, time.Millisecond, l.servers...)
	pause(l.ctx, 3*time.Second)
	w.end()
	f := flipper{lab: l}
	for _, k := range flipKinds {
		for range max(1, rounds(k.share/20, k.share)) {
			f.flip(k.name, k.globs)
		}
	}
	figures(t, "one bit turned in a follower's files", f.times, "healed=%d unharmed=%d refused-with-remedy=%d", f.healed, f.unharmed, f.refused)
}

type flipper struct {
	lab                       *lab
	healed, unharmed, refused int
	times                     []time.Duration
}

// flip harms one follower and looks what becomes of it.
func (f *flipper) flip(kind string, globs []string) {
	l, t := f.lab, f.lab.t
	t.Helper()
	followers := l.followers()
	s := followers[l.rand.IntN(len(followers))]
	s.kill()
	what, undo, err := l.turnBit(s, globs)
	if err != nil {
		t.Errorf("%s of %s: %v", kind, s.name, err)
		s.start()
		l.settle()
		return
	}
	begin := time.Now()
	s.start()
	p := s.process()
	// The others go on, so that what was lost is missed.
	w := l.write(1, 20*time.Millisecond, l.leader())
	_, err = await(l.ctx, 20*time.Second, func(ctx context.Context) error {
		if !p.Alive() {
			return nil
		}
		if err := l.whole(ctx); err != nil {
			return err
		}
		return l.caughtUp(ctx)
	})
	text, _ := os.ReadFile(p.Log())
	// What the server wrote when it met the damage.
	spoke := strings.Contains(string(text), "damaged") || strings.Contains(string(text), "checksum")
	switch {
	case err != nil:
		t.Errorf("%s of %s, %s: neither healed nor refused: %v\n%s", kind, s.name, what, err, p.Tail(tail))
		s.kill()
	case !p.Alive():
		s.mayEnd()
		file, _, _ := strings.Cut(what, ":")
		if !bytes.Contains(text, []byte(filepath.Base(file))) && !bytes.Contains(text, []byte(filepath.Base(filepath.Dir(file)))) {
			t.Errorf("%s of %s, %s: refused without naming the file:\n%s", kind, s.name, what, p.Tail(tail))
		}
		f.refused++
		t.Logf("%s of %s, %s: refused: %s", kind, s.name, what, lastLine(text))
	case spoke:
		f.healed++
		f.times = append(f.times, time.Since(begin))
		t.Logf("%s of %s, %s: healed in %v", kind, s.name, what, time.Since(begin).Round(time.Millisecond))
	default:
		f.unharmed++
		t.Logf("%s of %s, %s: unharmed", kind, s.name, what)
	}
	if !s.alive() {
		if err := undo(); err != nil {
			t.Fatal(err)
		}
		s.start()
	}
	w.end()
	l.settle()
	l.sameState()
}

func lastLine(text []byte) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}

// turnBit turns one bit in a byte that is in use, tells where, and how to turn it
// back.
func (l *lab) turnBit(a *agent, globs []string) (what string, undo func() error, err error) {
	var files []string
	for _, g := range globs {
		found, err := filepath.Glob(filepath.Join(a.dir, g))
		if err != nil {
			return "", nil, err
		}
		files = append(files, found...)
	}
	if len(files) == 0 {
		return "", nil, fmt.Errorf("no file fits %v", globs)
	}
	slices.Sort(files)
	path := files[l.rand.IntN(len(files))]
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	used, err := inUse(f)
	if err != nil {
		return "", nil, err
	}
	if len(used) == 0 {
		return "", nil, fmt.Errorf("%s is empty", path)
	}
	if strings.HasSuffix(path, ".wal") { // entries after the last snapshot: those before it are not read again
		used = used[len(used)*2/3:]
	}
	at := used[l.rand.IntN(len(used))]
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		return "", nil, err
	}
	bit := byte(1) << l.rand.IntN(8)
	if _, err := f.WriteAt([]byte{b[0] ^ bit}, at); err != nil {
		return "", nil, err
	}
	rel, err := filepath.Rel(a.dir, path)
	undo = func() error {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteAt(b, at)
		return errors.Join(err, f.Close())
	}
	return fmt.Sprintf("%s: bit %#x of byte %d (%q)", rel, bit, at, b), undo, errors.Join(err, f.Sync())
}

// inUse are the offsets of bytes that are not zero: a log's segment has its whole
// room from the beginning, and zeros where nothing was written yet.
func inUse(f *os.File) ([]int64, error) {
	const most = 4 << 20 // of a segment; the tests write less
	data, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return nil, err
	}
	var used []int64
	for i, b := range data {
		if b != 0 {
			used = append(used, int64(i))
		}
	}
	return used, nil
}
