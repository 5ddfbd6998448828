package store

import (
	"fmt"
	"sync/atomic"
	"testing"

	"consul.internal/store/state"
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
