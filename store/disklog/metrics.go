package disklog

import (
	"consul.internal/internal/metrics"
	wal "github.com/hashicorp/raft-wal"
)

// meter hands raft-wal's figures on, under the names that it gives them. The set of
// them is known and does not change, so that it is read without a lock.
type meter struct {
	r        *metrics.Registry
	counters map[string]*metrics.Counter
}

func newMeter(r *metrics.Registry) meter {
	m := meter{r: r, counters: map[string]*metrics.Counter{}}
	for _, c := range wal.MetricDefinitions.Counters {
		m.counters[c.Name] = r.Counter(metrics.WAL(c.Name))
	}
	return m
}

// IncrementCounter implements the library's Collector.
func (m meter) IncrementCounter(name string, delta uint64) { m.counters[name].Add(float64(delta)) }

// SetGauge implements the library's Collector.
func (m meter) SetGauge(name string, v uint64) { m.r.Gauge(metrics.WAL(name)).Set(float64(v)) }
