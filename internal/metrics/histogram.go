package metrics

import (
	"bytes"
	"slices"
	"strconv"
	"time"
)

// latencies are the bounds of a Histogram's buckets, in seconds: from an answer out of
// memory to one that other machines gave.
var latencies = [...]float64{
	10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1, 2.5,
}

// buckets count the values up to each bound, the last one those above all.
type buckets [len(latencies) + 1]uint64

// Histogram counts how long things took, by bounds. Only Prometheus text shows it, in
// seconds. A nil Histogram counts nothing.
type Histogram series

// Histogram returns the histogram of a name and labels.
func (r *Registry) Histogram(name string, labels ...Label) *Histogram {
	return (*Histogram)(r.get(histogram, name, labels, true))
}

// ObserveN takes n things that took d each.
func (h *Histogram) ObserveN(d time.Duration, n int) {
	s := (*series)(h)
	if s == nil || n <= 0 || s.hidden.Load() {
		return
	}
	v := d.Seconds()
	i, _ := slices.BinarySearch(latencies[:], v)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.buckets == nil {
		s.buckets = new(buckets)
	}
	s.buckets[i] += uint64(n)
	s.count += uint64(n)
	s.total += v * float64(n)
}

func writeBuckets(b *bytes.Buffer, name, labels string, counts *buckets, total float64) {
	if counts == nil {
		counts = new(buckets)
	}
	if labels != "" {
		labels += ","
	}
	sum := uint64(0)
	for i, n := range counts {
		sum += n
		bound := "+Inf"
		if i < len(latencies) {
			bound = strconv.FormatFloat(latencies[i], 'g', -1, 64)
		}
		promLine(b, name+"_bucket", labels+`le="`+bound+`"`, float64(sum))
	}
	labels = labels[:max(0, len(labels)-1)]
	promLine(b, name+"_sum", labels, total)
	promLine(b, name+"_count", labels, float64(sum))
}
