package metrics

import (
	"context"
	"math"
	"time"
)

// Summary is the JSON form of one interval.
type Summary struct {
	Timestamp string // when the interval began
	Gauges    []GaugeValue
	Points    []PointValue
	Counters  []SampledValue
	Samples   []SampledValue
}

// GaugeValue is a gauge's present value.
type GaugeValue struct {
	Name   string
	Value  float64
	Labels map[string]string
}

// PointValue is a list of single values. Nothing reports such.
type PointValue struct {
	Name   string
	Points []float64
}

// SampledValue sums up what an interval saw of a counter or a timer.
type SampledValue struct {
	Name   string
	Count  int
	Rate   float64 // sum per second
	Sum    float64
	Min    float64
	Max    float64
	Mean   float64
	Stddev float64
	Labels map[string]string
}

// Summary sums up the last finished interval, and gauges as they are now. What
// began in this interval alone is shown as far as it goes, so that a young agent
// is not mute.
func (r *Registry) Summary() Summary {
	n := number(time.Now())
	out := r.summary(n - 1)
	if len(out.Counters)+len(out.Samples) == 0 {
		return r.summary(n)
	}
	return out
}

func (r *Registry) summary(n int64) Summary {
	out := Summary{
		Timestamp: time.Unix(0, n*int64(Interval)).UTC().String(),
		Gauges:    []GaugeValue{}, Points: []PointValue{}, Counters: []SampledValue{}, Samples: []SampledValue{},
	}
	if r == nil {
		return out
	}
	now := time.Now()
	for _, s := range r.visible() {
		s.mu.Lock()
		w, seen := s.interval(n)
		value, fresh := s.value, !s.touched.IsZero() && (s.own.Load() || now.Sub(s.touched) <= max(r.retention, 2*Interval))
		s.mu.Unlock()
		switch {
		case s.kind == gauge && fresh:
			out.Gauges = append(out.Gauges, GaugeValue{Name: s.name, Value: value, Labels: labelMap(s.labels)})
		case s.kind == counter && seen:
			out.Counters = append(out.Counters, sampled(s, &w))
		case s.kind == sample && seen:
			out.Samples = append(out.Samples, sampled(s, &w))
		}
	}
	return out
}

func sampled(s *series, w *window) SampledValue {
	v := SampledValue{
		Name: s.name, Count: w.count, Rate: w.sum / Interval.Seconds(), Sum: w.sum, Min: w.lo, Max: w.hi,
		Mean: w.sum / float64(w.count), Labels: labelMap(s.labels),
	}
	if n := float64(w.count); n > 1 {
		// Rounding may take equal values below zero.
		v.Stddev = math.Sqrt(max(0, (n*w.squares-w.sum*w.sum)/(n*(n-1))))
	}
	return v
}

func labelMap(labels []Label) map[string]string {
	m := make(map[string]string, len(labels))
	for _, l := range labels {
		m[l.Name] = l.Value
	}
	return m
}

// Stream gives each interval's summary to emit when it ends, until ctx does or
// emit fails, and returns that error.
func (r *Registry) Stream(ctx context.Context, emit func(Summary) error) error {
	for {
		now := time.Now()
		n := number(now)
		t := time.NewTimer(time.Unix(0, (n+1)*int64(Interval)).Sub(now))
		select {
		case <-t.C:
			if err := emit(r.summary(n)); err != nil {
				return err
			}
		case <-ctx.Done():
			t.Stop()
			return nil
		}
	}
}
