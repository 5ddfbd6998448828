package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"consul.internal/store/disklog"
)

// faults makes one server's disk fail: hang until it is set free, or be full.
type faults struct {
	mu   sync.Mutex
	hang chan struct{}
	full atomic.Bool
	ops  map[string]bool // which are concerned, nil = all
}

func (f *faults) on(op string) error {
	f.mu.Lock()
	hang := f.hang
	f.mu.Unlock()
	if hang != nil {
		<-hang
	}
	if f.full.Load() && (f.ops == nil || f.ops[op]) {
		return fmt.Errorf("%s: %w", op, syscall.ENOSPC)
	}
	return nil
}

// faulty is a lab of three servers on disk, each with its faults.
func faulty(t *testing.T, dir string) (*lab, map[string]*faults) {
	l := newLab(t, dir)
	all := map[string]*faults{}
	l.tune = func(c *Config) {
		f := &faults{}
		all[c.NodeID], c.faults, c.segmentSize = f, f.on, 64<<10
	}
	for _, id := range []string{"a", "b", "c"} {
		l.add(id, 3, false)
		l.start(id)
	}
	l.settled(3, 15*time.Second)
	return l, all
}

// TestHungDisk: a leader whose disk hangs is replaced, says that it does not lead,
// and takes part again when the write returns.
func TestHungDisk(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l, all := faulty(t, dir)
		old := l.leader()
		id := old.cfg.NodeID
		f := all[id]
		f.mu.Lock()
		f.hang = make(chan struct{})
		f.mu.Unlock()
		began := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() { // the write that hangs
			if _, err := old.Register(t.Context(), registration(1)); err == nil {
				t.Error("a write that is not on disk was acknowledged")
			}
		})
		for {
			if s := l.leader(); s != nil && s != old && l.write(2) == nil {
				break
			}
			if time.Since(began) > 20*time.Second {
				t.Fatal("no other leader writes")
			}
			time.Sleep(50 * time.Millisecond)
		}
		wg.Wait()
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("another leader writes after %s", took)
		}
		if old.IsLeader() || old.LeaderID() == id || old.VerifyLeader(t.Context()) == nil {
			t.Error("a server with a hung disk says that it leads")
		}
		time.Sleep(time.Minute)
		f.mu.Lock()
		close(f.hang)
		f.hang = nil
		f.mu.Unlock()
		l.has(id, 2)
		l.settled(3, 15*time.Second)
		if err := l.write(3); err != nil {
			t.Error(err)
		}
		l.has(id, 3)
	})
}

// TestFullDisk: a leader whose disk is full hands over, does not end, and works
// again when there is room, whatever could not be written.
func TestFullDisk(t *testing.T) {
	for name, ops := range map[string]map[string]bool{
		"everything": nil, "entries": {"log": true}, "segments": {"segment": true}, "terms": {"meta": true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				l, all := faulty(t, dir)
				old := l.leader()
				id := old.cfg.NodeID
				all[id].ops = ops
				all[id].full.Store(true)
				big := strings.Repeat("x", 4000)
				acked := map[int]bool{}
				for n := range 60 { // several segments of 64 KiB
					s := l.leader()
					if s == nil {
						time.Sleep(200 * time.Millisecond)
						continue
					}
					r := registration(n)
					r.Service.Meta = map[string]string{"k": big[:500], "l": big[:500], "m": big[:500], "o": big[:500]}
					ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
					_, err := s.Register(ctx, r)
					cancel()
					acked[n] = err == nil
				}
				if !acked[59] || !acked[58] {
					t.Error("no writes beside a server with a full disk")
				}
				time.Sleep(20 * time.Second)
				all[id].full.Store(false)
				l.settled(3, 15*time.Second)
				if err := l.write(100); err != nil {
					t.Error(err)
				}
				for n, ok := range acked {
					if ok {
						l.has(id, n)
					}
				}
				l.has(id, 100)
				select {
				case err := <-old.Failed():
					t.Errorf("the server ended: %v", err)
				default:
				}
				// What is on the disk must be good for a restart.
				l.stop(id)
				l.start(id)
				l.settled(3, 15*time.Second)
			})
		})
	}
}

