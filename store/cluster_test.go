package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"

	"consul.internal/rpc"
)

// lab is several servers in one process: raft over transports in memory, the
// pool and the calls between servers by reaching into one another.
type lab struct {
	t    *testing.T
	dir  string  // "" = all in memory
	loss float64 // of pledge calls
	tune func(*Config)
	log  *zap.Logger

	mu    sync.Mutex
	moves int
	nodes map[string]*labNode
}

type labNode struct {
	id, addr string
	cfg      Config
	store    *Store // nil while down
	wire     *raft.InmemTransport
	left     bool
}

func newLab(t *testing.T, dir string) *lab {
	l := &lab{t: t, dir: dir, nodes: map[string]*labNode{}, log: zap.NewNop()}
	t.Cleanup(func() {
		for _, id := range l.ids() {
			l.stop(id)
		}
	})
	return l
}

func (l *lab) ids() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ids []string
	for id := range l.nodes {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// add describes a server; start starts it.
func (l *lab) add(id string, expect int, bootstrap bool) {
	cfg := DefaultConfig()
	cfg.NodeID, cfg.Expect, cfg.Bootstrap, cfg.segmentSize = id, expect, bootstrap, 1<<20
	if l.dir != "" {
		cfg.DataDir = filepath.Join(l.dir, id)
	}
	if l.tune != nil {
		l.tune(&cfg)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nodes[id] = &labNode{id: id, cfg: cfg}
}

// start starts a server at an address that it never had before.
func (l *lab) start(id string) *Store {
	l.t.Helper()
	s, err := l.tryStart(id)
	if err != nil {
		l.t.Fatal(err)
	}
	return s
}

func (l *lab) tryStart(id string) (*Store, error) {
	l.mu.Lock()
	n := l.nodes[id]
	l.moves++
	n.addr = fmt.Sprintf("10.0.%d.%d:8300", l.moves/250, l.moves%250)
	_, n.wire = raft.NewInmemTransportWithTimeout(raft.ServerAddress(n.addr), time.Second)
	n.wire.Connect(raft.ServerAddress(n.addr), n.wire)
	for _, o := range l.nodes {
		if o.store != nil && o != n {
			o.wire.Connect(raft.ServerAddress(n.addr), n.wire)
			n.wire.Connect(raft.ServerAddress(o.addr), o.wire)
		}
	}
	l.mu.Unlock()
	s, err := New(n.cfg, Deps{
		Logger: l.log.Named(id), Transport: n.wire, Pool: l.pool, Peers: l,
		Address: func(id raft.ServerID) (string, bool) {
			l.mu.Lock()
			defer l.mu.Unlock()
			o := l.nodes[string(id)]
			return o.addr, o != nil
		},
		Demote: func(ctx context.Context, in *rpc.RaftDemoteRequest) (*rpc.RaftDemoteReply, error) {
			if s := l.leader(); s != nil {
				return s.Members().Heal(ctx, in)
			}
			return nil, errors.New("no leader")
		},
	})
	if err != nil {
		return nil, err
	}
	s.RunLeader(s.Autopilot().Run)
	s.RunLeader(func(ctx context.Context) { l.join(ctx, s) })
	if err := s.Open(l.t.Context()); err != nil {
		return nil, err
	}
	l.mu.Lock()
	n.store, n.left = s, false
	l.mu.Unlock()
	return s, nil
}

// join is the leader's duty to take servers of the pool in.
func (l *lab) join(ctx context.Context, s *Store) {
	for ctx.Err() == nil {
		for _, c := range l.pool() {
			if c.Status == "alive" {
				_ = s.Members().AddServer(ctx, c.ID, c.Address, false) // tried again
			}
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (l *lab) stop(id string) {
	l.mu.Lock()
	n := l.nodes[id]
	s := n.store
	n.store = nil
	for _, o := range l.nodes {
		if o.wire != nil {
			o.wire.Disconnect(raft.ServerAddress(n.addr))
		}
	}
	l.mu.Unlock()
	if s != nil {
		if err := s.Close(); err != nil {
			l.t.Errorf("close %s: %v", id, err)
		}
	}
}

func (l *lab) pool() []Candidate {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []Candidate
	for _, n := range l.nodes {
		c := Candidate{ID: n.id, Name: n.id, Address: n.addr, Expect: n.cfg.Expect, Status: "failed", Version: "1"}
		if n.store != nil {
			c.Status, c.ClusterID = "alive", n.store.ClusterID()
		}
		if n.addr != "" && !n.left {
			out = append(out, c)
		}
	}
	return out
}

func (l *lab) get(id string) *Store {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.nodes[id] == nil {
		return nil
	}
	return l.nodes[id].store
}

var errLost = errors.New("the message is lost")

func (l *lab) Pledge(ctx context.Context, id string, in *rpc.PledgeRequest) (*rpc.PledgeReply, error) {
	s := l.get(id)
	if s == nil || rand.Float64() < l.loss {
		return nil, errLost
	}
	out, err := s.Former().Answer(ctx, in)
	if rand.Float64() < l.loss {
		return nil, errLost
	}
	return out, err
}

func (l *lab) Stats(_ context.Context, id string) (*rpc.RaftStatsReply, error) {
	if s := l.get(id); s != nil {
		return s.Members().Stats()
	}
	return nil, errLost
}

func (l *lab) leader() *Store {
	for _, id := range l.ids() {
		if s := l.get(id); s != nil && s.IsLeader() && s.VerifyLeader(l.t.Context()) == nil {
			return s
		}
	}
	return nil
}

// settled waits until there is a leader with so many voters, all of one cluster.
func (l *lab) settled(voters int, within time.Duration) *Store {
	l.t.Helper()
	deadline := time.Now().Add(within)
	why := ""
	for time.Now().Before(deadline) {
		if s := l.leader(); s != nil {
			_, servers, err := s.Members().Servers(l.t.Context())
			n := 0
			for _, sv := range servers {
				if sv.Suffrage == raft.Voter {
					n++
				}
			}
			why = fmt.Sprintf("%d voters of %v, %v", n, servers, err)
			if n == voters && l.agreed() {
				return s
			}
		} else {
			why = "no leader"
		}
		time.Sleep(50 * time.Millisecond)
	}
	l.t.Fatalf("not settled within %s: %s", within, why)
	return nil
}

// agreed reports that all who run know the same cluster ID.
func (l *lab) agreed() bool {
	known := map[string]bool{}
	for _, id := range l.ids() {
		if s := l.get(id); s != nil {
			known[s.ClusterID()] = true
		}
	}
	if delete(known, ""); len(known) > 1 {
		l.t.Fatalf("two clusters: %v", known)
	}
	return len(known) == 1
}

func (l *lab) write(n int) error {
	s := l.leader()
	if s == nil {
		return errors.New("no leader")
	}
	ctx, cancel := context.WithTimeout(l.t.Context(), 5*time.Second)
	defer cancel()
	_, err := s.Register(ctx, registration(n))
	return err
}

// has waits until a server holds what write wrote.
func (l *lab) has(id string, n int) {
	l.t.Helper()
	for range 600 {
		if s := l.get(id); s != nil {
			if _, ok := s.State().Node(fmt.Sprintf("n%d", n)); ok {
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	l.t.Fatalf("server %s does not hold n%d", id, n)
}

func permutations(ids []string) [][]string {
	if len(ids) <= 1 {
		return [][]string{slices.Clone(ids)}
	}
	var out [][]string
	for i := range ids {
		rest := slices.Concat(ids[:i], ids[i+1:])
		for _, p := range permutations(rest) {
			out = append(out, append([]string{ids[i]}, p...))
		}
	}
	return out
}

// TestFormsInAnyOrder: three or five servers, of which all or any one carries the
// expectation, started in every order, with pledges that get lost.
func TestFormsInAnyOrder(t *testing.T) {
	for _, ids := range [][]string{{"a", "b", "c"}, {"a", "b", "c", "d", "e"}} {
		orders := permutations(ids)
		for carrier := -1; carrier < len(ids); carrier++ {
			for k, order := range orders {
				if len(ids) == 5 && carrier >= 0 && k%5 != carrier {
					continue // each order of five with one of the carriers is enough
				}
				synctest.Test(t, func(t *testing.T) {
					l := newLab(t, "")
					l.loss = 0.03 // of each direction; an attempt of five needs sixteen
					for i, id := range ids {
						expect := 0
						if carrier == -1 || carrier == i {
							expect = len(ids)
						}
						l.add(id, expect, false)
					}
					for _, id := range order {
						l.start(id)
						time.Sleep(rand.N(600 * time.Millisecond))
					}
					s := l.settled(len(ids), 15*time.Second)
					if got := s.State().Cluster().Expect; got != len(ids) && carrier == -1 {
						t.Errorf("the state expects %d voters", got)
					}
				})
			}
		}
	}
}

// TestThreeSteps: one server founds by itself, the others are joined.
func TestThreeSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, "")
		l.add("a", 0, true)
		l.add("b", 0, false)
		l.add("c", 0, false)
		l.start("b")
		l.start("a")
		l.settled(1, 5*time.Second)
		l.start("c")
		l.settled(3, 15*time.Second)
	})
}

// TestWipedServersFoundNothing: with one of three left that knows the cluster, the
// others, wiped, never found another one beside it.
func TestWipedServersFoundNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, "")
		for _, id := range []string{"a", "b", "c"} {
			l.add(id, 3, false)
			l.start(id)
		}
		l.settled(3, 15*time.Second)
		for _, id := range []string{"a", "b"} { // in memory: a restart is a wipe
			l.stop(id)
			l.start(id)
		}
		time.Sleep(time.Minute)
		if l.get("a").ClusterID() != "" || l.leader() != nil {
			t.Errorf("a cluster was founded beside a living server of another one")
		}
	})
}

