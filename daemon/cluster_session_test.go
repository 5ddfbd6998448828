package daemon_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/kv"
	"consul.internal/rpc"
)

// sessionTTL is the shortest that there is.
const sessionTTL = kv.MinTTL

// keeper is a cluster of three servers that is asked about sessions and locks.
type keeper struct {
	*cluster
	at *labNode // who is asked; it never fails
}

func newKeeper(t *testing.T) *keeper {
	k := &keeper{cluster: newCluster(t)}
	servers := []string{"s1", "s2", "s3"}
	for _, key := range servers {
		k.add(spec{key: key, server: true, expect: 3, join: servers})
	}
	k.at = k.add(spec{key: "c1", join: servers})
	for _, key := range k.order {
		if err := k.start(k.nodes[key]); err != nil {
			t.Fatal(err)
		}
	}
	k.elected()
	if !k.await(time.Minute, func() bool { _, ok := k.leader().d.Store().State().Node("c1"); return ok }) {
		t.Fatal("the client is not in the catalog")
	}
	return k
}

// elected waits for a leader and gives it.
func (k *keeper) elected() *labNode {
	k.t.Helper()
	if !k.await(30*time.Second, func() bool { return k.leader() != nil }) {
		k.t.Fatal("no leader")
	}
	return k.leader()
}

func (k *keeper) session(ttl string, delay time.Duration) string {
	k.t.Helper()
	out, err := rpc.Call(k.t.Context(), k.at.d.Caller(), rpc.SessionCreate, &rpc.SessionCreateRequest{
		Session: kv.Session{Node: "c1", TTL: ttl, LockDelay: delay},
	})
	if err != nil {
		k.t.Fatal(err)
	}
	return out.ID
}

// lives asks a server that leads whether a session is there, for as long as that takes.
func (k *keeper) lives(id string) bool {
	k.t.Helper()
	var there bool
	if !k.await(30*time.Second, func() bool {
		in := &rpc.SessionGetRequest{ReadOptions: rpc.ReadOptions{Consistency: rpc.Consistent}, ID: id}
		out, err := rpc.Call(k.t.Context(), k.at.d.Caller(), rpc.SessionGet, in)
		there = err == nil && len(out.Sessions) == 1
		return err == nil
	}) {
		k.t.Fatal("no answer")
	}
	return there
}

func (k *keeper) renew(id string) {
	k.t.Helper()
	out, err := rpc.Call(k.t.Context(), k.at.d.Caller(), rpc.SessionRenew, &rpc.SessionRequest{ID: id})
	if err != nil || len(out.Sessions) != 1 {
		k.t.Fatalf("renew: %+v %v", out, err)
	}
}

// lock reports whether a session got a key; an unknown outcome is none.
func (k *keeper) lock(key, session string) bool {
	ctx, cancel := context.WithTimeout(k.t.Context(), 20*time.Second)
	defer cancel()
	out, err := rpc.Call(ctx, k.at.d.Caller(), rpc.KeyApply, &rpc.KeyApplyRequest{
		KeyOp: kv.KeyOp{Verb: kv.Lock, Key: key, Session: session},
	})
	return err == nil && out.Done
}

// upsets are the ways in which a leader is lost. Each leaves a majority.
var upsets = []struct {
	name string
	do   func(*keeper)
}{
	{"kill", func(k *keeper) { must(k, k.kill(k.elected())) }},
	{"stop", func(k *keeper) { must(k, k.stop(k.elected())) }},
	{"hand over", func(k *keeper) {
		old := k.elected()
		for _, n := range k.running(true) {
			if n != old {
				_, err := rpc.Call(k.t.Context(), n.d.Caller(), rpc.RaftTransferLeader, &rpc.RaftPeerRequest{ID: n.id})
				must(k, err)
				return
			}
		}
	}},
	{"cut off", func(k *keeper) { k.net.Isolate(k.elected().ip) }},
	{"power cut", func(k *keeper) {
		servers := k.running(true)
		for _, n := range servers {
			must(k, k.kill(n))
		}
		time.Sleep(2 * time.Second)
		for _, n := range servers {
			must(k, k.start(n))
		}
	}},
}

