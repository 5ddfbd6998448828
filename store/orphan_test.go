package store

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/rpc"
)

// TestOrphan: a server is cut off when it has founded a cluster and nobody has
// voted for it. The others found another one with a fourth server. When it is back
// it forgets its own and becomes one of theirs.
func TestOrphan(t *testing.T) {
	for _, where := range []string{"disk", "memory"} {
		t.Run(where, func(t *testing.T) {
			dir := ""
			if where == "disk" {
				dir = t.TempDir()
			}
			synctest.Test(t, func(t *testing.T) { orphan(t, dir) })
		})
	}
}

func orphan(t *testing.T, dir string) {
	l := newLab(t, dir)
	for _, id := range []string{"a", "b", "c", "d"} {
		l.add(id, 3, false)
	}
	pledged := map[string]bool{}
	l.heard = func(id string, in *rpc.PledgeRequest) {
		l.mu.Lock()
		if in.Pledge != nil && in.Ballot.By == "a" {
			pledged[id] = true
		}
		cut := len(pledged) == 2 && !l.nodes["a"].cut
		l.mu.Unlock()
		if cut {
			l.connect("a", false)
		}
	}
	for _, id := range []string{"a", "b", "c"} {
		l.start(id)
	}
	for l.get("a").node.Load().LastIndex() == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	l.mu.Lock()
	l.nodes["a"].cut = true
	l.mu.Unlock()
	mine := l.get("a").Former().ClusterID()
	time.Sleep(10 * time.Second)
	if got := l.get("a").Former().ClusterID(); got != mine || mine == "" || l.leader() != nil {
		t.Fatalf("cluster %q became %q", mine, got)
	}
	if dir != "" { // it is the same after a restart
		l.stop("a")
		l.start("a")
		l.connect("a", false)
	}
	l.start("d")
	l.connect("a", false)
	theirs := l.settled(3, 15*time.Second).ClusterID()
	if theirs == mine {
		t.Fatal("the cluster is that of the server which was cut off")
	}
	if err := l.write(1); err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Second)
	if l.get("a").Former().ClusterID() != mine {
		t.Error("it has forgotten its cluster before it saw another one")
	}
	l.mu.Lock()
	l.nodes["a"].cut = false
	l.mu.Unlock()
	for n := 0; l.get("a").Former().ClusterID() != ""; n++ {
		if n > 100 {
			t.Fatal("it keeps to a cluster that never was")
		}
		time.Sleep(100 * time.Millisecond)
	}
	l.connect("a", true)
	l.settled(4, time.Minute)
	l.has("a", 1)
	if got := l.get("a").ClusterID(); got != theirs {
		t.Errorf("it belongs to cluster %s instead of %s", got, theirs)
	}
	if err := l.write(2); err != nil {
		t.Fatal(err)
	}
	l.has("a", 2)
	if dir != "" {
		l.stop("a")
		l.start("a")
		l.settled(4, 15*time.Second)
		l.has("a", 2)
	}
}

// TestDeserted: a founding is given up only where no majority can ever be had.
func TestDeserted(t *testing.T) {
	p := rpc.Pledge{ClusterID: "mine"}
	for i := range 5 {
		p.Set = append(p.Set, rpc.Founder{ID: fmt.Sprint(i)})
	}
	taken := func(cluster string) rpc.PledgeReply { return rpc.PledgeReply{Taken: true, ClusterID: cluster} }
	for _, tt := range []struct {
		name    string
		replies map[string]rpc.PledgeReply
		want    string
	}{
		{"nobody answers", nil, ""},
		{"two of five are elsewhere", map[string]rpc.PledgeReply{"1": taken("x"), "2": taken("x")}, ""},
		{"three of five are elsewhere", map[string]rpc.PledgeReply{"1": taken("x"), "2": taken("x"), "4": taken("x")}, "x"},
		{"strangers do not count", map[string]rpc.PledgeReply{"1": taken("x"), "2": taken("x"), "9": taken("x")}, ""},
		{"nor who has only voted", map[string]rpc.PledgeReply{"1": taken("x"), "2": taken("x"), "3": taken("")}, ""},
		{"nor who belongs to this one", map[string]rpc.PledgeReply{"1": taken("x"), "2": taken("x"), "3": taken("mine")}, ""},
		{"nor who is free", map[string]rpc.PledgeReply{"1": taken("x"), "2": taken("x"), "3": {ClusterID: "x"}}, ""},
		{"not all of one cluster", map[string]rpc.PledgeReply{"1": taken("x"), "2": taken("y"), "3": taken("x")}, ""},
	} {
		if got := deserted(p, tt.replies); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
