package memnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// raftLayer is a raft.StreamLayer over a host.
type raftLayer struct {
	net.Listener
	host *Host
}

func (l raftLayer) Dial(to raft.ServerAddress, limit time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return l.host.Dial(ctx, string(to))
}

// noFSM forgets what it is told.
type noFSM struct{}

func (noFSM) Apply(*raft.Log) any                 { return nil }
func (noFSM) Restore(r io.ReadCloser) error       { return r.Close() }
func (noFSM) Snapshot() (raft.FSMSnapshot, error) { return nil, errors.New("no snapshots here") }

func raftNodes(t *testing.T, n *Net, count int) []*raft.Raft {
	t.Helper()
	t.Cleanup(n.Close) // raft does not wait for the streams it accepted
	var nodes []*raft.Raft
	var servers []raft.Server
	for i := range count {
		host := n.Host(raftIP(i))
		l, err := host.Listen(t.Context(), raftIP(i)+":8300")
		if err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprint("node", i)
		servers = append(servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(l.Addr().String())})
		log := hclog.NewNullLogger()
		trans := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			Stream: raftLayer{l, host}, MaxPool: 3, Timeout: 10 * time.Second, Logger: log,
		})
		cfg := raft.DefaultConfig()
		cfg.LocalID, cfg.Logger = raft.ServerID(id), log
		mem := raft.NewInmemStore()
		r, err := raft.NewRaft(cfg, noFSM{}, mem, mem, raft.NewInmemSnapshotStore(), trans)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := r.Shutdown().Error(); err != nil {
				t.Error(err)
			}
			trans.Close()
		})
		nodes = append(nodes, r)
	}
	if err := nodes[0].BootstrapCluster(raft.Configuration{Servers: servers}).Error(); err != nil {
		t.Fatal(err)
	}
	return nodes
}

func raftIP(i int) string { return fmt.Sprintf("10.1.0.%d", i+1) }

// leader waits for a leader that is not except.
func leader(t *testing.T, nodes []*raft.Raft, except int) int {
	t.Helper()
	for range 600 {
		for i, r := range nodes {
			if i != except && r.State() == raft.Leader {
				return i
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("no leader within 30 s")
	return -1
}

func TestRaft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		n.SetDefault(Rule{Delay: 5 * time.Millisecond, Jitter: time.Millisecond})
		nodes := raftNodes(t, n, 3)
		first := leader(t, nodes, -1)
		for i := range 100 {
			if err := nodes[first].Apply([]byte(fmt.Sprint(i)), time.Second).Error(); err != nil {
				t.Fatal(err)
			}
		}
		n.Isolate(raftIP(first))
		second := leader(t, nodes, first)
		if err := nodes[second].Apply([]byte("after the cut"), time.Second).Error(); err != nil {
			t.Fatalf("apply on the new leader: %v", err)
		}
		if err := nodes[first].Apply([]byte("behind the cut"), time.Second).Error(); err == nil {
			t.Error("the leader that was cut off applied")
		}
		n.HealAll()
		time.Sleep(30 * time.Second)
		now := leader(t, nodes, -1)
		if err := nodes[now].Barrier(time.Second).Error(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		for i, r := range nodes {
			if r.AppliedIndex() != nodes[now].AppliedIndex() {
				t.Errorf("node %d applied %d, the leader %d", i, r.AppliedIndex(), nodes[now].AppliedIndex())
			}
		}
	})
}

// TestRaftUnderLoss: late streams are not lost ones.
func TestRaftUnderLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		n.SetDefault(Rule{Delay: 2 * time.Millisecond, Loss: 0.05})
		nodes := raftNodes(t, n, 3)
		at := leader(t, nodes, -1)
		done := 0
		for i := range 200 {
			if nodes[at].Apply([]byte(fmt.Sprint(i)), time.Second).Error() == nil {
				done++
			} else {
				at = leader(t, nodes, -1)
			}
		}
		if done < 150 {
			t.Errorf("only %d of 200 entries were applied", done)
		}
		if n.Total().Retransmits == 0 {
			t.Error("nothing was sent twice: the loss had no effect")
		}
	})
}
