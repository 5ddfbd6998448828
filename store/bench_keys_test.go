package store

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
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
// keeps nothing. Both clusters take turns of a moment each, so that a disk whose
// speed changes is the same disk for both. All servers are in this process, over
// transports in memory: the CPU of a write is that of three servers together.
func BenchmarkKeyWrites(b *testing.B) {
	value := make([]byte, 512)
	bare := bareCluster(b)
	l := newLab(b, b.TempDir())
	l.tune = func(c *Config) { c.segmentSize = segmentSize }
	for _, id := range []string{"s1", "s2", "s3"} {
		l.add(id, 3, false)
	}
	for _, id := range l.ids() {
		l.start(id)
	}
	leader := l.settled(3, time.Minute)
	floor := func(uint64) error {
		return bare.Apply(append([]byte("key-000000"), value...), 10*time.Second).Error()
	}
	var seen atomic.Uint64
	ours := func(uint64) error {
		n := seen.Add(1)
		v := make([]byte, len(value))
		copy(v, fmt.Sprint(n)) // else it changes nothing
		_, _, err := leader.apply(b.Context(), fsm.TypeKey, &kv.KeyOp{Verb: kv.Set, Key: fmt.Sprintf("key-%06d", n%1000), Value: v})
		return err
	}
	for _, writers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			const turn = 256 // writes: some sync times, much less than a disk needs to change its mind
			var bareTook, took, bareCPU, cpu time.Duration
			var ratios []float64
			for done := 0; done < b.N; done += turn {
				n := min(turn, b.N-done)
				t0, c0 := manyWrites(b, writers, n, floor)
				t1, c1 := manyWrites(b, writers, n, ours)
				bareTook, bareCPU, took, cpu = bareTook+t0, bareCPU+c0, took+t1, cpu+c1
				ratios = append(ratios, float64(t0)/float64(t1))
			}
			slices.Sort(ratios)
			n := float64(b.N)
			b.ReportMetric(0, "ns/op") // of both together says nothing
			b.ReportMetric(n/bareTook.Seconds(), "bare-writes/s")
			b.ReportMetric(n/took.Seconds(), "writes/s")
			b.ReportMetric(float64(bareCPU.Microseconds())/n, "bare-cpu-µs/op")
			b.ReportMetric(float64(cpu.Microseconds())/n, "cpu-µs/op")
			b.ReportMetric(100*bareTook.Seconds()/took.Seconds(), "%-of-bare")
			b.ReportMetric(100*ratios[len(ratios)/2], "%-of-bare(median-turn)")
		})
	}
}

// manyWrites carries out n writes by so many writers, and returns the time that they took.
func manyWrites(b *testing.B, writers, n int, write func(n uint64) error) (took, cpu time.Duration) {
	var wg sync.WaitGroup
	var next atomic.Int64
	cpu, began := cpuUsed(), time.Now()
	for range writers {
		wg.Go(func() {
			for {
				at := next.Add(1)
				if at > int64(n) {
					return
				}
				if err := write(uint64(at)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(began), cpuUsed() - cpu
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
