package observe

import (
	"time"

	"consul.internal/internal/metrics"
)

// topShown is how many names stand in metrics; topLeast is how often one must have
// been asked for, so that a flood of names does not become one of series.
const (
	topShown = 10
	topLeast = 100
)

// Publish sets the gauges of the first names. They are forgotten when they are no
// longer set, since the names change.
func (t *Top) Publish(r *metrics.Registry) {
	sum := t.Summary(topShown, time.Now())
	for _, c := range sum.Names {
		if c.Questions-c.Surplus >= topLeast && sum.Seconds > 0 {
			r.Sink().SetGaugeWithLabels([]string{metrics.DNSTopQuestions}, float32(float64(c.Questions)/sum.Seconds),
				[]metrics.Label{{Name: "name", Value: c.Name}, {Name: "type", Value: c.Type}})
		}
	}
}

// Publish counts what was shown.
func (o *Observer) Publish(r *metrics.Registry) {
	c := o.Counts()
	for _, v := range []struct {
		to, outcome string
		n           uint64
	}{{"dnstap", "written", c.Tapped}, {"dnstap", "dropped", c.TapDropped}, {"query_log", "written", c.Logged}, {"query_log", "dropped", c.LogDropped}} {
		if v.n > 0 {
			r.Counter(metrics.DNSObserved, metrics.Label{Name: "to", Value: v.to}, metrics.Label{Name: "outcome", Value: v.outcome}).Reach(v.n)
		}
	}
}