// TestNewAddresses: all servers come back elsewhere.
func TestNewAddresses(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, dir)
		for _, id := range []string{"a", "b", "c"} {
			l.add(id, 3, false)
			l.start(id)
		}
		s := l.settled(3, 15*time.Second)
		cluster := s.ClusterID()
		if err := l.write(1); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			for _, id := range l.ids() {
				l.stop(id)
			}
			for _, id := range l.ids() {
				l.start(id)
			}
			s = l.settled(3, 15*time.Second)
			if s.ClusterID() != cluster {
				t.Errorf("cluster %s became %s", cluster, s.ClusterID())
			}
		}
		if err := l.write(2); err != nil {
			t.Fatal(err)
		}
		for _, id := range l.ids() {
			l.has(id, 1)
			l.has(id, 2)
		}
		time.Sleep(2 * time.Second)
		_, servers, err := l.leader().Members().Servers(t.Context())
		for _, sv := range servers {
			if string(sv.Address) != l.nodes[string(sv.ID)].addr {
				t.Errorf("%s stands at %s in the configuration, is at %s", sv.ID, sv.Address, l.nodes[string(sv.ID)].addr)
			}
		}
		if err != nil {
			t.Error(err)
		}
	})
}

// TestLeaderDies: another one leads soon, and reads stay linearizable through
// changes of leadership.
func TestLeaderDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, "")
		for _, id := range []string{"a", "b", "c"} {
			l.add(id, 3, false)
			l.start(id)
		}
		old := l.settled(3, 15*time.Second)
		began := time.Now()
		l.stop(old.cfg.NodeID)
		for l.write(1) != nil {
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("writes again after %s", took)
		}
	})
}

func TestLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, "")
		for _, id := range []string{"a", "b", "c"} {
			l.add(id, 3, false)
			l.start(id)
		}
		old := l.settled(3, 15*time.Second)
		id := old.cfg.NodeID
		began := time.Now()
		l.mu.Lock()
		l.nodes[id].left = true // its intent is known before
		l.mu.Unlock()
		err := old.Members().Leave(t.Context(), func(ctx context.Context) error {
			for {
				if s := l.leader(); s != nil && s != old {
					return s.Members().RemoveServer(ctx, id)
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("left after %s", took)
		}
		l.stop(id)
		l.settled(2, time.Second)
		if err := l.write(1); err != nil {
			t.Error(err)
		}
	})
}
