package metrics

import (
	"math"
	"runtime"
	goruntime "runtime/metrics"
	"slices"
)

// pauses is how many garbage collections the runtime remembers the pauses of.
const pauses = 256

// CollectRuntime adds what the Go runtime tells about the process.
func (r *Registry) CollectRuntime() {
	if r == nil {
		return
	}
	pause := (*series)(r.Timer(RuntimeGCPause))
	var seen uint32 // collections whose pauses were taken
	r.OnCollect(func() {
		r.process.look()
		r.Gauge(RuntimeGoroutines).Set(float64(runtime.NumGoroutine()))
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		for name, v := range map[string]uint64{
			RuntimeAlloc: m.Alloc, RuntimeSys: m.Sys, RuntimeMallocs: m.Mallocs, RuntimeFrees: m.Frees,
			RuntimeObjects: m.HeapObjects, RuntimeGCTotal: m.PauseTotalNs, RuntimeGCRuns: uint64(m.NumGC),
		} {
			r.Gauge(name).Set(float64(v))
		}
		for seen = max(seen, m.NumGC-min(m.NumGC, pauses)); seen < m.NumGC; seen++ {
			pause.add(float64(m.PauseNs[seen%pauses]))
		}
	})
	w := &waits{sample: []goruntime.Sample{{Name: "/sched/latencies:seconds"}}}
	r.OnCollect(func() {
		if w.read() {
			r.Gauge(RuntimeWaitMedian).Set(w.quantile(0.5))
			r.Gauge(RuntimeWaitP99).Set(w.quantile(0.99))
		}
	})
}

// waits is how long goroutines that could run waited for a processor, since the last
// look: what a flood of one kind of work does to all others.
type waits struct {
	sample []goruntime.Sample
	before []uint64 // as the runtime counted them at the last look
	counts []uint64
	limits []float64 // of the counts' buckets, one more than there are counts; seconds
	total  uint64
}

// read takes what is new, and reports whether anything is.
func (w *waits) read() bool {
	goruntime.Read(w.sample)
	if w.sample[0].Value.Kind() != goruntime.KindFloat64Histogram {
		return false // a runtime that does not count them
	}
	h := w.sample[0].Value.Float64Histogram()
	if w.before == nil {
		w.before = make([]uint64, len(h.Counts))
	}
	w.counts, w.limits, w.total = slices.Clone(h.Counts), h.Buckets, 0
	for i := range w.counts {
		w.counts[i] -= w.before[i]
		w.total += w.counts[i]
	}
	copy(w.before, h.Counts)
	return w.total > 0
}

// quantile is the upper end of the bucket that a share of all waits reaches, in ns.
func (w *waits) quantile(share float64) float64 {
	need := uint64(math.Ceil(share * float64(w.total)))
	var sum uint64
	for i, n := range w.counts {
		if sum += n; sum >= need {
			if top := w.limits[i+1]; !math.IsInf(top, 1) {
				return top * 1e9
			}
			return w.limits[i] * 1e9
		}
	}
	return 0
}
