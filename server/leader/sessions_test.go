package leader_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"

	"consul.internal/catalog"
	"consul.internal/kv"
	"consul.internal/server/leader"
	"consul.internal/store"
	"consul.internal/store/keys"
	"consul.internal/store/state"
)

// keeper is a server that leads, in memory, with the leader's clocks.
type keeper struct {
	*store.Store
	t      *testing.T
	leases *leader.Leases
}

func newKeeper(t *testing.T) *keeper {
	addr, tr := raft.NewInmemTransport("127.0.0.1:8300")
	tr.Connect(addr, tr)
	cfg := store.DefaultConfig()
	cfg.NodeID, cfg.Bootstrap = "aaaaaaaa-1111-1111-1111-111111111111", true
	s, err := store.New(cfg, store.Deps{Logger: zap.NewNop(), Transport: tr})
	if err != nil {
		t.Fatal(err)
	}
	k := &keeper{Store: s, t: t, leases: &leader.Leases{Store: s, Log: zap.NewNop()}}
	tidier := &leader.Tidier{Store: s, Log: zap.NewNop()}
	s.RunLeader(k.leases.Run)
	s.RunLeader(tidier.Delays)
	s.RunLeader(tidier.Tombstones)
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Register(t.Context(), &state.Registration{Node: &catalog.Node{Name: "n1", Address: "10.0.0.1"}}); err != nil {
		t.Fatal(err)
	}
	return k
}

func (k *keeper) create(s kv.Session) {
	k.t.Helper()
	s.Node = "n1"
	if err := keys.Of(k.Store).CreateSession(k.t.Context(), &s); err != nil {
		k.t.Fatal(err)
	}
}

func (k *keeper) session(id string) *kv.Session {
	_, s := k.State().Sessions().Get(nil, id)
	return s
}

func (k *keeper) change(op kv.KeyOp) bool {
	k.t.Helper()
	done, err := keys.Of(k.Store).Change(k.t.Context(), &op)
	if err != nil {
		k.t.Fatal(err)
	}
	return done
}

func (k *keeper) close() {
	if err := k.Close(); err != nil {
		k.t.Error(err)
	}
}

// TestLeases: a session ends twice its TTL after the last renewal, never before.
func TestLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t)
		defer k.close()
		k.create(kv.Session{ID: "short", TTL: "10s"})
		k.create(kv.Session{ID: "long", TTL: "1h"})
		k.create(kv.Session{ID: "endless"})
		for range 5 {
			time.Sleep(19 * time.Second)
			s := k.session("short")
			if s == nil {
				t.Fatal("ended before its time")
			}
			if !k.leases.Renew(s) {
				t.Fatal("not renewed")
			}
		}
		time.Sleep(19 * time.Second)
		if k.session("short") == nil {
			t.Fatal("ended before its time")
		}
		time.Sleep(2 * time.Second)
		if k.session("short") != nil || k.session("long") == nil || k.session("endless") == nil {
			t.Errorf("short %v, long %v, endless %v", k.session("short"), k.session("long"), k.session("endless"))
		}
		time.Sleep(2 * time.Hour)
		if k.session("long") != nil || k.session("endless") == nil {
			t.Errorf("long %v, endless %v", k.session("long"), k.session("endless"))
		}
	})
}

// TestLockDelay: what a session held cannot be locked for as long as it says.
func TestLockDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t)
		defer k.close()
		k.create(kv.Session{ID: "a", LockDelay: 10 * time.Second})
		k.create(kv.Session{ID: "b", LockDelay: 2 * time.Minute}) // cut to a minute
		k.create(kv.Session{ID: "c"})
		if !k.change(kv.KeyOp{Verb: kv.Lock, Key: "ka", Session: "a"}) || !k.change(kv.KeyOp{Verb: kv.Lock, Key: "kb", Session: "b"}) {
			t.Fatal("not locked")
		}
		if err := keys.Of(k.Store).DestroySessions(t.Context(), "a", "b"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(9900 * time.Millisecond)
		if k.change(kv.KeyOp{Verb: kv.Lock, Key: "ka", Session: "c"}) {
			t.Fatal("locked within the delay")
		}
		time.Sleep(200 * time.Millisecond)
		if !k.change(kv.KeyOp{Verb: kv.Lock, Key: "ka", Session: "c"}) {
			t.Fatal("not locked after the delay")
		}
		time.Sleep(49 * time.Second)
		if k.change(kv.KeyOp{Verb: kv.Lock, Key: "kb", Session: "c"}) {
			t.Fatal("locked within the delay")
		}
		time.Sleep(2 * time.Second)
		if !k.change(kv.KeyOp{Verb: kv.Lock, Key: "kb", Session: "c"}) {
			t.Fatal("not locked after the delay")
		}
	})
}

// TestTombstones are given up when their time is over, and no index goes back.
func TestTombstones(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t)
		defer k.close()
		k.change(kv.KeyOp{Verb: kv.Set, Key: "a"})
		k.change(kv.KeyOp{Verb: kv.Delete, Key: "a"})
		time.Sleep(14 * time.Minute)
		k.change(kv.KeyOp{Verb: kv.Set, Key: "b"})
		k.change(kv.KeyOp{Verb: kv.Delete, Key: "b"})
		before, _ := k.State().Keys().Get(nil, "a")
		if n := k.State().Keys().Tombstones(); n != 2 {
			t.Fatalf("%d tombstones", n)
		}
		time.Sleep(2 * time.Minute)
		if n := k.State().Keys().Tombstones(); n != 1 {
			t.Errorf("%d tombstones", n)
		}
		time.Sleep(14 * time.Minute)
		if n := k.State().Keys().Tombstones(); n != 0 {
			t.Errorf("%d tombstones", n)
		}
		if after, _ := k.State().Keys().Get(nil, "a"); after < before {
			t.Errorf("the index went from %d to %d", before, after)
		}
	})
}

// TestNewLeaderGivesTime: a duty that begins anew gives every session all its time.
func TestNewLeaderGivesTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t)
		defer k.close()
		k.create(kv.Session{ID: "s", TTL: "1h"})
		time.Sleep(100 * time.Minute)
		second := &leader.Leases{Store: k.Store, Log: zap.NewNop()}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); second.Run(ctx) }()
		synctest.Wait()
		if !k.leases.Renew(k.session("s")) { // the first one's clock goes on, too
			t.Fatal("not renewed")
		}
		time.Sleep(119 * time.Minute)
		if k.session("s") == nil {
			t.Error("ended before a new leader's time")
		}
		cancel()
		<-done
	})
}
