package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/hashicorp/raft"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"consul.internal/catalog"
	"consul.internal/internal/durable"
	"consul.internal/internal/fault"
	"consul.internal/store/disklog"
	"consul.internal/store/fsm"
	"consul.internal/store/state"
	"consul.internal/store/transport"
)

const testNode = "aaaaaaaa-1111-1111-1111-111111111111"

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("consul.internal/store.(*Store).await.func1"))
}

func testConfig(dir string) Config {
	c := DefaultConfig()
	c.NodeID, c.DataDir, c.Bootstrap, c.segmentSize = testNode, dir, true, 1<<20
	return c
}

func testDeps() Deps {
	addr, tr := raft.NewInmemTransport("127.0.0.1:8300")
	tr.Connect(addr, tr) // a lone server speaks to itself
	return Deps{Logger: zap.NewNop(), Transport: tr}
}

func newStore(t testing.TB, cfg Config, deps Deps) *Store {
	t.Helper()
	s, err := New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// open opens a store and closes it at the end of the test.
func open(t testing.TB, cfg Config) *Store {
	t.Helper()
	s := newStore(t, cfg, testDeps())
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, s) })
	return s
}

func shut(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func ready(t testing.TB, s *Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Ready(ctx); err != nil {
		select {
		case failed := <-s.Failed():
			t.Fatalf("not ready: the store has failed: %v", failed)
		default:
			t.Fatal(err)
		}
	}
}

func registration(n int) *state.Registration {
	return &state.Registration{
		Node:    &catalog.Node{Name: fmt.Sprintf("n%d", n), Address: "10.0.0.1", Datacenter: "dc1"},
		Service: &catalog.Service{Name: "web", Port: 80, Tags: []string{"a"}, Meta: map[string]string{"k": "v"}},
		Checks:  []*catalog.Check{{CheckID: "c", Status: catalog.Passing, ServiceID: "web"}},
	}
}

func register(t testing.TB, s *Store, n int) uint64 {
	t.Helper()
	index, err := s.Register(t.Context(), registration(n))
	if err != nil {
		t.Fatal(err)
	}
	return index
}

func TestInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		alone := testConfig("")
		alone.Bootstrap = false
		s := open(t, alone)
		if _, err := s.Register(t.Context(), registration(1)); !errors.Is(err, fault.NoLeader) || err.Error() != "No cluster leader" {
			t.Errorf("register without a leader: %v", err)
		}
		s = open(t, testConfig(""))
		ready(t, s)
		if !s.IsLeader() || s.LeaderAddr() != "127.0.0.1:8300" || s.ClusterID() == "" {
			t.Errorf("leader %v at %q of cluster %q", s.IsLeader(), s.LeaderAddr(), s.ClusterID())
		}
		index := register(t, s, 1)
		if got, list := s.State().ServiceInstances(nil, "web", false); got != index || len(list) != 1 {
			t.Errorf("index %d, want %d; instances %v", got, index, list)
		}
		if err := s.VerifyLeader(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := s.Register(t.Context(), &state.Registration{}); !errors.Is(err, fault.Invalid) || err.Error() != "Must provide node" {
			t.Errorf("empty registration: %v", err)
		}
		if s.Stats()["state"] != "Leader" || s.LastContact() != 0 {
			t.Errorf("stats %v, last contact %v", s.Stats(), s.LastContact())
		}
		if peers, err := s.Peers(); err != nil || !slices.Equal(peers, []string{"127.0.0.1:8300"}) {
			t.Errorf("peers %v %v", peers, err)
		}
	})
}

func TestVerifyLeaderShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, testConfig(""))
		ready(t, s)
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				if err := s.VerifyLeader(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

func TestRestartKeepsStateAndIndex(t *testing.T) {
	dir := t.TempDir()
	s := open(t, testConfig(dir))
	ready(t, s)
	id := s.ClusterID()
	var last uint64
	for n := range 20 {
		last = register(t, s, n)
	}
	if err := s.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	for n := range 5 {
		last = register(t, s, 100+n)
	}
	want := dump(s.State())
	shut(t, s)

	s = open(t, testConfig(dir))
	// Before any election, from the disk alone.
	if got := dump(s.State()); got != want {
		t.Errorf("after restart:\n%s\nwant:\n%s", got, want)
	}
	if index, _ := s.State().ServiceInstances(nil, "web", false); index < last {
		t.Errorf("index %d went back from %d", index, last)
	}
	ready(t, s)
	if s.ClusterID() != id {
		t.Errorf("cluster %s, want %s", s.ClusterID(), id)
	}
	if got := dump(s.State()); got != want {
		t.Errorf("after replay by raft:\n%s\nwant:\n%s", got, want)
	}
	if index := register(t, s, 999); index <= last {
		t.Errorf("new index %d is not above %d", index, last)
	}
}

// digest is a hash over all records, for states that are too large to dump.
func digest(t *testing.T, s *Store) [sha256.Size]byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.fsm.WriteImage(&b, s.State().Snapshot(), 0); err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(b.Bytes())
}

