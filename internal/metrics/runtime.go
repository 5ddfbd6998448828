package metrics

import "runtime"

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
}
