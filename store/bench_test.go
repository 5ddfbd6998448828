package store

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
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
		if _, all := s.State().Inventory(nil).Instances(); len(all) != services {
			b.Fatal("nothing came back")
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