// dump writes a state as text, for comparison.
func dump(st *state.State) string {
	var b strings.Builder
	for table, rec := range st.Snapshot().Records() {
		fmt.Fprintf(&b, "%s %+v\n", table, deref(rec))
	}
	return b.String()
}

// kill lets then see the data directory as a kill -9 at this moment leaves it.
func kill(t *testing.T, dir string, then func(dir string)) {
	t.Helper()
	to := filepath.Join(t.TempDir(), "data")
	copyDir(t, dir, to)
	_ = os.Remove(filepath.Join(to, "raft", "lock"))
	then(to)
}

func copyDir(t testing.TB, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func TestKilledWhileWriting(t *testing.T) {
	dir := t.TempDir()
	s := open(t, testConfig(dir))
	ready(t, s)
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		acked []int
		stop  = make(chan struct{})
	)
	for w := range 4 {
		wg.Go(func() {
			for n := 0; n < 400; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := s.Register(t.Context(), registration(w*100000+n)); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acked = append(acked, w*100000+n)
				mu.Unlock()
			}
		})
	}
	for range 3 {
		mu.Lock()
		before := slices.Clone(acked)
		mu.Unlock()
		kill(t, dir, func(dir string) {
			// A copy of files in use is worse than what a kill leaves: it may hold
			// the mark of a batch whose entries were copied a moment before.
			s := newStore(t, testConfig(dir), testDeps())
			defer shut(t, s)
			if err := s.Open(t.Context()); err != nil {
				if !disklog.IsDamage(err) {
					t.Error(err)
				}
				return
			}
			ready(t, s)
			for _, n := range before {
				if _, ok := s.State().Node(fmt.Sprintf("n%d", n)); !ok {
					t.Errorf("n%d was acknowledged before the kill and is lost", n)
				}
			}
		})
	}
	close(stop)
	wg.Wait()
}

func TestFirstStartCutShort(t *testing.T) {
	// Every file is taken away or emptied after each step of a first start; the
	// next start must go on by itself with the cluster ID that was minted.
	base := t.TempDir()
	cfg := testConfig(base)
	cfg.patient = true
	s := open(t, cfg)
	shut(t, s) // before an election: cluster ID, bootstrap entry
	id := raw(t, filepath.Join(base, "raft", "cluster"))
	for name, cut := range map[string]func(dir string) error{
		"only the directory":   func(dir string) error { return keepOnly(dir) },
		"only the cluster ID":  func(dir string) error { return keepOnly(dir, "cluster") },
		"mark not yet written": func(dir string) error { return os.Remove(filepath.Join(dir, "mark")) },
		"term without an entry": func(dir string) error {
			if err := keepOnly(dir, "cluster"); err != nil {
				return err
			}
			m, _, err := disklog.OpenMark(filepath.Join(dir, "mark"))
			if err != nil {
				return err
			}
			l, err := disklog.OpenLog(disklog.Config{Dir: filepath.Join(dir, "wal"), SegmentSize: 1 << 20, Mark: m, Gate: disklog.NewGate(zap.NewNop()), Logger: zap.NewNop()})
			if err != nil {
				return err
			}
			return errors.Join(l.SetUint64([]byte("CurrentTerm"), 1), l.Close())
		},
		"segment listed but not made": func(dir string) error {
			if err := keepOnly(dir, "cluster", "wal"); err != nil {
				return err
			}
			return removeGlob(dir, "wal/*.wal")
		},
		"segment made but empty": func(dir string) error {
			if err := keepOnly(dir, "cluster", "wal"); err != nil {
				return err
			}
			return truncateGlob(dir, "wal/*.wal", 0)
		},
		"leftovers of unfinished writes": func(dir string) error {
			return errors.Join(os.WriteFile(filepath.Join(dir, ".cluster.tmp-1"), nil, 0o600),
				os.WriteFile(filepath.Join(dir, "wal", ".meta.tmp-1"), []byte("x"), 0o600),
				os.WriteFile(filepath.Join(dir, "snapshots", "1-1-1.snap.tmp"), []byte("x"), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			copyDir(t, base, dir)
			if err := cut(filepath.Join(dir, "raft")); err != nil {
				t.Fatal(err)
			}
			s := open(t, testConfig(dir))
			ready(t, s)
			register(t, s, 1)
			if got := raw(t, filepath.Join(dir, "raft", "cluster")); name != "only the directory" && got != id {
				t.Errorf("cluster %s, want %s", got, id)
			}
			shut(t, s)
			left, err := filepath.Glob(filepath.Join(dir, "raft", "*", "*tmp*"))
			if err != nil || len(left) > 0 {
				t.Errorf("left over: %v %v", left, err)
			}
		})
	}
}

func raw(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func keepOnly(dir string, keep ...string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !slices.Contains(keep, e.Name()) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

func removeGlob(dir, pattern string) error {
	paths, err := filepath.Glob(filepath.Join(dir, pattern))
	for _, p := range paths {
		err = errors.Join(err, os.Remove(p))
	}
	return err
}

func truncateGlob(dir, pattern string, size int64) error {
	paths, err := filepath.Glob(filepath.Join(dir, pattern))
	for _, p := range paths {
		err = errors.Join(err, os.Truncate(p, size))
	}
	return err
}

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	s := open(t, testConfig(dir))
	second := newStore(t, testConfig(dir), testDeps())
	if err := second.Open(t.Context()); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("second store: %v", err)
	}
	shut(t, s)

	other := testConfig(dir)
	other.NodeID = "bbbbbbbb-1111-1111-1111-111111111111"
	if err := newStore(t, other, testDeps()).Open(t.Context()); err == nil || !strings.Contains(err.Error(), "belongs to server "+testNode) {
		t.Errorf("other node ID: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := newStore(t, testConfig(file), testDeps()).Open(t.Context()); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("data directory is a file: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := newStore(t, testConfig(dir), testDeps()).Open(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	if _, err := New(Config{}, testDeps()); err == nil || !strings.Contains(err.Error(), "node ID") || !strings.Contains(err.Error(), "raft_multiplier") {
		t.Errorf("empty configuration: %v", err)
	}
}

func TestFileModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, testConfig(dir))
	ready(t, s)
	register(t, s, 1)
	if err := s.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		want := durable.FileMode
		if d.IsDir() {
			want = durable.DirMode
		} else {
			files++
		}
		if fi.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", path, fi.Mode().Perm(), want)
		}
		return nil
	})
	if err != nil || files < 5 {
		t.Errorf("saw %d files: %v", files, err)
	}
}

