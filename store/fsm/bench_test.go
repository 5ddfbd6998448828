package fsm

import (
	"fmt"
	"runtime"
	"testing"

	"consul.internal/catalog"
	"consul.internal/store/state"
	"consul.internal/view"
)

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

// BenchmarkSum measures the sum of a state of 30,000 instances, each with a check.
func BenchmarkSum(b *testing.B) {
	st := state.New(nil)
	f := newFSM(b, st)
	tx := st.Begin(1)
	for n := range 30_000 {
		tx.Next(uint64(n + 1))
		r := registration(n % 500)
		r.Service.ID, r.Service.Name = fmt.Sprintf("web-%d", n), fmt.Sprintf("web-%d", n/3)
		r.Checks[0].CheckID, r.Checks[0].ServiceID = "c-"+r.Service.ID, r.Service.ID
		if err := tx.EnsureRegistration(r); err != nil {
			b.Fatal(err)
		}
	}
	tx.Commit()
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, err := f.Sum(b.Context(), 1, st.Snapshot()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMemory measures what an instance costs in the state and its view,
// once nothing else is left: 10,000 services of 3 instances, 1,000 checks. Each
// command is decoded, as it is when it comes out of the log.
func BenchmarkMemory(b *testing.B) {
	for range b.N {
		const services, instances, checks = 10_000, 3, 1_000
		before := heap()
		dir := view.NewDirectory()
		st := state.New(dir.Apply)
		f := newFSM(b, st)
		for i := range services * instances {
			name := fmt.Sprintf("service-%d", i/instances)
			r := &state.Registration{
				Node:    &catalog.Node{Name: fmt.Sprintf("node-%d", i%500), Address: fmt.Sprintf("10.1.%d.%d", i%500/250, i%250), Datacenter: "dc1"},
				Service: &catalog.Service{ID: fmt.Sprintf("%s-%d", name, i%instances), Name: name, Port: 8000 + i%1000, Tags: []string{"v1"}},
			}
			if i < checks {
				r.Checks = []*catalog.Check{{CheckID: "c-" + r.Service.ID, Name: "alive", ServiceID: r.Service.ID, Status: catalog.Passing}}
			}
			cmd, err := f.Encode(TypeRegister, r, Level)
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
