package view_test

import (
	"fmt"
	"testing"

	"consul.internal/catalog"
	"consul.internal/view"
)

// BenchmarkApply changes one instance of a service that has many.
func BenchmarkApply(b *testing.B) {
	for _, n := range []int{3, 500} {
		b.Run(fmt.Sprintf("of=%d", n), func(b *testing.B) {
			d := view.NewDirectory()
			var all []catalog.Change
			for i := range n {
				all = append(all, set(fmt.Sprintf("node-%03d", i), "web", "web", ""))
			}
			d.Apply(catalog.Batch{Index: 1, Changes: all})
			one := catalog.Batch{Changes: all[n/2 : n/2+1]}
			b.ReportAllocs()
			i := uint64(1)
			for b.Loop() {
				i++
				one.Index = i
				d.Apply(one)
			}
		})
	}
}

// BenchmarkService looks up one of many names.
func BenchmarkService(b *testing.B) {
	d := view.NewDirectory()
	var all []catalog.Change
	for i := range 10000 {
		all = append(all, set("n", fmt.Sprint(i), fmt.Sprintf("service-%d", i), ""))
	}
	d.Apply(catalog.Batch{Index: 1, Changes: all})
	b.ReportAllocs()
	for b.Loop() {
		if d.Service("service-4711") == nil {
			b.Fatal("not found")
		}
	}
}
