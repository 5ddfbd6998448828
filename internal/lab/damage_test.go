//go:build linux

package lab

import (
	"bytes"
	"context"
	le "encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// flipKinds are the kinds of files in which one bit is turned, and how many of a
// hundred flips each gets. Files are taken in turn.
var flipKinds = []struct {
	name  string
	globs []string
	share int
}{
	{"log entries", []string{"raft/wal/*.wal"}, 60},
	{"snapshots", []string{"raft/snapshots/*.snap"}, 20},
	{"node-id", []string{"node-id"}, 4},
	{"keyring", []string{"serf/local.keyring"}, 4},
	{"meta and peers", []string{"raft/wal/meta", "raft/mark", "raft/[cp]l[eu]*", "raft/members", "serf/local.snapshot"}, 12},
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
	for _, k := range flipKinds {
		f := flipper{lab: l}
		for i := range max(1, rounds(k.share/20, k.share)) {
			f.flip(k.name, k.globs[i%len(k.globs)])
		}
		figures(t, "one bit turned in a follower's "+k.name, f.times, "healed=%d mended=%d unharmed=%d refused-with-remedy=%d", f.healed, f.mended, f.unharmed, f.refused)
	}
}

// flipper turns bits, and counts what became of that.
type flipper struct {
	lab      *lab
	healed   int // it spoke of damage and fetched what it lacked
	mended   int // the file was written anew
	unharmed int // the bit stands there still
	refused  int // it did not start, and named the file
	times    []time.Duration
}

// flip harms one follower and looks what becomes of it.
func (f *flipper) flip(kind, glob string) {
	l, t := f.lab, f.lab.t
	t.Helper()
	followers := l.followers()
	s := followers[l.rand.IntN(len(followers))]
	switch found, _ := filepath.Glob(filepath.Join(s.dir, glob)); {
	case len(found) > 0:
	case !strings.Contains(glob, "snapshots"):
		glob = "raft/members" // one that has just healed has not founded anything
	default: // nor has it a snapshot; saving its state makes one
		if _, _, err := s.do(l.ctx, "GET", "/v1/snapshot?stale", nil); err != nil {
			t.Fatal(err)
		}
	}
	s.kill()
	bit, err := l.turnBit(s, glob)
	what := bit.what
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
	case !bit.still():
		f.mended++
		t.Logf("%s of %s, %s: mended", kind, s.name, what)
	default:
		f.unharmed++
		t.Logf("%s of %s, %s: unharmed", kind, s.name, what)
	}
	if !s.alive() {
		if err := bit.undo(); err != nil {
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

// turnedBit is where a bit was turned.
type turnedBit struct {
	what, path string
	at         int64
	was, is    byte
}

// undo turns it back.
func (b turnedBit) undo() error {
	f, err := os.OpenFile(b.path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte{b.was}, b.at)
	return errors.Join(err, f.Close())
}

// still tells whether it stands there as it was turned.
func (b turnedBit) still() bool {
	data, err := os.ReadFile(b.path)
	return err == nil && b.at < int64(len(data)) && data[b.at] == b.is
}

// turnBit turns one bit in a byte that is in use.
func (l *lab) turnBit(a *agent, glob string) (bit turnedBit, err error) {
	files, err := filepath.Glob(filepath.Join(a.dir, glob))
	if err != nil {
		return bit, err
	}
	if len(files) == 0 {
		return bit, fmt.Errorf("there is no file %s", glob)
	}
	slices.Sort(files)
	path := files[len(files)-1] // the newest: an older snapshot is not read
	var used []int64
	if strings.HasSuffix(path, ".wal") {
		path, used, err = l.entryInUse(a, files)
	} else {
		used, err = inUse(path)
	}
	if err != nil {
		return bit, err
	}
	if len(used) == 0 {
		return bit, fmt.Errorf("%s is empty", path)
	}
	at := used[l.rand.IntN(len(used))]
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return bit, err
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		return bit, err
	}
	mask := byte(1) << l.rand.IntN(8)
	bit = turnedBit{path: path, at: at, was: b[0], is: b[0] ^ mask}
	if _, err := f.WriteAt([]byte{bit.is}, at); err != nil {
		return bit, err
	}
	rel, err := filepath.Rel(a.dir, path)
	bit.what = fmt.Sprintf("%s: bit %#x of byte %d (%q)", rel, mask, at, b)
	return bit, errors.Join(err, f.Sync())
}

// markSlots are where raft/mark holds something: two slots, far apart.
var markSlots = [2]int64{0, 4096}

// markSize is how much each holds.
const markSize = 28

// inUse are the offsets of a file's bytes that mean something: all, but for the mark.
func inUse(path string) (used []int64, err error) {
	if filepath.Base(path) == "mark" {
		for _, at := range markSlots {
			for i := range int64(markSize) {
				used = append(used, at+i)
			}
		}
		return used, nil
	}
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	for i := range fi.Size() {
		used = append(used, i)
	}
	return used, nil
}

// A segment of the log: a header, then frames of 8 bytes and a payload that is
// filled up to a multiple of 8. A frame is an entry or ends a batch; the entries
// count up from the index in the header.
const (
	segmentHeader = 32
	frameHeader   = 8
	frameEntry    = 1
)

// logEntry is where a log entry stands.
type logEntry struct {
	path     string
	index    uint64
	at, size int64 // of the frame with its payload
}

// entries lists the entries of a segment, its last batch too.
func entries(path string) (list []logEntry, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(data) < segmentHeader {
		return nil, fmt.Errorf("%s is cut short", path)
	}
	index := le.LittleEndian.Uint64(data[8:])
	for at := int64(segmentHeader); at+frameHeader <= int64(len(data)) && data[at] != 0; {
		size := int64(0)
		if data[at] == frameEntry {
			size = int64(le.LittleEndian.Uint32(data[at+4:]))
			if at+frameHeader+size > int64(len(data)) {
				return nil, fmt.Errorf("%s: entry %d is cut short", path, index)
			}
			list = append(list, logEntry{path, index, at, frameHeader + size})
			index++
		} else if data[at] != 3 { // the index at the end of a full segment
			break
		}
		at += frameHeader + (size+7)/8*8
	}
	return list, nil
}

// entryInUse takes a log entry after the newest snapshot and tells which bytes it
// stands in. All are committed: nobody wrote when the server ended.
func (l *lab) entryInUse(a *agent, segments []string) (path string, used []int64, err error) {
	snapshots, err := filepath.Glob(filepath.Join(a.dir, "raft/snapshots/*.snap"))
	if err != nil {
		return "", nil, err
	}
	snapshot := uint64(0)
	if len(snapshots) > 0 {
		if _, err := fmt.Sscanf(filepath.Base(slices.Max(snapshots)), "%d-", &snapshot); err != nil {
			return "", nil, err
		}
	}
	var list []logEntry
	for _, s := range segments {
		more, err := entries(s)
		if err != nil {
			return "", nil, err
		}
		list = append(list, more...)
	}
	list = slices.DeleteFunc(list, func(e logEntry) bool { return e.index <= snapshot })
	if len(list) == 0 {
		return "", nil, fmt.Errorf("the log has no entry after %d", snapshot)
	}
	e := list[l.rand.IntN(len(list))]
	for i := range e.size {
		if i < 1 || i >= 4 { // three bytes of a frame are for nothing
			used = append(used, e.at+i)
		}
	}
	return e.path, used, nil
}

// sameHashes has the leader compare the states of all servers. That one differs is
// an error even though it would heal: nothing here may come to that.
func (l *lab) sameHashes() {
	l.t.Helper()
	if _, err := await(l.ctx, surely, func(ctx context.Context) error {
		out, _, err := l.leader().do(ctx, "PUT", "/v1/operator/raft/compare", nil)
		if err != nil {
			return err
		}
		var said struct {
			Same    bool
			Servers []struct{ Node, Hash string }
		}
		if err := json.Unmarshal(out, &said); err != nil {
			return err
		}
		hashes := map[string]bool{}
		for _, s := range said.Servers {
			if s.Hash != "" {
				hashes[s.Hash] = true
			}
		}
		switch {
		case len(hashes) > 1:
			l.t.Errorf("THE SERVERS' STATES HAVE DIFFERENT HASHES: %s", out)
			return nil
		case !said.Same || len(said.Servers) != len(l.servers):
			return fmt.Errorf("not all servers were compared: %s", out)
		}
		return nil
	}); err != nil {
		l.t.Errorf("the servers' states were not compared: %v", err)
	}
}