func TestUnknownCommandStops(t *testing.T) {
	for name, env := range map[string]map[string]any{
		"type":  {"t": 9999, "l": fsm.Level, "b": map[string]any{}},
		"level": {"t": fsm.TypeRegister, "l": fsm.Level + 1, "b": map[string]any{}},
		"body":  {"t": fsm.TypeRegister, "l": fsm.Level, "b": 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := open(t, testConfig(""))
				ready(t, s)
				cmd, err := cbor.Marshal(env)
				if err != nil {
					t.Fatal(err)
				}
				f := s.node.Load().Apply(cmd, 0)
				if err := f.Error(); err != nil {
					t.Fatal(err)
				}
				err = <-s.Failed()
				if err == nil || !strings.Contains(err.Error(), "This server stops here") {
					t.Errorf("failed with %v", err)
				}
				if _, err := s.Register(t.Context(), registration(1)); err == nil {
					t.Error("a stopped server still registers")
				}
				if err := s.Snapshot(t.Context()); err == nil {
					t.Error("a stopped server still takes snapshots")
				}
			})
		})
	}
}

func TestLeaderDuties(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		deps := testDeps()
		deps.Logger = zap.New(core)
		s := newStore(t, testConfig(""), deps)
		begun, ended := make(chan struct{}), make(chan error, 1)
		s.RunLeader(func(ctx context.Context) {
			close(begun)
			<-ctx.Done()
			ended <- context.Cause(ctx)
		})
		if err := s.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-begun
		if s.ClusterID() == "" {
			t.Error("duties began before the cluster had its ID")
		}
		synctest.Wait()
		shut(t, s)
		if err := <-ended; err == nil {
			t.Error("no cause")
		}
		for _, text := range []string{"entering leader state", "cluster leadership acquired", "New leader elected"} {
			if logs.FilterMessage(text).Len() == 0 {
				t.Errorf("no log line %q", text)
			}
		}
	})
}

func TestTCPTransport(t *testing.T) {
	tr, err := transport.ListenTCP("127.0.0.1:0", nil, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	s := newStore(t, testConfig(t.TempDir()), Deps{Logger: zap.NewNop(), Transport: tr})
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	ready(t, s)
	register(t, s, 1)
	addr := s.LeaderAddr()
	shut(t, s)
	if c, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
		c.Close()
		t.Error("the port is open after Close")
	}
	if _, err := transport.ListenTCP("256.0.0.1:0", nil, zap.NewNop()); err == nil {
		t.Error("a wrong address is taken")
	}
}

// A lone server comes back with another address: it leads, and says where it is.
func TestNewAddress(t *testing.T) {
	dir := t.TempDir()
	s := open(t, testConfig(dir))
	ready(t, s)
	shut(t, s)
	_, tr := raft.NewInmemTransport("127.0.0.1:9300")
	s = newStore(t, testConfig(dir), Deps{Logger: zap.NewNop(), Transport: tr})
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer shut(t, s)
	ready(t, s)
	if peers, err := s.Peers(); err != nil || !slices.Equal(peers, []string{"127.0.0.1:9300"}) {
		t.Errorf("peers %v %v", peers, err)
	}
}
