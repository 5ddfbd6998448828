package metrics

import (
	"strings"

	gometrics "github.com/hashicorp/go-metrics"
)

// Sink takes what libraries report through go-metrics. Gauges that they set no
// more are forgotten after the retention time.
func (r *Registry) Sink() gometrics.MetricSink { return sink{r} }

type sink struct{ r *Registry }

var _ gometrics.MetricSink = sink{}

func (s sink) get(k kind, key []string, labels []Label) *series {
	name := strings.ReplaceAll(strings.Join(key, "."), " ", "_")
	return s.r.get(k, name, labels, lasting(name))
}

// SetGauge implements gometrics.MetricSink, as the methods below do.
func (s sink) SetGauge(key []string, v float32) { s.SetGaugeWithLabels(key, v, nil) }

// SetGaugeWithLabels replaces a gauge's value.
func (s sink) SetGaugeWithLabels(key []string, v float32, labels []Label) {
	s.get(gauge, key, labels).set(float64(v))
}

// EmitKey takes nothing: no library reports single values.
func (s sink) EmitKey([]string, float32) {}

// IncrCounter counts.
func (s sink) IncrCounter(key []string, v float32) { s.IncrCounterWithLabels(key, v, nil) }

// IncrCounterWithLabels counts; what would count down is not taken.
func (s sink) IncrCounterWithLabels(key []string, v float32, labels []Label) {
	(*Counter)(s.get(counter, key, labels)).Add(float64(v))
}

// AddSample takes a sample.
func (s sink) AddSample(key []string, v float32) { s.AddSampleWithLabels(key, v, nil) }

// AddSampleWithLabels takes a sample.
func (s sink) AddSampleWithLabels(key []string, v float32, labels []Label) {
	s.get(sample, key, labels).add(float64(v))
}
