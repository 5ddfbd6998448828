package store

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"

	"consul.internal/kv"
	"consul.internal/store/fsm"
)

// BenchmarkKeyWrites measures writes of keys with 512 bytes to three servers, each
// with a log on the disk that syncs, next to the bare libraries on the same
// disk: hashicorp/raft over raft-wal, with the same settings, and a state that
// keeps nothing. All servers are in this process, over transports in memory, so
// that cpu-µs/op is that of the three together.
func BenchmarkKeyWrites(b *testing.B) {
	value := make([]byte, 512)
	for _, writers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("bare/writers=%d", writers), func(b *testing.B) {
			leader := bareCluster(b)
			manyWrites(b, writers, func(uint64) error {
				return leader.Apply(append([]byte("key-000000"), value...), 10*time.Second).Error()
			})
		})
		b.Run(fmt.Sprintf("store/writers=%d", writers), func(b *testing.B) {
			l := newLab(b, b.TempDir())
			l.tune = func(c *Config) { c.segmentSize = segmentSize }
			for _, id := range []string{"s1", "s2", "s3"} {
				l.add(id, 3, false)
			}
			for _, id := range l.ids() {
				l.start(id)
			}
			leader := l.settled(3, time.Minute)
			manyWrites(b, writers, func(n uint64) error {
				v := make([]byte, len(value))
				copy(v, fmt.Sprint(n)) // else it changes nothing
				_, _, err := leader.apply(b.Context(), fsm.TypeKey, &kv.KeyOp{Verb: kv.Set, Key: fmt.Sprintf("key-%06d", n%1000), Value: v})
				return err
			})
		})
	}
}

func manyWrites(b *testing.B, writers int, write func(n uint64) error) {
	var n atomic.Uint64
	b.SetParallelism((writers + 1) / 2) // of two processors
	if writers == 1 {
		b.SetParallelism(1)
	}
	cpu := cpuUsed()
	b.ResetTimer()
	if writers == 1 {
		for range b.N {
			if err := write(n.Add(1)); err != nil {
				b.Fatal(err)
			}
		}
	} else {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := write(n.Add(1)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
	b.ReportMetric(float64((cpuUsed()-cpu).Microseconds())/float64(b.N), "cpu-µs/op")
}

// cpuUsed is the processor time of this process.
func cpuUsed() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail with this argument
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// nothing is a state that keeps nothing.
type nothing struct{}

func (nothing) Apply(*raft.Log) any                 { return nil }
func (nothing) ApplyBatch(logs []*raft.Log) []any   { return make([]any, len(logs)) }
func (nothing) Snapshot() (raft.FSMSnapshot, error) { return nothing{}, nil }
func (nothing) Restore(r io.ReadCloser) error       { return r.Close() }
func (nothing) Persist(s raft.SnapshotSink) error   { return s.Close() }
func (nothing) Release()                            {}

// bareCluster is three nodes of the libraries alone, of which the one that leads is
// given.
func bareCluster(b *testing.B) *raft.Raft {
	dir := b.TempDir()
	ids := []string{"s1", "s2", "s3"}
	var all raft.Configuration
	var wires []*raft.InmemTransport
	for _, id := range ids {
		_, wire := raft.NewInmemTransportWithTimeout(raft.ServerAddress(id), time.Second)
		for _, o := range wires {
			o.Connect(wire.LocalAddr(), wire)
			wire.Connect(o.LocalAddr(), o)
		}
		wires = append(wires, wire)
		all.Servers = append(all.Servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
	}
	var nodes []*raft.Raft
	for i, id := range ids {
		cfg := DefaultConfig()
		cfg.NodeID = id
		rc := cfg.raft()
		rc.NoSnapshotRestoreOnStart = false
		rc.Logger = hclog.NewNullLogger()
		at := filepath.Join(dir, id)
		if err := os.Mkdir(at, 0o700); err != nil {
			b.Fatal(err)
		}
		log, err := wal.Open(at, wal.WithSegmentSize(segmentSize), wal.WithLogger(hclog.NewNullLogger()))
		if err != nil {
			b.Fatal(err)
		}
		snaps := raft.NewInmemSnapshotStore()
		if err := raft.BootstrapCluster(rc, log, log, snaps, wires[i], all); err != nil {
			b.Fatal(err)
		}
		n, err := raft.NewRaft(rc, nothing{}, log, log, snaps, wires[i])
		if err != nil {
			b.Fatal(err)
		}
		nodes = append(nodes, n)
		b.Cleanup(func() {
			if err := n.Shutdown().Error(); err != nil {
				b.Error(err)
			}
			if err := log.Close(); err != nil {
				b.Error(err)
			}
		})
	}
	for {
		for _, n := range nodes {
			if n.State() == raft.Leader && n.VerifyLeader().Error() == nil {
				return n
			}
		}
		<-time.After(10 * time.Millisecond)
	}
}