// handOver is the place of that upset.
const handOver = 2

func must(k *keeper, err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

// TestSessionOverLeaders: whatever becomes of the leader, and whenever, a session
// lasts for its whole time after the last renewal, and ends once nobody renews it.
func TestSessionOverLeaders(t *testing.T) {
	for _, upset := range upsets {
		for _, after := range []time.Duration{0, 9500 * time.Millisecond, 19 * time.Second} {
			t.Run(fmt.Sprintf("%s after %v", upset.name, after), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					k := newKeeper(t)
					id := k.session(sessionTTL.String(), 0)
					time.Sleep(8 * time.Second)
					k.renew(id)
					renewed := time.Now()
					time.Sleep(after)
					upset.do(k)
					k.elected()
					took := time.Since(renewed) - after
					// The new leader cannot know of renewals: all of it begins anew.
					const whole = kv.TTLFactor * sessionTTL
					lost := renewed.Add(after)
					for k.lives(id) {
						if time.Since(lost) > whole+took+5*time.Second {
							t.Fatalf("it still lives %v after its leader was lost", time.Since(lost))
						}
						time.Sleep(100 * time.Millisecond)
					}
					if lasted := time.Since(renewed); lasted < whole {
						t.Errorf("it ended %v after its renewal; its whole time is %v", lasted, whole)
					}
					// One that stops in good order leads for a moment more.
					if lasted := time.Since(lost); lasted < whole && upset.name != "stop" {
						t.Errorf("it ended %v after its leader was lost, %v after its renewal; its whole time is %v", lasted, after, whole)
					}
				})
			})
		}
	}
}

// TestSessionRenewedOverLeaders: one that is renewed in time outlives any number of
// leaders, and so does its lock.
func TestSessionRenewedOverLeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t)
		mine, theirs := k.session(sessionTTL.String(), 0), k.session("", 0)
		if !k.lock("held", mine) {
			t.Fatal("not locked")
		}
		for range 12 {
			upsets[handOver].do(k)
			k.elected()
			time.Sleep(sessionTTL)
			k.renew(mine)
			if k.lock("held", theirs) {
				t.Fatal("two hold the lock")
			}
		}
	})
}

// TestLockDelayOverLeaders: whatever becomes of the leader, and whenever, nobody
// locks what a session held before its delay is over, and somebody does then.
func TestLockDelayOverLeaders(t *testing.T) {
	const delay = 15 * time.Second
	for _, upset := range upsets {
		for _, after := range []time.Duration{0, 7 * time.Second, 14500 * time.Millisecond} {
			t.Run(fmt.Sprintf("%s after %v", upset.name, after), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					k := newKeeper(t)
					mine, theirs := k.session("", delay), k.session("", delay)
					if !k.lock("held", mine) {
						t.Fatal("not locked")
					}
					// The delay begins with the end of the session, which is before the answer.
					began := time.Now()
					if _, err := rpc.Call(t.Context(), k.at.d.Caller(), rpc.SessionDestroy, &rpc.SessionRequest{ID: mine}); err != nil {
						t.Fatal(err)
					}
					time.Sleep(after)
					if k.lock("held", theirs) {
						t.Fatal("locked before the leader was lost")
					}
					upset.do(k)
					for !k.lock("held", theirs) {
						if time.Since(began) > after+delay+30*time.Second {
							t.Fatalf("still not locked %v after the session ended", time.Since(began))
						}
						time.Sleep(100 * time.Millisecond)
					}
					if took := time.Since(began); took < delay {
						t.Errorf("locked %v after the session ended, in spite of a delay of %v", took, delay)
					}
				})
			})
		}
	}
}
