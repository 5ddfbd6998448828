package metrics

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"time"
)

// ContentType is the media type of Prometheus text.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// quantiles are those that a summary shows, of the last ten to twenty seconds.
var quantiles = [...]struct {
	q    float64
	text string
}{{0.5, "0.5"}, {0.9, "0.9"}, {0.99, "0.99"}}

// Prometheus reports whether Prometheus text is on.
func (r *Registry) Prometheus() bool { return r != nil && r.retention > 0 }

// PrometheusText shows everything since the start in Prometheus' text format.
func (r *Registry) PrometheusText() []byte {
	var b bytes.Buffer
	if !r.Prometheus() {
		return nil
	}
	now := time.Now()
	kinds := map[string]kind{}
	for _, s := range r.visible() {
		// A gauge that nobody sets is no longer true; sums since the start stay true.
		if s.kind == gauge && (s.expired(now, r.retention) || s.unset()) {
			continue
		}
		name := promName(s.name)
		// One name has one type: of two the first counts.
		if k, known := kinds[name]; !known {
			kinds[name] = s.kind
			help := helpOf(strings.TrimPrefix(s.name, r.prefix+"."))
			b.WriteString("# HELP " + name + " " + promHelp(help) + "\n# TYPE " + name + " " + s.kind.String() + "\n")
		} else if k != s.kind {
			continue
		}
		s.writeTo(&b, name, now)
	}
	r.process.write(&b, r.filter.Load())
	return b.Bytes()
}

func (s *series) writeTo(b *bytes.Buffer, name string, now time.Time) {
	s.mu.Lock()
	value, total, count, recent := s.value, s.total, s.count, s.recent(now)
	var counts *buckets
	if s.buckets != nil {
		c := *s.buckets
		counts = &c
	}
	s.mu.Unlock()
	labels := promLabels(s.labels)
	switch s.kind {
	case gauge:
		promLine(b, name, labels, value)
	case counter:
		promLine(b, name, labels, total)
	case sample:
		for _, q := range quantiles {
			with := `quantile="` + q.text + `"`
			if labels != "" {
				with = labels + "," + with
			}
			promLine(b, name, with, quantile(recent, q.q))
		}
		promLine(b, name+"_sum", labels, total)
		promLine(b, name+"_count", labels, float64(count))
	case histogram:
		writeBuckets(b, name, labels, counts, total)
	}
}

// quantile is that of sorted values, NaN if there are none.
func quantile(sorted []float32, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	return float64(sorted[int(math.Ceil(q*float64(len(sorted))))-1])
}

func promLine(b *bytes.Buffer, name, labels string, v float64) {
	b.WriteString(name)
	if labels != "" {
		b.WriteString("{" + labels + "}")
	}
	b.WriteByte(' ')
	b.Write(strconv.AppendFloat(nil, v, 'g', -1, 64))
	b.WriteByte('\n')
}

// promName makes a name one of Prometheus: letters, digits and underscores, no
// digit first.
func promName(name string) string {
	out := []byte(name)
	for i, c := range out {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= '0' && c <= '9') {
			out[i] = '_'
		}
	}
	if len(out) == 0 || out[0] >= '0' && out[0] <= '9' {
		return "_" + string(out)
	}
	return string(out)
}

var (
	labelEscape = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
	helpEscape  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
)

func promHelp(s string) string { return helpEscape.Replace(s) }

func promLabels(labels []Label) string {
	var b strings.Builder
	for i, l := range labels {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(promName(l.Name) + `="` + labelEscape.Replace(strings.ToValidUTF8(l.Value, "\uFFFD")) + `"`)
	}
	return b.String()
}