// TestLoneFullDisk: the same with a server that is alone.
func TestLoneFullDisk(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := &faults{}
		cfg := testConfig(dir)
		cfg.faults = f.on
		s := open(t, cfg)
		ready(t, s)
		register(t, s, 1)
		f.full.Store(true)
		if _, err := s.Register(t.Context(), registration(2)); err == nil {
			t.Error("a write to a full disk was acknowledged")
		}
		time.Sleep(time.Minute)
		f.full.Store(false)
		for n := 0; ; n++ {
			if _, err := s.Register(t.Context(), registration(3)); err == nil {
				break
			}
			if n > 100 {
				t.Fatal("no writes after there is room again")
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
}

// TestFailedWriteStops: after any other failed write nobody knows what is on the
// disk, and the server stops, saying so.
func TestFailedWriteStops(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var bad atomic.Bool
		cfg := testConfig(dir)
		cfg.faults = func(string) error {
			if bad.Load() {
				return syscall.EIO
			}
			return nil
		}
		s := open(t, cfg)
		ready(t, s)
		bad.Store(true)
		if _, err := s.Register(t.Context(), registration(2)); err == nil {
			t.Error("a write that failed was acknowledged")
		}
		if err := <-s.Failed(); !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), dir) {
			t.Errorf("failed with %v", err)
		}
		bad.Store(false)
	})
}

// TestHeals: a server among three finds its log damaged, gives up its vote, fetches
// everything and is a voter again.
func TestHeals(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l, _ := faulty(t, dir)
		for n := range 20 {
			if err := l.write(n); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * memoryTick)
		id := "a"
		if l.leader().cfg.NodeID == id {
			id = "b"
		}
		l.has(id, 19)
		l.stop(id)
		path := glob(t, filepath.Join(dir, id), "wal/*.wal")[0]
		content := []byte(raw(t, path))
		content[used(content)/2] ^= 4
		write(t, path, content)
		s := l.start(id)
		if err := s.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		l.settled(3, time.Minute)
		for n := range 20 {
			l.has(id, n)
		}
		if digest(t, s) != digest(t, l.leader()) {
			t.Error("the healed server's state differs")
		}
		// Alone, it says so and stops: nothing can be fetched.
		l.stop(id)
		if err := os.Remove(filepath.Join(dir, id, "raft", memoryFile)); err != nil {
			t.Fatal(err)
		}
		l.nodes[id].cfg.Expect = 0
		path = glob(t, filepath.Join(dir, id), "wal/meta")[0]
		content = []byte(raw(t, path))
		content[len(content)/2] ^= 4
		write(t, path, content)
		if _, err := l.tryStart(id); !disklog.IsDamage(err) {
			t.Errorf("a damaged server that knows no others: %v", err)
		}
	})
}

// TestPeersFile: a majority is gone for good, and a person says who is left.
func TestPeersFile(t *testing.T) {
	for name, form := range map[string]string{
		"objects":   `[{"id": "a", "address": "10.0.9.9:8300"}]`,
		"addresses": `["ADDR"]`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				l, _ := faulty(t, dir)
				if err := l.write(1); err != nil {
					t.Fatal(err)
				}
				l.has("a", 1)
				for _, id := range l.ids() {
					l.stop(id)
				}
				path := filepath.Join(dir, "a", "raft", peersFile)
				write(t, path, []byte(`[{"id": "b", "address": "10.0.9.9:8300"}]`))
				if _, err := l.tryStart("a"); err == nil || !strings.Contains(err.Error(), "is not in it") {
					t.Errorf("a list without the server itself: %v", err)
				}
				write(t, path, bytes.ReplaceAll([]byte(form), []byte("ADDR"), []byte(fmt.Sprintf("10.0.0.%d:8300", l.moves+1))))
				l.start("a")
				s := l.settled(1, 15*time.Second)
				l.has("a", 1)
				if err := l.write(2); err != nil {
					t.Error(err)
				}
				if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
					t.Error("peers.json is still there")
				}
				_, servers, err := s.Members().Servers(t.Context())
				if err != nil || len(servers) != 1 || servers[0].Suffrage != raft.Voter {
					t.Errorf("servers %v, %v", servers, err)
				}
				l.stop("a") // and once more from what was recovered
				l.start("a")
				l.settled(1, 15*time.Second)
				l.has("a", 1)
				l.has("a", 2)
			})
		})
	}
}
