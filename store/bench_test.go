package store

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"consul.internal/catalog"
	"consul.internal/store/state"
	"consul.internal/view"
)

// BenchmarkRegister measures registrations through the log: committed, synced
// where there is a disk, applied.
func BenchmarkRegister(b *testing.B) {
	for _, where := range []string{"disk", "memory"} {
		for _, writers := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("%s/writers=%d", where, writers), func(b *testing.B) {
				cfg := testConfig("")
				cfg.segmentSize = segmentSize
				if where == "disk" {
					cfg.DataDir = b.TempDir()
				}
				s := open(b, cfg)
				ready(b, s)
				var n atomic.Int64
				b.SetParallelism(writers)
				b.ReportAllocs()
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						r := registration(int(n.Add(1) % 1000)) // of a thousand nodes, each time with a change
						r.Service.Port = int(n.Load())
						if _, err := s.Register(b.Context(), r); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		}
	}
}

// BenchmarkMark measures what the mark adds to each write of the log.
func BenchmarkMark(b *testing.B) {
	for _, sync := range []bool{false, true} {
		b.Run(fmt.Sprintf("sync=%v", sync), func(b *testing.B) {
			m, _, err := openMark(b.TempDir() + "/mark")
			if err != nil {
				b.Fatal(err)
			}
			defer m.close()
			for i := range b.N {
				if err := m.set(uint64(i), uint64(i), sync); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkApply measures the state alone: one registration of a node, service
// and check among ten thousand.
func BenchmarkApply(b *testing.B) {
	st := state.New(nil)
	index := uint64(0)
	put := func(n int) {
		index++
		tx := st.Begin(index)
		if err := tx.EnsureRegistration(registration(n)); err != nil {
			b.Fatal(err)
		}
		tx.Commit()
	}
	for n := range 10000 {
		put(n)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for n := range b.N {
		put(10000 + n)
	}
}

// BenchmarkReopen measures how soon a server that was killed has its state back,
// from a snapshot and the entries behind it.
func BenchmarkReopen(b *testing.B) {
	cfg := testConfig(b.TempDir())
	cfg.segmentSize = segmentSize
	s := open(b, cfg)
	ready(b, s)
	const services = 30_000
	var wg sync.WaitGroup
	for w := range 64 {
		wg.Go(func() {
			for i := w; i < services; i += 64 {
				r := registration(i % 500)
				r.Service.ID, r.Service.Name = fmt.Sprintf("s-%d", i), fmt.Sprintf("s-%d", i/3)
				r.Checks = nil
				if _, err := s.Register(b.Context(), r); err != nil {
					b.Error(err)
					return
				}
				if i == services/2 {
					if err := s.Snapshot(b.Context()); err != nil {
						b.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for b.Loop() {
		s := open(b, cfg)
		b.StopTimer()
		if _, all := s.State().Instances(nil); len(all) != services {
			b.Fatal("nothing came back")
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkMemory measures what an instance costs in the state and its view,
// once nothing else is left: 10,000 services of 3 instances, 1,000 checks. Each
// command is decoded, as it is when it comes out of the log.
func BenchmarkMemory(b *testing.B) {
	commands, err := newCodec(maxNesting)
	if err != nil {
		b.Fatal(err)
	}
	for range b.N {
		const services, instances, checks = 10_000, 3, 1_000
		before := heap()
		dir := view.NewDirectory()
		st := state.New(dir.Apply)
		f := &fsm{state: st, codec: commands, decoders: decoders(commands)}
		for i := range services * instances {
			name := fmt.Sprintf("service-%d", i/instances)
			r := &state.Registration{
				Node:    &catalog.Node{Name: fmt.Sprintf("node-%d", i%500), Address: fmt.Sprintf("10.1.%d.%d", i%500/250, i%250), Datacenter: "dc1"},
				Service: &catalog.Service{ID: fmt.Sprintf("%s-%d", name, i%instances), Name: name, Port: 8000 + i%1000, Tags: []string{"v1"}},
			}
			if i < checks {
				r.Checks = []*catalog.Check{{CheckID: "c-" + r.Service.ID, Name: "alive", ServiceID: r.Service.ID, Status: catalog.Passing}}
			}
			cmd, err := f.encode(commandRegister, r)
			if err != nil {
				b.Fatal(err)
			}
			do, err := f.decode(cmd)
			if err != nil {
				b.Fatal(err)
			}
			tx := st.Begin(uint64(i + 1))
			if _, err := do(tx); err != nil {
				b.Fatal(err)
			}
			tx.Commit()
		}
		b.ReportMetric(float64(heap()-before)/(services*instances), "B/instance")
		runtime.KeepAlive(st)
		runtime.KeepAlive(dir)
	}
}

// heap is what is in use once all garbage is gone.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
